"""The certificate of pairwise problems against enumeration and planted states."""

import numpy as np
import pytest

from enumeration import all_states, mixed_problem
from lehr import random_chain, sherrington_kirkpatrick, wishart
from lehr._types import InputError
from lehr.exact import spectral
from lehr.exact.enumeration import ground_states
from lehr.exact.spectral import certifies, lower_bound
from lehr.problem.base import Problem
from lehr.problem.wishart import wishart_planted_state


def pairwise(seed: int, num_spins: int = 7) -> Problem:
    """All pairs but one, two fields and an offset."""
    rng = np.random.default_rng(seed)
    terms: dict[tuple[int, ...], float] = {(i, j): rng.normal() for j in range(1, num_spins) for i in range(j)}
    del terms[(1, 3)]
    return Problem.from_terms(num_spins, terms | {(0,): rng.normal(), (2,): rng.normal()}, offset=11.0)


@pytest.mark.parametrize(
    "problem", [pairwise(1), pairwise(2), sherrington_kirkpatrick(8, seed=3)], ids=["fields 1", "fields 2", "SK"]
)
def test_bound_is_below_the_ground_state_and_only_ground_states_are_certified(problem):
    ground = ground_states(problem).energy
    for state in all_states(problem.num_spins):
        bound = lower_bound(problem, state)
        assert bound <= ground + 1e-10
        assert not certifies(problem, state) or problem.energy(state) <= ground + 1e-10
    assert bound < ground - 1e-3  # the last state is no ground state


@pytest.mark.parametrize("state", [[1, 1, 1], [1, -1, 1], [-1, -1, 1]])
def test_bound_of_a_matrix_by_hand(state):
    # H = s0 s1 - 2 s1 s2 + s0 / 2 + 3: rows and columns are the additional spin, then the three.
    problem = Problem.from_terms(3, {(0, 1): 1.0, (1, 2): -2.0, (0,): 0.5}, offset=3.0)
    matrix = np.array([[0, 0.5, 0, 0], [0.5, 0, 1, 0], [0, 1, 0, -2], [0, 0, -2, 0]])
    t = np.array([1, *state])
    matrix -= np.diag(t * (matrix @ t))
    expected = problem.energy(t[1:]) + 2 * min(np.linalg.eigvalsh(matrix)[0], 0)
    assert lower_bound(problem, np.array(state)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.125, 0.25, 0.5, 0.75, 1.0, 2.0])
def test_planted_states_are_certified(alpha):
    for seed in range(3):
        problem, planted = wishart(32, alpha, seed=seed), wishart_planted_state(32, alpha, seed=seed)
        assert certifies(problem, planted)
        assert certifies(problem, -planted)
        assert lower_bound(problem, planted) == pytest.approx(float(problem.ground_energy), abs=1e-11)
        for spin in range(32):
            excited = planted.copy()
            excited[spin] *= -1
            assert not certifies(problem, excited)


def test_a_local_minimum_is_not_certified():
    problem = wishart(16, 0.25, seed=1)
    states = all_states(16)[: 2**15]
    energies = problem.energy(states)
    stable = states[(problem.flip_cost(states) > 0).all(axis=1) & (energies > problem.ground_energy + 1e-9)]
    assert len(stable) > 3
    assert not any(certifies(problem, state) for state in stable)


def test_unfrustrated_problems_with_fields_are_certified():
    chain = random_chain(40, "uniform", seed=1)
    pairs, couplings = chain.terms[0].indices.tolist(), chain.terms[0].coefficients
    terms = {tuple(pair): c for pair, c in zip(pairs, couplings, strict=True)}
    state = np.cumprod([-1.0, *(-np.sign(list(terms.values())))])
    problem = Problem.from_terms(40, terms | {(0,): 0.3}, offset=2.0)
    assert certifies(problem, state)
    assert not certifies(problem, -state)
    assert lower_bound(problem, state) == pytest.approx(2 - 0.3 - sum(map(abs, terms.values())), abs=1e-12)


def test_a_state_just_above_the_ground_state_is_not_certified():
    problem = Problem.from_terms(2, {(0, 1): -1.0, (0,): 1e-6})
    assert certifies(problem, -np.ones(2))
    assert not certifies(problem, np.ones(2))


def test_trivial_problems():
    assert certifies(Problem(3, []), np.ones(3))
    assert certifies(Problem.from_terms(1, {(0,): 2.0}), np.array([-1]))
    assert not certifies(Problem.from_terms(1, {(0,): 2.0}), np.array([1]))
    assert lower_bound(Problem.from_terms(1, {(0,): 2.0}, offset=5.0), np.array([1])) == pytest.approx(3)


def test_what_does_not_apply(monkeypatch):
    with pytest.raises(InputError, match="one or two spins"):
        lower_bound(mixed_problem(6), np.ones(6))
    for state in (np.ones((1, 7)), np.ones(6), np.zeros(7)):
        with pytest.raises(InputError, match="one state of 7 spins"):
            certifies(pairwise(1), state)
    monkeypatch.setattr(spectral, "MOST_SPINS", 6)
    assert not spectral.applies(pairwise(1))
