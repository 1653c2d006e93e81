"""Open chains: against enumeration, dense matrices of the transverse field, and the published values."""

import numpy as np
import pytest

import lehr
from enumeration import all_states, energies, field_matrix
from lehr._types import InputError
from lehr.exact import chain
from lehr.problem.base import Problem


def some_chain(num_spins, seed=3, offset=0.7):
    """Couplings of both signs, of which one is missing."""
    rng = np.random.default_rng(seed)
    terms = {(i, i + 1): rng.normal() for i in range(num_spins - 1) if i != 3}
    return Problem.from_terms(num_spins, terms, offset=offset)


@pytest.mark.parametrize("num_spins", [1, 2, 5, 9])
def test_thermodynamics_is_that_of_enumeration(num_spins):
    problem = some_chain(num_spins)
    every, states = energies(problem) + 0.7, all_states(num_spins)
    energy, spins = chain.ground_state(problem)
    assert energy == problem.energy(spins)
    assert energy == pytest.approx(every.min(), abs=1e-13)
    for t in (4.0, 0.6, 1e-3):
        weights = np.exp(-(every - every.min()) / t)
        exact = every.min() - t * np.log(weights.sum())
        assert chain.free_energy(problem, t) == pytest.approx(exact, abs=1e-12)
        thermal = (states.T * weights) @ states / weights.sum()
        np.testing.assert_allclose(chain.correlations(problem, t), thermal, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_spins", [1, 2, 5, 8])
def test_field_energy_is_that_of_the_dense_matrix(num_spins):
    problem = some_chain(num_spins)
    for field in (0.0, 0.2, 0.9, 5.0):
        dense = np.diag(energies(problem)) + field * field_matrix(num_spins)
        assert chain.field_energy(problem, field) == pytest.approx(np.linalg.eigvalsh(dense)[0] + 0.7, abs=1e-12)


def test_published_values():
    problem = lehr.random_chain(32, seed=1)
    assert chain.ground_state(problem)[0] == pytest.approx(-13.16178244607948, abs=1e-12)
    energy = [chain.field_energy(problem, field) / 32 for field in (2, 1, 0.5, 0.25, 0.1)]
    exact = [-2.0328342976, -1.0654500387, -0.6282449284, -0.4719829577, -0.4213456180]
    np.testing.assert_allclose(energy, exact, rtol=0, atol=1e-10)
    free = chain.free_energy(problem, [2, 1, 0.5, 0.1]) / 32
    np.testing.assert_allclose(free, [-1.4504739152, -0.8136407538, -0.5476239929, -0.4202820968], rtol=0, atol=1e-10)


def test_long_chains():
    problem = lehr.random_chain(2000, "uniform", seed=4)
    assert chain.field_energy(problem, 0) == pytest.approx(float(problem.ground_energy), rel=1e-12)
    critical = Problem(2000, [(problem.terms[0].indices, np.ones(1999))])
    # Uniform and critical, Pfeuty: E = 1 - 1 / sin(pi / (2 (2 N + 1))).
    assert chain.field_energy(critical, 1) == pytest.approx(1 - 1 / np.sin(np.pi / (2 * 4001)), rel=1e-12)


def test_what_it_does_not_apply_to():
    ring = Problem.from_terms(4, {(0, 1): 1.0, (0, 3): 1.0})
    field = Problem.from_terms(4, {(0, 1): 1.0, (3,): 0.1})
    for wrong in (ring, field, lehr.newman_moore(3), lehr.edwards_anderson(3, seed=1)):
        assert not chain.applies(wrong)
        with pytest.raises(InputError, match="only"):
            chain.ground_state(wrong)
        for function in (chain.free_energy, chain.correlations, chain.field_energy):
            with pytest.raises(InputError, match="only"):
                function(wrong, 1.0)
    with pytest.raises(InputError, match="field"):
        chain.field_energy(some_chain(4), np.nan)
    with pytest.raises(InputError, match="temperature"):
        chain.correlations(some_chain(4), 0.0)
