"""Terms as parity constraints, against enumeration and the Newman-Moore model's tables."""

import itertools

import numpy as np
import pytest

from enumeration import all_states, energies, mixed_problem
from lehr import gf2, newman_moore
from lehr._types import InputError
from lehr.exact import enumeration, parity
from lehr.problem.base import Problem

# Free energies per spin of the Newman-Moore model, J = 1, to ten digits: side, then temperature.
NEWMAN_MOORE = {
    3: {10: -6.9439666526, 2: -1.4482978149, 0.5: -0.5890665263, 0.1: -0.5154032709},
    5: {10: -6.9439666007, 2: -1.4481539684, 0.5: -0.5634640055, 0.1: -0.5000045399},
    6: {10: -6.9439666007, 2: -1.4481539684, 0.5: -0.5647056647, 0.1: -0.5077016355},
    7: {10: -6.9439666007, 2: -1.4481539684, 0.5: -0.5642292652, 0.1: -0.5084875165},
    16: {10: -6.9439666007, 2: -1.4481539684, 0.5: -0.5634640055, 0.1: -0.5000045399},
}


def planted(seed: int, num_spins: int = 9, num_terms: int = 12) -> Problem:
    """Terms of orders 1 to 4 with a state that satisfies them all, and an offset."""
    rng = np.random.default_rng(seed)
    state = 2 * rng.integers(0, 2, num_spins) - 1
    terms = {}
    while len(terms) < num_terms:
        spins = tuple(sorted(rng.choice(num_spins, rng.integers(1, 5), replace=False).tolist()))
        terms[spins] = -rng.uniform(0.2, 2) * state[list(spins)].prod()
    return Problem.from_terms(num_spins, terms, offset=-3.5)


def frustrated_ladder(rng) -> Problem:
    """A ladder of 8 spins with couplings of +-0.3, some plaquettes frustrated, and one field."""
    pairs = [(i, i + 2) for i in range(6)] + [(i, i + 1) for i in range(0, 8, 2)]
    return Problem.from_terms(8, {p: 0.3 * rng.choice([-1, 1]) for p in pairs} | {(1,): 0.3}, offset=2.0)


def brute(problem: Problem) -> np.ndarray:
    return energies(problem) + float(problem.offset)


def test_elimination_against_all_combinations():
    rng = np.random.default_rng(2)
    for _ in range(20):
        rows = [int(r) for r in rng.integers(0, 2**6, 8)]
        echelon = gf2.eliminate(rows, [1 << m for m in range(8)], 8)
        sums = {}
        for chosen in itertools.product([0, 1], repeat=8):
            total = 0
            for row, bit in zip(rows, chosen, strict=True):
                total ^= row * bit
            sums.setdefault(total, set()).add(sum(b << m for m, b in enumerate(chosen)))
        assert len(sums) == 2**echelon.rank
        span = {0}
        for residue in echelon.residues:
            span |= {residue ^ s for s in span}
        assert span == sums[0]


def test_solutions_solve():
    rng = np.random.default_rng(3)
    for _ in range(20):
        rows = [int(r) for r in rng.integers(0, 2**9, 6)]
        echelon = gf2.eliminate(rows, [1 << m for m in range(6)], 6)
        matrix = gf2.unpacked(gf2.solutions(echelon, 9), 6 + 9 - echelon.rank)
        wanted = rng.integers(0, 2, 9) @ gf2.unpacked(rows, 9).T % 2  # solvable: the parities of some vector
        inputs = np.array([[*wanted, *free] for free in itertools.product([0, 1], repeat=9 - echelon.rank)], np.uint8)
        found = gf2.combined(inputs, matrix)
        assert len(np.unique(found, axis=0)) == 2 ** (9 - echelon.rank)
        assert ((found @ gf2.unpacked(rows, 9).T % 2) == wanted).all()


@pytest.mark.parametrize("seed", range(6))
def test_ground_states_of_planted_terms(seed):
    problem = planted(seed, num_terms=4 + 2 * seed)
    assert parity.applies(problem)
    found, expected = parity.ground_states(problem), enumeration.ground_states(problem)
    assert found.number == expected.number
    assert found.energy == pytest.approx(brute(problem).min(), abs=1e-12)
    np.testing.assert_array_equal(np.unique(found.spins, axis=0), np.unique(expected.spins, axis=0))


