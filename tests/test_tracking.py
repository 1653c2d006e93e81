"""Tracking: effective sample size, chains and agreement against enumeration and by hand; warnings only where due."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from enumeration import all_states, energies, mixed_problem, with_random_params
from lehr import Linear, Problem, Schedule, VariationalAnnealing, newman_moore, solve
from lehr.anneal import energy_unit
from lehr.result import Result
from lehr.schedule import LinearRamp, effective_inverse_temperature
from lehr.tracking import remarks, track, unconfirmed

CHAIN = Problem.from_terms(6, {(i, i + 1): 0.5 - 0.3 * i for i in range(5)})
GROUND = newman_moore(3)  # four ground states
MANY = 40


def tracked(energies, log_probs, samples=None, temperature: float | None = 1.0, resolution=1e-9, **options):
    energies = np.atleast_2d(np.asarray(energies, float))
    if samples is None:
        samples = np.ones((*energies.shape, 2))
    log_probs = np.broadcast_to(np.asarray(log_probs, float), energies.shape)
    return track(energies, log_probs, np.asarray(samples, np.int8), temperature, resolution, **options)


def history(temperature, share, variance, replicas=1) -> xr.Dataset:
    columns = {"temperature": temperature, "effective_sample_size": share, "free_energy_variance": variance}
    steps = np.size(temperature)
    arrays = {name: np.broadcast_to(values, (replicas, steps)) for name, values in columns.items()}
    return xr.Dataset({name: (("replica", "step"), values) for name, values in arrays.items()})


def at_lowest(*counts) -> np.ndarray:
    """Samples of replicas that drew the k-th of several states so often, [R, M, N]."""
    return np.stack([np.repeat(all_states(4)[: len(row)], row, axis=0) for row in counts])


def assert_line(line, *parts):
    assert "\n" not in line
    assert line[0].isupper()
    assert line[-1] == "."
    assert "use" in line
    for part in parts:
        assert part in line


def test_all_states_with_their_boltzmann_weights_are_tracked_perfectly():
    exact = energies(CHAIN)
    for temperature in (0.7, 0.05):
        log_p = -exact / temperature - np.log(np.exp(-exact / temperature).sum())
        found = tracked(exact, log_p, all_states(6)[None], temperature)
        np.testing.assert_allclose(found.effective_sample_size, 1, rtol=1e-9)
        np.testing.assert_allclose(found.acceptance, 1)
        assert found.num_distinct.tolist() == [64]


def test_effective_sample_size_by_hand():
    """Weights 1, 1/2 and 1/4: (7/4)^2 / (3 * 21/16) = 7/9. Entropy is the mean of -ln p."""
    found = tracked(2 * np.log([1, 2, 4]), np.zeros(3), temperature=2.0)
    np.testing.assert_allclose(found.effective_sample_size, 7 / 9)
    found = tracked(np.zeros(3), np.log([0.5, 1.0, 2.0]) - 3)
    np.testing.assert_allclose(found.effective_sample_size, 7 / 9)
    np.testing.assert_allclose(found.entropy, 3)


def test_a_chain_by_hand():
    """A better state is always accepted, a hopeless one never: from E = 300 to 100, 0 and 0, past 900, 200 and 100."""
    found = tracked([300.0, 900.0, 100.0, 200.0, 0.0, 0.0, 100.0], 0.0)
    np.testing.assert_allclose(found.acceptance, 3 / 6)
    assert np.isnan(tracked([3.0], 0.0).acceptance).all()


def test_acceptance_agrees_with_its_probability():
    """Independent proposals, half of them half as likely: in the stationary chain 5/6 are accepted."""
    rng = np.random.default_rng(1)
    number = 10_000
    levels = rng.integers(0, 2, number)
    found = tracked(np.log(2) * levels, 0.0)
    assert found.acceptance == pytest.approx(5 / 6, abs=5 * np.sqrt(1 / number))


def test_at_zero_temperature_only_the_lowest_energy_counts():
    for temperature in (0.0, 1e-300):
        found = tracked([1.0, 1.0 + 1e-12, 2.0, 1.0], 0.0, temperature=temperature)
        np.testing.assert_allclose(found.effective_sample_size, 3 / 4)
        np.testing.assert_allclose(found.acceptance, 2 / 3)
    none = tracked([1.0, 2.0], 0.0, temperature=None)
    assert np.isnan([none.effective_sample_size, none.acceptance]).all()


@pytest.mark.parametrize(
    ("counts", "agreement", "num_lowest", "together"),
    [
        ([[MANY, 0], [0, MANY]], 0, [1, 1], 2),
        ([[MANY, 0], [MANY, 0]], 1, [1, 1], 1),
        ([[MANY, 0], [MANY, 0], [0, MANY]], 1 / 3, [1, 1, 1], 2),
        # Two equal samples of the first replica have the chance 2 * 20 * 19 / (40 * 39) = 19/39, of the second 1.
        ([[20, 20], [MANY, 0]], 0.5 / ((19 / 39 + 1) / 2), [2, 1], 2),
        ([[MANY]], np.nan, [1], 1),
    ],
)
def test_agreement_of_replicas_by_hand(counts, agreement, num_lowest, together):
    found = tracked(np.zeros((len(counts), MANY)), 0.0, at_lowest(*counts))
    np.testing.assert_allclose(found.agreement, agreement)
    assert (found.num_lowest.tolist(), found.num_lowest_together) == (num_lowest, together)


def test_agreement_is_that_of_distributions_not_of_samples():
    """Two sets of 1000 samples of the same 1024 states share few of them, and yet agree; half the states do not."""
    rng = np.random.default_rng(2)
    states = all_states(10)
    size = 1000
    drawn = rng.integers(0, 1024, (2, size))
    found = tracked(np.zeros((2, size)), 0.0, states[drawn])
    error = np.sqrt(2 / (size**2 / 1024))  # of the numbers of equal pairs
    assert found.agreement == pytest.approx(1, abs=5 * error)
    assert (found.num_lowest < 700).all()
    halves = tracked(np.zeros((2, size)), 0.0, states[drawn // 2 + 512 * np.arange(2)[:, None]])
    assert halves.agreement == pytest.approx(0, abs=1e-12)
    assert np.isnan(tracked(np.zeros((2, 100)), 0.0, states[drawn[:, :100]]).agreement)


def test_a_replica_that_misses_the_lowest_energy_agrees_with_none():
    levels = np.repeat([[0.0], [0.0], [1.0]], MANY, axis=1)
    found = tracked(levels, 0.0, at_lowest([MANY], [MANY], [MANY]))
    assert found.num_lowest.tolist() == [1, 1, 0]
    np.testing.assert_allclose(found.agreement, 2 / 6)
    assert remarks(found, xr.Dataset(), 4) == []  # those that reach it do agree


def test_states_that_differ_by_a_flip_are_one_where_the_energy_is_symmetric():
    samples = at_lowest([MANY], [MANY]) * np.array([1, -1])[:, None, None]
    assert tracked(np.zeros((2, MANY)), 0.0, samples).agreement == 0
    found = tracked(np.zeros((2, MANY)), 0.0, samples, flip_symmetric=True)
    assert (found.agreement, found.num_lowest_together, found.num_distinct.tolist()) == (1, 1, [1, 1])


def ground_states() -> np.ndarray:
    states = all_states(9)
    found = GROUND.energy(states)
    return states[found <= found.min() + 1e-9]


@pytest.mark.parametrize("flips", [[0, 1], [0, 0, 1]])
def test_replicas_that_collapse_on_different_ground_states_warn(flips):
    ground = ground_states()
    assert len(ground) == 4
    samples = np.repeat(ground[flips], 50, axis=0).reshape(len(flips), 50, 9)
    common = {"method": "vca", "seed": 0, "temperature": 0.1}
    result = Result.assemble(GROUND, samples=samples, log_probs=np.zeros((len(flips), 50)), **common)
    (line,) = result.warnings
    assert_line(line, "different states of lowest energy", "each drew 1 of the 2", "natural", "degeneracies")
    rng = np.random.default_rng(3)
    covering = np.stack([ground[rng.permutation(200) % 4] for _ in flips])
    even = Result.assemble(GROUND, samples=covering, log_probs=np.full((len(flips), 200), -np.log(4)), **common)
    assert even.warnings == ()
    np.testing.assert_allclose(even.tracking.effective_sample_size, 1)


def test_the_only_replica_of_several_with_the_best_energy_is_told():
    (line,) = unconfirmed(np.array([-1.0, -2.0, -1.5]), 1e-9)
    assert_line(line, "Only 1 of 3 replicas met the best energy -2:", "more replicas")
    assert unconfirmed(np.array([-2.0, -2.0 + 1e-12, -1.5]), 1e-9) == []
    assert unconfirmed(np.array([-2.0]), 1e-9) == []


def test_lost_tracking_is_told_with_its_temperatures():
    temperature = np.repeat(np.linspace(1.0, 0.1, 10), 10)
    middle = (temperature < 0.75) & (temperature > 0.35)
    share = np.where(middle, 0.03, 0.8)
    sound = tracked([0.0], 0.0)
    (line,) = remarks(sound, history(temperature, share, temperature**2, replicas=2), 4)
    assert_line(line, "fell to 3%", "in 2 of 2 replicas", "between T = 0.7 and 0.4", "more samples")
    # Each of the two signs alone is no loss; nor are single steps, or the warm-up.
    assert remarks(sound, history(temperature, share, 0.1 * temperature**2), 4) == []
    assert remarks(sound, history(temperature, 0.8, temperature**2), 4) == []
    assert remarks(sound, history(temperature, np.where(np.arange(100) % 5, 0.8, 0.02), temperature**2), 4) == []
    assert remarks(sound, history(temperature, np.where(temperature == 1, 0.02, 0.8), temperature**2), 4) == []


def test_histories_that_know_less_are_not_judged():
    sound = tracked([0.0], 0.0)
    complete = history(np.linspace(1, 0, 50), 0.01, 1.0)
    assert len(remarks(sound, complete, 4)) == 1
    for name in complete:
        assert remarks(sound, complete.drop_vars(name), 4) == []
    assert remarks(sound, complete.isel(step=slice(0)), 4) == []
    assert remarks(sound, history(np.zeros(50), np.nan, 1.0), 4) == []


def annealing(temperature, field=None, num_samples=64, steps=2):
    ramp = None if temperature is None else LinearRamp(*temperature)
    schedule = Schedule(ramp, None if field is None else LinearRamp(field, 0.0), num_annealing_steps=steps)
    return VariationalAnnealing(schedule, num_samples=num_samples)


def test_effective_sample_size_of_a_step_is_that_of_its_samples():
    problem = mixed_problem(6)
    step = annealing((1.2, 0.4))
    state = step.init(problem, with_random_params(Linear(problem)), jax.random.key(4))
    beta = effective_inverse_temperature(step.schedule(0), energy_unit(problem))
    spins, log_prob = state.ansatz.informed(problem, beta).sample(jax.random.fold_in(state.key, 0), 64)
    expected = tracked(problem.energy(np.asarray(spins)), np.asarray(log_prob.sum(1)), spins[None], 0.8)
    _, info = step.step(state)
    np.testing.assert_allclose(info.effective_sample_size, expected.effective_sample_size[0], rtol=1e-3)
    assert 1 / 64 < info.effective_sample_size < 0.9


def test_effective_sample_size_of_a_perfect_network():
    """From the exact distribution at beta to the next: Z(b')^2 / (Z(b) Z(2 b' - b)); 1 where the temperature stays."""
    exact = energies(CHAIN)
    z = [np.exp(-beta * exact).sum() for beta in (1 / 0.8, 1 / 0.6, 2 / 0.6 - 1 / 0.8)]
    for stop, wanted in ((0.4, z[1] ** 2 / (z[0] * z[2])), (0.8, 1.0)):
        step = annealing((0.8, stop), num_samples=20_000)
        _, info = step.step(step.init(CHAIN, Linear(CHAIN, range(6)), jax.random.key(5)))
        assert info.effective_sample_size == pytest.approx(wanted, rel=0.05 if stop < 0.8 else 1e-4)


def test_effective_sample_size_without_a_temperature_to_come():
    cold = annealing((0.5, 0.0), steps=1)
    _, info = cold.step(cold.init(CHAIN, Linear(CHAIN), jax.random.key(6)))
    assert 1 / 64 <= info.effective_sample_size <= 1
    for step in (annealing(None), annealing(None, 1.0), annealing((1.0, 0.0), 1.0)):
        _, info = step.step(step.init(CHAIN, Linear(CHAIN), jax.random.key(7)))
        assert jnp.isnan(info.effective_sample_size)
        assert jnp.isfinite(info.free_energy)


def test_a_good_run_is_silent_and_a_field_has_no_effective_sample_size():
    result = solve(CHAIN, seed=0, num_steps=60, num_final_samples=100, replicas=2)
    assert result.warnings == ()
    assert result.temperature == pytest.approx(float(result.history.temperature[0, -1]), rel=0.1)
    assert result.temperature < result.history.temperature[0, -1]
    assert (result.tracking.effective_sample_size > 0.2).all()
    assert result.tracking.agreement == pytest.approx(1)
    quantum = solve(CHAIN, "vqa", seed=0, num_steps=20, num_final_samples=100, replicas=2)
    assert quantum.temperature is None
    assert np.isnan(quantum.tracking.effective_sample_size).all()
    assert np.isnan(quantum.history.effective_sample_size).all()
    assert not any("effective" in line for line in quantum.warnings)


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_a_network_that_collapses_warns_and_one_that_does_not_is_silent():
    """Newman-Moore L = 3: Adam at a large rate, without the Hamiltonian, loses some of the four ground states."""
    common = {"temperature": (1.0, 0.1), "ramp": "linear", "replicas": 3}
    blind = {"ansatz": "rnn2d", "ansatz_options": {"informed": False}, "learning_rate": 3e-2, "num_steps": 1000}
    collapsed = solve(GROUND, "vca", optimiser="adam", **blind, **common)
    assert collapsed.tracking.num_lowest.min() < 4
    assert any("different states of lowest energy" in line for line in collapsed.warnings)
    sound = solve(GROUND, "vca", optimiser="natural", learning_rate=0.2, num_steps=300, **common)
    assert sound.tracking.num_lowest.tolist() == [4, 4, 4]
    assert sound.warnings == ()
