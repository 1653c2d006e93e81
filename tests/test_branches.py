"""Two branches: a field on its way down and up, histories of both, and the lower of their energies."""

from importlib import import_module

import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import energies, field_matrix, mixed_problem
from lehr import InputError, LinearRamp, Result, Schedule, TableRamp, resume, solve
from lehr.branches import lower_envelope
from product import Product

PROBLEM = mixed_problem(6)
ENDS = {"transverse_field": (2.0, 0.25), "temperature": (1.6, 0.1)}
QUICK = {
    "ansatz": Product(6), "optimiser": "adam", "num_warmup_steps": 8, "num_annealing_steps": 48, "num_samples": 64,
    "num_final_samples": 20, "replicas": 2, "seed": 3, "learning_rate": 0.1, "branches": 2, **ENDS,
}  # fmt: skip


def quick(problem=PROBLEM, method="vqa", **changes):
    return solve(problem, method, **{**QUICK, **changes})


@pytest.fixture(scope="module")
def result():
    return quick()


def test_history_of_both_branches(result):
    h = result.history
    assert {f"up_{name}" for name in h if not name.startswith("up_")} <= set(h)
    grid = 2.0 * 8.0 ** (-np.arange(49) / 48)
    for replica in range(2):
        np.testing.assert_allclose(h["field"][replica], [2.0] * 8 + [*grid[:-1]], rtol=1e-5)
        np.testing.assert_allclose(h["up_field"][replica], [0.25] * 8 + [*grid[:0:-1]], rtol=1e-5)
        np.testing.assert_array_equal(h["temperature"][replica], 0)
        cooling = 1.6 * 16.0 ** (-np.arange(8) / 8)
        np.testing.assert_allclose(h["up_temperature"][replica], [*cooling, *np.zeros(48)], rtol=1e-5)


def test_what_the_result_holds(result):
    """Samples of the networks that went down; the work of all."""
    assert result.samples.shape == (2, 20, 6)
    assert result.replica_best_energies.shape == (2,)
    assert result.work.gradient_steps == 56
    assert result.work.energy_evaluations == 2 * 2 * (56 * 64 + 20)
    assert result.temperature is None


def test_the_best_state_is_that_of_either_branch():
    """Of few samples, so that neither branch meets the best state for all."""
    few = quick(num_samples=2, num_final_samples=1, replicas=8, num_warmup_steps=2, num_annealing_steps=3)
    down, up = (few.history[name].min("step").values for name in ("energy_min", "up_energy_min"))
    samples = few.energies.min(axis=1)
    assert (up < np.minimum(down, samples)).any()
    assert (down < np.minimum(up, samples)).any()
    np.testing.assert_allclose(few.replica_best_energies, np.minimum(np.minimum(down, up), samples), rtol=1e-5)


def test_the_way_down_is_the_run_without_branches(result):
    alone = quick(branches=1, temperature=None)
    np.testing.assert_array_equal(alone.samples, result.samples)
    np.testing.assert_allclose(alone.history["free_energy"], result.history["free_energy"], rtol=1e-5)
    assert "up_field" not in alone.history


def test_networks_of_the_branches_are_independent(result):
    first = np.concatenate([result.history[name].values[:, 0] for name in ("energy_mean", "up_energy_mean")])
    assert len(set(first)) == 4


def test_stack_equals_runs_alone(result):
    """Each problem keeps its own branches, replicas, offset and best states."""
    other = mixed_problem(6, seed=8)
    together = solve([PROBLEM, other], "vqa", **QUICK)
    for found, lone in zip(together, [result, quick(other)], strict=True):
        np.testing.assert_array_equal(found.samples, lone.samples)
        np.testing.assert_array_equal(found.replica_best_energies, lone.replica_best_energies)
        for name in ("free_energy", "up_free_energy", "up_energy_min", "up_energy_mean"):
            np.testing.assert_allclose(found.history[name], lone.history[name], rtol=1e-3, atol=1e-3)


def test_schedule_of_ones_own():
    """It is passed both ways, and cooled as the settings say, unless it says so itself."""
    schedule = Schedule(None, TableRamp(jnp.array([3.0, 1.0, 0.5])), num_warmup_steps=4, num_annealing_steps=4)
    counts = {"num_warmup_steps": 4, "num_annealing_steps": 4}
    h = quick(schedule=schedule, **counts).history
    np.testing.assert_allclose(h["up_field"][0], [*[0.5] * 5, 0.75, 1.0, 2.0])
    np.testing.assert_allclose(h["up_temperature"][0], [1.6, 0.8, 0.4, 0.2, 0, 0, 0, 0], rtol=1e-5)
    cooled = Schedule(None, LinearRamp(3.0, 1.0), 4, 4, cooling=LinearRamp(2.0, 0.0))
    np.testing.assert_allclose(quick(schedule=cooled, **counts).history["up_temperature"][0, :4], [2, 1.5, 1, 0.5])