def test_ground_states_drawn_from_many():
    problem = Problem.from_terms(8, {(0, 3, 5): 0.5, (2, 6): -1.5, (4,): 0.0})  # 2^6 ground states
    expected = {tuple(s) for s in enumeration.ground_states(problem).spins.tolist()}
    seen = []
    for seed in range(200):
        found = parity.ground_states(problem, most=16, seed=seed)
        assert found.number == 64
        drawn = {tuple(s) for s in found.spins.tolist()}
        assert len(drawn) == 16  # no repetition
        assert drawn <= expected
        seen += list(drawn)
    counts = np.array([seen.count(state) for state in expected])
    assert abs(counts - 50).max() < 5 * np.sqrt(200 * 0.25 * 0.75)
    free = parity.ground_states(Problem.from_terms(100, {(0, 99): 1.0}), most=500)
    assert free.number == 2**99
    assert (free.spins[:, 0] == -free.spins[:, 99]).all()
    assert abs(free.spins.mean(axis=0)).max() < 5 / np.sqrt(500)


@pytest.mark.parametrize("side", [3, 4, 6, 7])
def test_newman_moore_ground_states(side):
    model = newman_moore((side, side), coupling=-1.3)
    found = parity.ground_states(model)
    assert found.energy == pytest.approx(float(model.ground_energy), abs=1e-12)
    assert found.number == len(np.unique(found.spins, axis=0)) == {3: 4, 4: 1, 6: 16, 7: 64}[side]
    np.testing.assert_allclose(model.energy(found.spins), float(model.ground_energy), atol=1e-12)


@pytest.mark.parametrize("side", NEWMAN_MOORE)
def test_newman_moore_free_energy(side):
    table = NEWMAN_MOORE[side]
    found = parity.free_energy(newman_moore(side), list(table))
    np.testing.assert_allclose(found / side**2, list(table.values()), atol=6e-11)


def test_free_energy_of_unfrustrated_terms():
    problem = planted(3, num_terms=15)
    temperatures = [50.0, 2.0, 0.3, 0.02]
    np.testing.assert_allclose(
        parity.free_energy(problem, temperatures), enumeration.free_energy(problem, temperatures), rtol=1e-13
    )
    assert isinstance(parity.free_energy(problem, 2), float)
    assert parity.free_energy(problem, 1e-310) == pytest.approx(brute(problem).min(), rel=1e-14)


def test_free_energy_of_frustrated_terms():
    problem = mixed_problem(8)
    assert not parity.applies(problem)
    assert parity.has_few_cycles(problem)
    temperatures = [1e6, 30.0, 3.0, 1.0]
    expected = [-t * np.log(np.exp(-brute(problem) / t).sum()) for t in temperatures]
    np.testing.assert_allclose(parity.free_energy(problem, temperatures), expected, rtol=1e-11)
    with pytest.raises(InputError, match="must be higher for this frustrated problem"):
        parity.free_energy(problem, 0.01)


def test_frustration_of_one_magnitude_has_no_lowest_temperature():
    for seed in range(4):
        problem = frustrated_ladder(np.random.default_rng(seed))
        temperatures = [10.0, 0.5, 0.05, 0.001]
        expected = enumeration.free_energy(problem, temperatures)
        np.testing.assert_allclose(parity.free_energy(problem, temperatures), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_density_of_states(seed):
    problem = frustrated_ladder(np.random.default_rng(seed))
    found, expected = parity.density_of_states(problem), enumeration.density_of_states(problem)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-12)
    assert list(found[1]) == expected[1].tolist()


def test_density_of_states_of_many_free_spins_and_of_no_terms():
    energies, counts = parity.density_of_states(Problem.from_terms(70, {(0, 69): 2.0}, offset=1.0))
    assert (energies.tolist(), counts) == ([-1.0, 3.0], (2**69, 2**69))
    energies, counts = parity.density_of_states(Problem(3, [], offset=1.0))
    assert (energies.tolist(), counts) == ([1.0], (8,))
    assert parity.ground_states(Problem(3, [], offset=1.0))[:2] == (1.0, 8)
    assert parity.free_energy(Problem(3, [], offset=1.0), 2.0) == pytest.approx(1 - 6 * np.log(2))


