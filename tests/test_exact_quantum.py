"""Ground states in a transverse field against dense matrices, free fermions, perturbation theory and duality."""

import json
from pathlib import Path

import numpy as np
import pytest

from enumeration import all_states, energies, field_matrix, mixed_problem
from lehr import edwards_anderson, newman_moore
from lehr._types import InputError
from lehr.exact import quantum, symmetric_sector
from lehr.exact.enumeration import spins_of
from lehr.exact.quantum import field_energy, ground_state, symmetric_field_energy
from lehr.problem.base import Lattice, Problem

NEWMAN_MOORE = json.loads((Path(__file__).parent / "data" / "oracles.json").read_text())[
    "QNM_E0_per_spin_J1_H=(J/2)sum_sss-G*sum_x"
]


def dense(problem: Problem, gamma: float) -> tuple[float, np.ndarray]:
    """Ground energy, and amplitudes by the states of `all_states`."""
    n = problem.num_spins
    matrix = np.diag(energies(problem) + float(problem.offset)) + gamma * field_matrix(n)
    values, vectors = np.linalg.eigh(matrix)
    return values[0], np.abs(vectors[:, 0])


def ladder(seed: int, size: int = 8) -> Problem:
    """+1 and -1 couplings at random on a periodic ladder, with many ground states."""
    rng = np.random.default_rng(seed)
    pairs = [(i, (i + 2) % size) for i in range(size)] + [(i, i + 1) for i in range(0, size, 2)]
    return Problem.from_terms(size, {p: rng.choice([-1.0, 1.0]) for p in pairs})


@pytest.mark.parametrize("gamma", [0.01, 0.3, 1.7, 40.0])
@pytest.mark.parametrize("num_spins", [1, 4, 9])
def test_against_dense_matrices(num_spins, gamma):
    problem = mixed_problem(num_spins) if num_spins > 4 else Problem.from_terms(num_spins, {(0,): 0.3}, offset=-1.5)
    energy, psi = ground_state(problem, gamma)
    expected, amplitudes = dense(problem, gamma)
    assert energy == pytest.approx(expected, abs=1e-11)
    place = ((all_states(num_spins) > 0) @ 2 ** np.arange(num_spins)).astype(int)
    np.testing.assert_allclose(psi[place], amplitudes, atol=1e-8)
    assert (psi >= 0).all()
    assert np.linalg.norm(psi) == pytest.approx(1)


@pytest.mark.parametrize("gamma", [1e-6, 0.01, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_many_ground_states_in_a_small_field(seed, gamma):
    assert field_energy(ladder(seed), gamma) == pytest.approx(dense(ladder(seed), gamma)[0], abs=1e-11)


def test_two_states_that_no_symmetry_tells_apart_and_hardly_any_tunnelling():
    chain = Problem.from_terms(12, {(i, i + 1): -1.0 for i in range(11)} | {(3,): 1e-10})
    found, psi = ground_state(chain, 0.05)
    bidiagonal = 0.05 * np.eye(12) + np.eye(12, k=1)  # free fermions, without the field of 1e-10
    assert found == pytest.approx(-np.linalg.svd(bidiagonal, compute_uv=False).sum(), abs=1e-9)
    assert (psi >= 0).all()


def test_without_a_field_the_answer_is_classical():
    problem = mixed_problem(8)
    energy, psi = ground_state(problem, 0)
    expected = energies(problem).min() + float(problem.offset)
    assert energy == pytest.approx(expected, abs=1e-12)
    assert problem.energy(spins_of(int(psi.argmax()), 8)) == pytest.approx(expected, abs=1e-12)
    assert psi.max() == 1
    energy, psi = ground_state(newman_moore(3), 0.0)
    assert energy == -4.5
    assert sorted(psi[psi > 0]) == pytest.approx([0.5] * 4)


def test_random_chain_is_free_fermions():
    couplings = np.random.default_rng(4).normal(size=13)
    chain = Problem.from_terms(14, {(i, i + 1): c for i, c in enumerate(couplings)}, offset=0.3)
    for gamma in (0.1, 0.8, 3.0):
        bidiagonal = gamma * np.eye(14) + np.diag(couplings, 1)
        expected = 0.3 - np.linalg.svd(bidiagonal, compute_uv=False).sum()
        assert field_energy(chain, gamma) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("side", "solver"), [("2", field_energy), ("3", field_energy), ("4", symmetric_field_energy)])
def test_newman_moore(solver, side):
    table = {float(gamma): float(energy) for gamma, energy in NEWMAN_MOORE[side].items()}
    found = solver(newman_moore(int(side)), list(table))
    np.testing.assert_allclose(found / int(side) ** 2, list(table.values()), atol=1e-9)


def test_newman_moore_of_16_spins_with_and_without_its_symmetries():
    fields = [0.02, 0.5]
    found = field_energy(newman_moore(4), fields)
    np.testing.assert_allclose(found, symmetric_field_energy(newman_moore(4), fields), atol=1e-10)


@pytest.mark.slow
def test_newman_moore_of_25_spins():
    table = {float(gamma): float(energy) for gamma, energy in NEWMAN_MOORE["5"].items()}
    found = symmetric_field_energy(newman_moore(5), list(table))
    np.testing.assert_allclose(found / 25, list(table.values()), atol=1e-9)
    permutations = symmetric_sector.lattice_symmetries(newman_moore(5))
    assert len(symmetric_sector.symmetric_sector(25, permutations).states) == 227_152


def test_newman_moore_is_self_dual():
    model = newman_moore(4, coupling=1.4)
    for gamma in (0.2, 0.6, 0.9):
        dual = symmetric_field_energy(model, 1.4**2 / (4 * gamma))
        assert symmetric_field_energy(model, gamma) == pytest.approx(2 * gamma / 1.4 * dual, abs=1e-9)


def test_perturbation_theory():
    problem = mixed_problem(9)
    coefficients = np.concatenate([terms.coefficients for terms in problem.terms])
    orders = np.concatenate([np.full(terms.coefficients.size, terms.order) for terms in problem.terms])
    gamma = 3000.0  # second order: a term of k spins excites k of them, 2 gamma each
    expected = 0.7 - 9 * gamma - (coefficients**2 / (2 * gamma * orders)).sum()
    assert field_energy(problem, gamma) == pytest.approx(expected, abs=2e-6)
    gamma = 1e-3  # second order: single flips of the classical ground state
    lowest, psi = ground_state(problem, 0.0)
    costs = problem.flip_cost(spins_of(int(psi.argmax()), 9))
    expected = lowest - (gamma**2 / costs).sum()
    assert field_energy(problem, gamma) == pytest.approx(expected, abs=1e-9)


def test_symmetries_of_lattices():
    def count(problem):
        permutations = symmetric_sector.lattice_symmetries(problem)
        states = spins_of(np.random.default_rng(0).integers(0, 2**problem.num_spins, 20), problem.num_spins)
        for permutation in permutations:
            np.testing.assert_allclose(problem.energy(states[:, permutation]), problem.energy(states), atol=1e-12)
        return len(permutations)

    def torus(shape, boundary):
        sites = np.arange(np.prod(shape)).reshape(shape)
        pairs = {}
        for axis in range(len(shape)):
            first, second = sites, np.roll(sites, -1, axis)
            if boundary == "open":
                first, second = np.delete(sites, -1, axis), np.delete(sites, 0, axis)
            pairs |= dict.fromkeys(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True), -1.0)
        return Problem.from_terms(sites.size, pairs, lattice=Lattice(shape, boundary))

    assert count(newman_moore(5)) == 150
    assert count(newman_moore((3, 5))) == 15
    assert count(torus((5, 5), "periodic")) == 200
    assert count(torus((3, 5), "periodic")) == 60
    assert count(torus((4, 4), "open")) == 8
    assert count(torus((2, 5), "open")) == 4
    assert count(torus((7,), "periodic")) == 14
    assert count(torus((3, 3, 3), "open")) == 48
    assert count(edwards_anderson(4, seed=1)) == 1
    assert count(mixed_problem(6)) == 1


