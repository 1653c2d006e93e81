"""Enumeration of all states against states drawn up one by one."""

import itertools

import numpy as np
import pytest

from enumeration import all_states, energies, mixed_problem
from lehr import newman_moore, sherrington_kirkpatrick
from lehr._types import InputError
from lehr.exact import enumeration, walsh
from lehr.exact.enumeration import density_of_states, free_energy, ground_states, spectrum, spins_of
from lehr.problem.base import Problem, stack


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks for few spins."""
    monkeypatch.setattr(walsh, "_BLOCK_BITS", 4)


def by_number(problem: Problem) -> np.ndarray:
    """Energies of all states in the order of their numbers, one by one."""
    n = problem.num_spins
    number = ((all_states(n) > 0) * 2 ** np.arange(n)).sum(axis=1)
    answer = np.full(2**n, np.nan)
    answer[number] = energies(problem) + float(problem.offset)
    return answer


def test_transform_is_its_definition(small_blocks):
    rng = np.random.default_rng(1)
    masks, values = rng.integers(0, 2**7, 30), rng.normal(size=30)
    expected = [sum(v * (-1) ** bin(m & x).count("1") for m, v in zip(masks, values, strict=True)) for x in range(128)]
    blocks = list(walsh.walsh_blocks(7, masks, values))
    assert [first for first, _ in blocks] == list(range(0, 128, 16))
    assert len(blocks) == walsh.num_blocks(7)
    np.testing.assert_allclose(np.concatenate([block for _, block in blocks]), expected, atol=1e-13)
    (first, block), *rest = walsh.walsh_blocks(7, masks, values, [5])
    assert (first, rest) == (80, [])
    np.testing.assert_array_equal(block, blocks[5][1])


@pytest.mark.parametrize("num_spins", [1, 2, 5, 9])
def test_spectrum_is_the_energy_of_every_state(small_blocks, num_spins):
    problem = mixed_problem(num_spins) if num_spins > 4 else Problem.from_terms(num_spins, {(0,): 0.3}, offset=-1.5)
    np.testing.assert_allclose(spectrum(problem), by_number(problem), atol=1e-12)
    states = spins_of(np.arange(2**num_spins), num_spins)
    assert states.dtype == np.int8
    np.testing.assert_allclose(problem.energy(states), by_number(problem), atol=1e-12)


def test_a_block_of_full_size_is_transformed_like_a_small_one():
    problem = sherrington_kirkpatrick(18, seed=2)
    numbers = np.random.default_rng(0).integers(0, 2**18, 500)
    np.testing.assert_allclose(spectrum(problem)[numbers], problem.energy(spins_of(numbers, 18)), atol=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ground_state_of_mixed_orders(small_blocks, seed):
    problem = mixed_problem(8, seed=seed)
    found = ground_states(problem)
    assert found.number == 1
    assert found.energy == float(problem.energy(found.spins[0]))
    assert found.energy == pytest.approx(by_number(problem).min(), abs=1e-12)


def test_degenerate_ground_states_are_all_found_and_counted(small_blocks):
    # Two frustrated triangles and a free spin; coefficients of 0.1 are no sums of powers of 2.
    problem = Problem.from_terms(7, {pair: 0.1 for c in (0, 3) for pair in itertools.combinations(range(c, c + 3), 2)})
    found = ground_states(problem)
    assert found.number == 6 * 6 * 2
    assert found.spins.shape == (72, 7)
    assert len(np.unique(found.spins, axis=0)) == 72
    np.testing.assert_allclose(problem.energy(found.spins), -0.2, atol=1e-14)
    few = ground_states(problem, most=10)
    assert few.number == 72
    np.testing.assert_array_equal(few.spins, found.spins[:10])


def test_levels_that_differ_by_little_are_not_ground_states():
    problem = Problem.from_terms(2, {(0,): 1e6, (1,): 1e-4})
    assert ground_states(problem).number == 1


def test_free_spins_and_no_terms():
    found = ground_states(Problem(2, [], offset=3.0))
    assert (found.energy, found.number) == (3.0, 4)
    assert free_energy(Problem(2, [], offset=3.0), 2.0) == pytest.approx(3 - 2 * np.log(4))
    assert [x.tolist() for x in density_of_states(Problem(2, [], offset=3.0))] == [[3.0], [4]]


def test_free_energy(small_blocks):
    problem = mixed_problem(8)
    temperatures = [100.0, 3.0, 0.4, 0.05]
    expected = [-t * np.log(np.exp(-by_number(problem) / t).sum()) for t in temperatures]
    np.testing.assert_allclose(free_energy(problem, temperatures), expected, rtol=1e-12)
    single = free_energy(problem, 3)
    assert isinstance(single, float)
    assert single == pytest.approx(expected[1], rel=1e-12)


def test_free_energy_near_zero_temperature_is_the_ground_energy():
    problem = Problem.from_terms(5, {(i, (i + 1) % 5): 1.0 for i in range(5)}, offset=7.0)  # ten ground states
    for temperature in (1e-3, 1e-9, 1e-310):
        assert free_energy(problem, temperature) == pytest.approx(4 - temperature * np.log(10), abs=1e-14)


def test_density_of_states(small_blocks):
    problem = newman_moore(3)
    levels, counts = density_of_states(problem)
    assert levels.tolist() == [-4.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 4.5]  # physics: the table of the 3x3 torus
    assert counts.tolist() == [4, 36, 108, 108, 108, 108, 36, 4]
    mixed = mixed_problem(8)
    levels, counts = density_of_states(mixed)
    np.testing.assert_allclose(levels, np.unique(by_number(mixed).round(10)), atol=1e-9)
    assert counts.sum() == 2**8


def test_rounding_makes_no_levels(small_blocks):
    problem = Problem.from_terms(8, dict.fromkeys(itertools.combinations(range(8), 2), 0.1))
    levels, counts = density_of_states(problem)
    np.testing.assert_allclose(levels, [-0.4, -0.2, 0.4, 1.4, 2.8], atol=1e-14)
    assert counts.tolist() == [70, 112, 56, 16, 2]
    assert ground_states(problem).number == 70


def test_more_levels_than_allowed(small_blocks, monkeypatch):
    monkeypatch.setattr(enumeration, "_MOST_LEVELS", 20)
    with pytest.raises(InputError, match="at most 20 energy levels"):
        density_of_states(mixed_problem(8))


def test_what_does_not_apply():
    large = Problem.from_terms(27, {(0, 26): 1.0})
    assert not enumeration.applies(large)
    for function in (spectrum, ground_states, density_of_states, lambda p: free_energy(p, 1.0)):
        with pytest.raises(InputError, match="at most 26 spins"):
            function(large)
    small = Problem.from_terms(2, {(0, 1): 1.0})
    for temperature in (0.0, -1.0, float("nan"), float("inf"), [1.0, 0.0]):
        with pytest.raises(InputError, match="`temperature` must be positive and finite"):
            free_energy(small, temperature)
    with pytest.raises(InputError, match="`most`"):
        ground_states(small, most=0)
    with pytest.raises(InputError, match="stack"):
        spectrum(stack([small, small]))
