"""Tree decompositions: conventions of the solver (signs, labels, offset, temperature) against enumeration."""

import numpy as np
import pytest

import lehr
from enumeration import energies, mixed_problem
from lehr._types import InputError
from lehr.exact import decomposition, matching, transfer
from lehr.problem.base import Problem


def sparse_problem(num_spins, seed, *, labels=False, scale=1.0):
    """Random graph with fields on every third spin, zero couplings, spins without any term, and an offset."""
    rng = np.random.default_rng(seed)
    pairs = [tuple(sorted(rng.choice(num_spins - 1, 2, replace=False).tolist())) for _ in range(num_spins + 4)]
    terms = {pair: scale * rng.normal() for pair in pairs}
    terms[pairs[0]] = 0.0
    terms |= {(i,): scale * rng.normal() for i in range(0, num_spins - 1, 3)}
    names = [f"v{num_spins - i}" for i in range(num_spins)] if labels else None
    return Problem.from_terms(num_spins, terms, offset=0.7 * scale, labels=names)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_energies_are_those_of_enumeration(seed, scale):
    problem = sparse_problem(3 + 2 * seed, seed, labels=seed % 2 == 1, scale=scale)
    every = energies(problem) + 0.7 * scale
    energy, spins = decomposition.ground_state(problem)
    assert energy == problem.energy(spins)
    assert energy == pytest.approx(every.min(), rel=1e-12)
    temperatures = [10 * scale, 0.8 * scale, 0.03 * scale, 1e-4 * scale]
    exact = [every.min() - t * np.log(np.exp(-(every - every.min()) / t).sum()) for t in temperatures]
    np.testing.assert_allclose(decomposition.free_energy(problem, temperatures), exact, rtol=1e-11)


def test_no_terms_and_only_fields():
    free = Problem(3, [], offset=2.0)
    assert decomposition.ground_state(free)[0] == 2.0
    assert decomposition.free_energy(free, 0.5) == pytest.approx(2 - 1.5 * np.log(2), abs=1e-14)
    fields = Problem.from_terms(2, {(0,): 1.0, (1,): -3.0})
    energy, spins = decomposition.ground_state(fields)
    assert (energy, spins.tolist()) == (-4.0, [-1, 1])
    assert decomposition.free_energy(fields, 2.0) == pytest.approx(
        -2 * np.log(4 * np.cosh(0.5) * np.cosh(1.5)), abs=1e-14
    )


def test_lattices_are_those_of_matching_and_transfer():
    glass = lehr.edwards_anderson((9, 11), seed=5)
    assert decomposition.ground_state(glass)[0] == pytest.approx(matching.ground_state(glass)[0], abs=1e-11)
    torus = lehr.edwards_anderson((5, 7), boundary="periodic", seed=5)
    assert decomposition.free_energy(torus, 0.3) == pytest.approx(transfer.free_energy(torus, 0.3), abs=1e-11)


def test_a_tree_of_many_spins():
    rng = np.random.default_rng(0)
    terms = {(int(rng.integers(i)), i): rng.normal() for i in range(1, 1000)}
    tree = Problem.from_terms(1000, terms)
    couplings = np.array(list(terms.values()))
    assert decomposition.treewidth(tree) == 1
    assert decomposition.ground_state(tree)[0] == pytest.approx(-np.abs(couplings).sum(), rel=1e-12)
    exact = -0.7 * (1000 * np.log(2) + np.log(np.cosh(couplings / 0.7)).sum())
    assert decomposition.free_energy(tree, 0.7) == pytest.approx(exact, rel=1e-12)


def test_what_it_does_not_apply_to():
    assert decomposition.treewidth(lehr.edwards_anderson(5, seed=1)) == 5
    assert decomposition.treewidth(Problem.from_terms(3, {(0,): 1.0, (2,): 1.0})) == 0
    for wrong in (mixed_problem(8), lehr.newman_moore(3), lehr.sherrington_kirkpatrick(60, seed=1)):
        assert not decomposition.applies(wrong)
        with pytest.raises(InputError, match="treewidth"):
            decomposition.ground_state(wrong)
        with pytest.raises(InputError, match="treewidth"):
            decomposition.free_energy(wrong, 1.0)