def test_orbits_are_those_of_the_group():
    generators = np.array([[1, 2, 3, 4, 0, 5, 6], [0, 1, 2, 3, 4, 6, 5]])
    sector = symmetric_sector.symmetric_sector(7, generators)
    orbits = set()
    for state in all_states(7):
        ring, pair = state[:5], state[5:]
        images = [np.concatenate([np.roll(ring, k), p]) for k in range(5) for p in (pair, pair[::-1])]
        orbits.add(frozenset(int((s > 0) @ 2 ** np.arange(7)) for s in images))
    assert {(min(orbit), len(orbit)) for orbit in orbits} == set(
        zip(sector.states.tolist(), sector.sizes.tolist(), strict=True)
    )
    flips = sector.flips.toarray()
    np.testing.assert_allclose(flips, flips.T, atol=1e-14)


def test_sector_with_tables_for_high_bits(monkeypatch):
    monkeypatch.setattr(symmetric_sector, "_LOW_BITS", 4)
    found = symmetric_field_energy(newman_moore((3, 4), coupling=-0.8), [0.0, 0.3, 1.1])
    monkeypatch.undo()
    np.testing.assert_allclose(found, field_energy(newman_moore((3, 4), coupling=-0.8), [0.0, 0.3, 1.1]), atol=1e-10)


def test_sector_of_given_permutations():
    ring = Problem.from_terms(
        10, {(i, (i + 1) % 10): 0.7 for i in range(10)} | {(i,): 0.2 for i in range(10)}, offset=1.5
    )
    rotation = np.roll(np.arange(10), 1)[None]
    assert symmetric_field_energy(ring, 0.4, rotation) == pytest.approx(field_energy(ring, 0.4), abs=1e-11)
    with pytest.raises(InputError, match="leave the energy unchanged"):
        symmetric_field_energy(ladder(1, 10), 0.4, rotation)
    with pytest.raises(InputError, match="permutations of 0 to 9"):
        symmetric_field_energy(ring, 0.4, np.array([[0] * 10]))
    with pytest.raises(InputError, match=r"shape \[symmetries, 10\]"):
        symmetric_field_energy(ring, 0.4, np.array([[0, 1]]))


def test_what_does_not_apply():
    large = Problem.from_terms(19, {(0, 18): 1.0})
    assert not quantum.applies(large)
    with pytest.raises(InputError, match="at most 18 spins"):
        ground_state(large, 1.0)
    with pytest.raises(InputError, match="leave at most"):
        symmetric_field_energy(Problem.from_terms(24, {(0, 1): 1.0}), 1.0)
    with pytest.raises(InputError, match="at most 26"):
        symmetric_field_energy(Problem.from_terms(27, {(0, 1): 1.0}), 1.0)
    for gamma in (-1.0, float("nan"), [0.0, -1.0]):
        with pytest.raises(InputError, match="`field` must be finite and at least 0"):
            field_energy(mixed_problem(5), gamma)