def test_newman_moore_density_of_states_is_exact_at_any_size():
    energies, counts = parity.density_of_states(newman_moore(16))
    assert sum(counts) == 2**256
    assert counts[:2] == (1, 256)
    energies, counts = parity.density_of_states(newman_moore(6))
    assert (energies[0], counts[0], sum(counts)) == (-18.0, 16, 2**36)


def boltzmann_law(problem: Problem, temperature: float, seed: int, num_samples: int = 40_000) -> float:
    """Largest deviation of sampled state frequencies from the Boltzmann distribution, in standard errors."""
    n = problem.num_spins
    place = 2 ** np.arange(n)
    weights = np.exp(-(brute(problem) - brute(problem).min()) / temperature)
    expected = np.zeros(2**n)
    expected[((all_states(n) > 0) @ place).astype(int)] = weights / weights.sum()
    samples = parity.boltzmann_samples(problem, temperature, num_samples, seed)
    assert samples.dtype == np.int8
    counts = np.bincount((samples > 0) @ place, minlength=2**n)
    assert counts[expected < 1e-12].sum() == 0
    likely = expected * num_samples > 10
    error = np.sqrt(expected * (1 - expected) * num_samples)
    return float((abs(counts - expected * num_samples) / np.maximum(error, 1e-300))[likely].max())


@pytest.mark.parametrize("temperature", [8.0, 1.0, 0.2])
def test_samples_follow_the_boltzmann_law(temperature):
    assert boltzmann_law(mixed_problem(6), temperature, seed=1) < 5
    assert boltzmann_law(newman_moore(3), temperature, seed=2) < 5
    assert boltzmann_law(planted(4, num_spins=6, num_terms=10), temperature, seed=3) < 5


def test_samples_near_zero_temperature_are_ground_states():
    problem = frustrated_ladder(np.random.default_rng(1))
    samples = parity.boltzmann_samples(problem, 1e-310, 300, seed=5)
    np.testing.assert_allclose(problem.energy(samples), brute(problem).min(), atol=1e-12)
    assert len(np.unique(samples, axis=0)) == enumeration.ground_states(problem).number


def test_samples_of_a_large_model_have_its_energy():
    model, temperature, step = newman_moore(12), 0.6, 1e-4
    samples = parity.boltzmann_samples(model, temperature, 4000, seed=6)
    found = model.energy(samples)
    up, down = parity.free_energy(model, [temperature + step, temperature - step])
    free = parity.free_energy(model, temperature)
    expected = free - temperature * (up - down) / (2 * step)
    assert abs(found.mean() - expected) < 5 * found.std() / np.sqrt(4000)


def test_what_does_not_apply(monkeypatch):
    triangle = Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 1.0, (0, 2): 1.0}, name="triangle")
    with pytest.raises(InputError, match="triangle is frustrated"):
        parity.ground_states(triangle)
    complete = Problem.from_terms(9, dict.fromkeys(itertools.combinations(range(9), 2), -1.0))  # 28 cycles
    assert parity.applies(complete)
    assert not parity.has_few_cycles(complete)
    for function in (parity.density_of_states, lambda p: parity.free_energy(p, 1.0)):
        with pytest.raises(InputError, match="at most 26 independent cycles"):
            function(complete)
    with pytest.raises(InputError, match="one magnitude"):
        parity.density_of_states(planted(1))
    large = Problem.from_terms(9000, {(0, 1): 1.0})
    assert not parity.applies(large)
    assert not parity.has_few_cycles(large)
    with pytest.raises(InputError, match="at most 8192 spins"):
        parity.ground_states(large)
    monkeypatch.setattr(parity, "_MOST_TABLE", 5)
    with pytest.raises(InputError, match="fewer cycles"):
        parity.boltzmann_samples(triangle, 1.0, 1, seed=0)
    with pytest.raises(InputError, match="`temperature`"):
        parity.boltzmann_samples(triangle, 0.0, 1, seed=0)