@pytest.mark.parametrize("step", [3, 30])
def test_interrupt_and_resume(step, result, tmp_path, monkeypatch):
    """In the cooling and on the way up: the same bits as an unbroken run, also from its folder."""
    monkeypatch.setattr(import_module("lehr.solve"), "_CHUNK_SECONDS", 0.0)

    def interrupt(report):
        if report.step >= step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(out=tmp_path / "run", callback=interrupt)
    for found in (resume(tmp_path / "run", ansatz=QUICK["ansatz"]), Result.load(tmp_path / "run")):
        assert found.history.identical(result.history)
        np.testing.assert_array_equal(found.samples, result.samples)
        np.testing.assert_array_equal(found.log_probs, result.log_probs)
        np.testing.assert_array_equal(found.best_spins, result.best_spins)


def test_reports_are_of_the_way_down():
    seen = []
    quick(callback=lambda report: seen.append(report))
    assert seen[-1].field == pytest.approx(0.25 * 8 ** (1 / 48), rel=1e-4)
    assert seen[-1].temperature == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"branches": 3}, "`branches` must be an integer of at least 1 and at most 2, but it is 3"),
        ({"branches": 0}, "`branches` must be an integer of at least 1 and at most 2, but it is 0"),
        ({"branches": True}, "`branches` must be an integer"),
        ({"method": "vca", "transverse_field": None}, "`branches` must be 1 for vca, which has no field, but it is 2"),
        ({"schedule": Schedule(LinearRamp(2.0, 0.1), None)}, "`branches` must be 1 for vca, which has no field"),
        ({"branches": 1}, "`temperature` must be left out for vqa, which has no such term"),
        ({"num_warmup_steps": 0}, "`num_warmup_steps` must be at least 1 for two branches, .*, but it is 0"),
        ({"temperature": (1.0, 0.0)}, "`temperature` must be finite and above 0 for this ramp"),
        ({"method": "sa"}, "`branches` must be left out for sa, which trains no network"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(InputError, match=message):
        quick(**changes)


def described(num_samples, **columns):
    """A result with this history [R, S]."""
    problem = mixed_problem(4)
    history = {name: np.asarray(values, float) for name, values in columns.items()}
    replicas, steps = history["field"].shape
    samples = np.ones((replicas, 1, 4), np.int8)
    history = {"step": np.arange(steps), "temperature": np.zeros((replicas, steps)), **history}
    spec = {"settings": {"num_samples": num_samples}}
    return Result.assemble(problem, method="vqa", seed=0, samples=samples, history=history, spec=spec)


def test_envelope_by_hand():
    """Two windows of two steps; the state of each step is taken to the mean field; the warm-up counts for nothing."""
    columns = {
        "field": [[4.0, 4.0, 3.0, 2.5, 2.0, 1.0]] * 2,
        "energy_mean": [[99, 99, -1, -1, -3, -3], [99, 99, -1, -1, -3, -3]],
        "free_energy": [[-99, -99, -7, -6, -5, -4], [-99, -99, -7, -6, -5, -3]],
        "free_energy_variance": [[99, 99, 1, 3, 8, 8]] * 2,
        "entropy": np.full((2, 6), 5.0),
        "up_field": [[1.0, 1.0, 1.5, 2.0, 3.0, 4.0]] * 2,
        "up_temperature": [[2.0, 1.0, 0.0, 0.0, 0.0, 0.0]] * 2,
        "up_energy_mean": [[99, 99, -3, -3, -3, -1]] * 2,
        "up_free_energy": [[-99, -99, -4.5, -5, -4, -5], [-99, -99, -9, -9, -4, -5]],
        "up_free_energy_variance": [[99, 99, 2, 2, 32, 32]] * 2,
        "up_entropy": np.full((2, 6), 5.0),
    }
    found = lower_envelope(described(4, **columns), num_points=2)
    np.testing.assert_allclose(found.field, [2.75, 1.5])
    # <sigma^x> of the way down: 2, 2 and 1, 1 (0 in the last step of the second replica).
    down = [[-1 - 2.75 * 2, -3 - 1.5 * 1], [-6.5, -3 - 1.5 * 0.5]]
    up = [[(-3 - 2.75 / 3 - 1 - 2.75) / 2, -3 - 1.5], [(-3 - 2.75 / 3 - 1 - 2.75) / 2, (-3 - 6 - 3 - 4.5) / 2]]
    np.testing.assert_allclose(found.energies, [down, up])
    np.testing.assert_allclose(found.errors[:, 0], [[0.5, 1.0], [2.0, 0.5]])
    np.testing.assert_array_equal(found.upward, [[False, False], [False, True]])
    np.testing.assert_allclose(found.energy, [[-6.5, -4.5], [-6.5, -8.25]])
    np.testing.assert_allclose(found.error, [[0.5, 1.0], [0.5, 0.5]])


def test_envelope_keeps_the_temperature():
    """With a temperature the entropy is left as it is when a state is taken to another field."""
    columns = {
        "field": [[3.0, 2.0, 1.0]], "temperature": [[9.0, 0.5, 0.5]], "energy_mean": [[0, -1, -1]],
        "free_energy": [[0, -5, -4]], "free_energy_variance": [[0, 1, 1]], "entropy": [[0, 2, 2]],
    }  # fmt: skip
    found = lower_envelope(described(2, **columns), num_points=1)
    np.testing.assert_allclose(found.energy, [[((-5 + (1.5 / 2 - 1) * -3) + (-4 + (1.5 / 1 - 1) * -2)) / 2]])


def test_envelope_where_the_field_stands_still():
    """Windows of one field each: of the hold on the way down, and of the last steps in the smallest field on the way up
    that are not of its cooling."""
    columns = {
        "field": [[3.0, 3.0, 2.0, 2.0, 1.0, 1.0, 1.0]], "energy_mean": np.zeros((1, 7)),
        "free_energy": [[-9, -9, -2, -4, -1, -1, -4]], "free_energy_variance": [[9, 9, 4, 4, 3, 3, 3]],
        "entropy": np.zeros((1, 7)),
        "up_field": [[1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]], "up_temperature": [[2, 0, 0, 0, 0, 0, 0]],
        "up_energy_mean": np.zeros((1, 7)), "up_free_energy": [[-99, -3, -5, -1, -3, -8, -8]],
        "up_free_energy_variance": [[99, 4, 4, 4, 4, 4, 4]], "up_entropy": np.zeros((1, 7)),
    }  # fmt: skip
    found = lower_envelope(described(1, **columns))
    np.testing.assert_array_equal(found.field, [2, 1])
    # What lies above the highest edge is taken to the field of the highest window.
    np.testing.assert_allclose(found.energies[:, 0], [[-3, -2], [(-1 - 3 - 2 * 8 * 2 / 3) / 4, -4]])
    np.testing.assert_allclose(found.errors[:, 0] ** 2, [[2, 1], [1, 2]])


@pytest.mark.parametrize("num_points", [4, 40])
@pytest.mark.parametrize(
    ("stand", "method", "temperature"),
    [
        ({"num_hold_steps": 10}, "vqa", (1.6, 0.1)),
        ({"num_training_steps": 5}, "vqa", (1.6, 0.1)),
        ({"num_hold_steps": 10, "num_training_steps": 5}, "rvqa", (1.6, 0.1)),
    ],
)
def test_a_complete_run_is_known_in_all_fields(stand, method, temperature, num_points):
    counts = {"num_warmup_steps": 8, "num_annealing_steps": 10, "num_samples": 4, "num_final_samples": 2}
    found = lower_envelope(quick(method=method, temperature=temperature, **counts, **stand), num_points)
    distinct = 9 + ("num_hold_steps" in stand)  # the first field is that of the warm-up
    assert found.energies.shape == (2, 2, min(num_points, distinct))
    assert np.isfinite(found.energies).all()
    assert (found.errors > 0).all()


def test_envelope_refuses_what_it_cannot_read(result):
    with pytest.raises(InputError, match="`num_points` must be at least 1, but it is 0"):
        lower_envelope(result, num_points=0)
    still = Schedule(None, LinearRamp(1.0, 1.0), 2, 4)
    with pytest.raises(InputError, match="`result` must be of a run whose field goes down, but it does not"):
        lower_envelope(quick(schedule=still, branches=1, temperature=None))
    with pytest.raises(InputError, match="`result` must be of networks in a field"):
        lower_envelope(solve(PROBLEM, "sa", num_steps=5, replicas=2))
    with pytest.raises(InputError, match="`result` must be of a run whose field goes down"):
        lower_envelope(quick(method="vca", branches=1, transverse_field=None))


@pytest.mark.parametrize("every", [1, 3])
def test_both_branches_are_upper_bounds(every):
    """Against exact diagonalisation; thinned histories count only what they hold."""
    found = lower_envelope(quick(history_every=every, num_samples=256), num_points=6)
    matrices = [np.diag(energies(PROBLEM)) + field * field_matrix(6) for field in found.field]
    exact = np.array([np.linalg.eigvalsh(matrix)[0] for matrix in matrices]) + 0.7
    assert (found.energies > exact - 3 * found.errors).all()
    assert (found.energy < exact + 0.3 * abs(exact)).all()
    assert found.energy.shape == (2, 6)


def test_a_run_that_stops_early_knows_less(monkeypatch):
    """It went down from 2 to 0.79, and up from 0.25 to 0.62 only."""
    monkeypatch.setattr(import_module("lehr.solve"), "_CHUNK_SECONDS", 0.0)
    found = lower_envelope(quick(callback=lambda report: report.step >= 30), num_points=6)
    assert found.field[-1] > 0.79
    assert np.isnan(found.energies[1]).all()
    assert not found.upward.any()
    assert np.isfinite(found.energy).all()
