"""The training loop: exact ground states, independent replicas, honest histories, and failures that say so."""

import json
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from enumeration import all_states, energies, field_matrix, mixed_problem
from lehr import RNN1D, DivergenceError, InputError, Linear, Problem, Settings, native, random_chain, solve
from lehr.plan import make_plan
from product import Product

PROBLEM = mixed_problem(6)
ANSATZ = Product(6)
# One compiled program serves most tests: what they change are numbers, not shapes.
QUICK = {
    "ansatz": ANSATZ, "optimiser": "adam", "num_steps": 40, "num_samples": 16, "num_final_samples": 20, "replicas": 2,
    "seed": 3,
}  # fmt: skip
ALONE = {**QUICK, "replicas": 1}


def quick(problem=PROBLEM, **changes):
    return solve(problem, **{**QUICK, **changes})


def shifted(scale, offset):
    """PROBLEM with all coefficients multiplied by `scale`, and another offset."""
    return Problem(6, [(t.indices, scale * t.coefficients) for t in PROBLEM.terms], offset=offset)


def assert_same_run(a, b):
    np.testing.assert_array_equal(a.samples, b.samples)
    np.testing.assert_array_equal(a.log_probs, b.log_probs)
    np.testing.assert_array_equal(a.energies, b.energies)
    np.testing.assert_array_equal(a.best_spins, b.best_spins)
    assert a.history.identical(b.history)


@pytest.fixture(scope="module")
def result():
    return quick()


@pytest.fixture(scope="module")
def alone():
    Product.traces.clear()
    result = quick(**ALONE)
    assert set(Product.traces) == {16, 20}, "a new shape is a new program, with the samples of a step and of the end"
    return result


def test_the_spec_tells_of_the_software(result):
    """On which kernels ran, too: the last bits of a run depend on them."""
    software = result.spec["software"]
    assert software["kernels"] == native.status().reason
    assert software["jax"] == jax.__version__


def test_exact_ground_state(result):
    """On terms of orders 1, 2 and 3; the command line's tests have the 12-spin chain with the linear ansatz."""
    exact = energies(PROBLEM) + 0.7
    assert PROBLEM.order == 3
    assert result.best_energy == pytest.approx(exact.min(), rel=1e-12)
    np.testing.assert_array_equal(result.best_spins, all_states(6)[exact.argmin()])
    assert (result.method, result.seed, result.gradient_steps) == ("vca", 3, 40)
    assert result.ansatz == "Product (6 parameters): as given"


def test_energies_carry_the_offset(result):
    states = all_states(6)
    exact = dict(zip(map(tuple, states.astype(int)), energies(PROBLEM) + 0.7, strict=True))
    expected = [exact[tuple(spins)] for spins in result.samples.reshape(-1, 6)]
    np.testing.assert_allclose(result.energies.ravel(), expected, rtol=1e-12)
    assert result.samples.shape == (2, 20, 6)
    assert result.log_probs.shape == (2, 20)
    moved = quick(shifted(1.0, 100.7))
    np.testing.assert_array_equal(moved.samples, result.samples)
    for name in ("energy_mean", "energy_min", "free_energy"):
        np.testing.assert_allclose(moved.history[name], result.history[name] + 100, rtol=1e-12)
    for name in ("energy_std", "free_energy_variance", "entropy", "gradient_norm", "temperature", "field"):
        np.testing.assert_array_equal(moved.history[name], result.history[name])


def test_history(result):
    history = result.history
    assert dict(history.sizes) == {"replica": 2, "step": 40}
    np.testing.assert_array_equal(history["step"], np.arange(40))
    scale = PROBLEM.field_scale()
    cold, hot = np.quantile(scale, [0.1, 0.9])
    expected = hot * (0.03 * cold / hot) ** (np.maximum(np.arange(40) - 2, 0) / 38)  # 2 of 40 steps are warm-up
    np.testing.assert_allclose(history["temperature"], np.tile(expected, (2, 1)), rtol=1e-5)
    assert not history["field"].any()
    gain = history["energy_mean"] - history["temperature"] * history["entropy"]
    np.testing.assert_allclose(history["free_energy"], gain, atol=1e-5)
    assert (history["energy_min"] <= history["energy_mean"]).all()
    assert (history["energy_std"] > 0).any()
    assert (history["free_energy_variance"] >= 0).all()
    assert (history["gradient_norm"] > 0).all()
    assert (history["energy_min"] >= energies(PROBLEM).min() + 0.7 - 1e-5).all()
    assert result.best_energy <= float(history["energy_min"].min()) + 1e-5


def test_entropy_at_high_temperature_is_that_of_free_spins():
    history = quick(temperature=(1e4, 1e4)).history
    np.testing.assert_allclose(history["entropy"], 6 * np.log(2), rtol=0.05)
    assert float(history["entropy"].mean()) == pytest.approx(6 * np.log(2), rel=0.01)


def test_equal_seeds_give_equal_bits(result):
    assert_same_run(quick(), result)
    other = quick(seed=4)
    assert (other.samples != result.samples).any()
    assert (other.history["energy_mean"].values[:, 0] != result.history["energy_mean"].values[:, 0]).all()


@pytest.mark.usefixtures("result")
def test_a_sweep_does_not_compile_again():
    """Numbers are arrays: other rates, ranges, step counts, seeds and couplings run in the program that exists."""
    Product.traces.clear()
    for rate, seed in ((1e-3, 3), (0.1, 5)):
        quick(shifted(3.0 * seed, 0.1), learning_rate=rate, seed=seed, temperature=(2.0, rate), num_steps=7)
    assert Product.traces == []


@pytest.mark.parametrize("power", [20, -20])
def test_scale_of_the_problem_does_not_matter(result, power):
    scaled = quick(shifted(2.0**power, -3.0))
    np.testing.assert_array_equal(scaled.samples, result.samples)
    np.testing.assert_array_equal(scaled.best_spins, result.best_spins)
    np.testing.assert_array_equal(scaled.log_probs, result.log_probs)
    np.testing.assert_array_equal(scaled.history["entropy"], result.history["entropy"])
    np.testing.assert_array_equal(scaled.history["energy_std"], 2.0**power * result.history["energy_std"])


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_large_and_small_coefficients_anneal_equally(result, scale):
    scaled = quick(shifted(scale, 0.7))
    np.testing.assert_array_equal(scaled.best_spins, result.best_spins)
    assert scaled.best_energy - 0.7 == pytest.approx(scale * (result.best_energy - 0.7), rel=1e-9)


def test_replicas_are_independent_and_keep_their_keys(result, alone):
    first = result.history["energy_mean"].values[:, 0]
    assert first[0] != first[1]
    assert (result.samples[0] != result.samples[1]).any()
    np.testing.assert_allclose(alone.history["energy_mean"][0], result.history["energy_mean"][0], rtol=1e-3)
    np.testing.assert_allclose(alone.log_probs[0], result.log_probs[0], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(alone.samples[0], result.samples[0])


def test_stack_equals_runs_alone(alone):
    problems = [PROBLEM, shifted(-1.0, 2.0)]
    fixed = {**ALONE, "temperature": (2.0, 0.1)}
    together = solve(problems, **fixed)
    assert [r.problem.offset for r in together] == [0.7, 2.0]
    for problem, found in zip(problems, together, strict=True):
        lone = solve(problem, **fixed)
        np.testing.assert_array_equal(found.samples, lone.samples)
        np.testing.assert_array_equal(found.best_spins, lone.best_spins)
        np.testing.assert_allclose(found.log_probs, lone.log_probs, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found.history["free_energy"], lone.history["free_energy"], rtol=1e-3)
    assert (together[0].best_spins != together[1].best_spins).any()
    assert_same_run(solve([PROBLEM], **ALONE)[0], alone)


def test_different_interactions_do_not_stack():
    with pytest.raises(InputError, match=r"same interactions, but number 1 \(problem\) differs from number 0"):
        solve([PROBLEM, Problem.from_terms(6, {(0, 1): 1.0})], **ALONE)


def test_double_precision(alone):
    double = quick(**ALONE, dtype="float64")
    scale = PROBLEM.field_scale()
    cold, hot = np.quantile(scale, [0.1, 0.9])
    expected = hot * (0.03 * cold / hot) ** (np.maximum(np.arange(40) - 2, 0) / 38)
    np.testing.assert_allclose(double.history["temperature"][0], expected, rtol=1e-14)
    assert np.abs(alone.history["temperature"][0] / expected - 1).max() > 1e-9
    assert (double.log_probs != double.log_probs.astype(np.float32)).any()
    assert (alone.log_probs == alone.log_probs.astype(np.float32)).all()
    assert double.best_energy == pytest.approx(alone.best_energy, rel=1e-12)
    assert not jax.config.jax_enable_x64


def test_callback_sees_and_stops(monkeypatch, result):
    monkeypatch.setattr(import_module("lehr.solve"), "_CHUNK_SECONDS", 0.0)  # chunks of one step
    reports = []
    stopped = quick(callback=lambda report: reports.append(report) or report.step == 11)
    assert [report.step for report in reports] == list(range(1, 12))
    assert {report.num_steps for report in reports} == {40}
    assert stopped.gradient_steps == stopped.history.sizes["step"] == 11
    np.testing.assert_array_equal(stopped.history["free_energy"], result.history["free_energy"][:, :11])
    last = result.history.isel(step=10)
    assert reports[-1].energy == pytest.approx(float(last["energy_mean"].mean()), rel=1e-6)
    assert reports[-1].free_energy == pytest.approx(float(last["free_energy"].mean()), rel=1e-6)
    assert reports[-1].temperature == pytest.approx(float(last["temperature"][0]), rel=1e-6)
    assert reports[-1].best_energy == pytest.approx(float(result.history["energy_min"][:, :11].min()), rel=1e-6)


def test_history_may_be_thinned(result):
    thin = quick(history_every=7)
    np.testing.assert_array_equal(thin.history["step"], [0, 7, 14, 21, 28, 35])
    np.testing.assert_array_equal(thin.history["entropy"], result.history["entropy"].values[:, ::7])
    np.testing.assert_array_equal(thin.samples, result.samples)


def test_gradients_may_be_clipped():
    """The clip stands before Adam and leaves the same direction, with the learning rate outside."""
    settings = Settings(max_gradient_norm=0.5)
    annealing = make_plan([PROBLEM], settings, {"ansatz": ANSATZ, "schedule": None, "optimiser": None}).engine.annealing
    optimiser, adam = annealing.optimiser, optax.adam(0.1)
    params = expected = ANSATZ.params
    state, expected_state = optimiser.init(params), adam.init(params)
    for size in (10.0, 0.1, 3.0):
        gradient = size * jnp.arange(1.0, 7.0) / jnp.linalg.norm(jnp.arange(1.0, 7.0))
        params, state = optimiser.step(params, gradient, optax.tree.norm(gradient), state, 0.1)
        updates, expected_state = adam.update(gradient * min(1.0, 0.5 / size), expected_state)
        expected = optax.apply_updates(expected, updates)
        np.testing.assert_allclose(params, expected, rtol=1e-5)
    assert float(annealing.learning_rate) == pytest.approx(settings.learning_rate)


def test_any_optimiser():
    rate = optax.linear_schedule(0.5, 0.1, 40)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(rate))
    own = {**ALONE, "optimiser": optimiser}
    first = quick(**own)
    assert float(first.history["energy_mean"][0, -5:].mean()) < float(first.history["energy_mean"][0, :5].mean()) - 1
    # the optimiser is whole: the learning rate of the settings is not applied on top
    assert_same_run(quick(**own, learning_rate=1e-9), first)


def test_divergence(tmp_path):
    """Every step at which NaN may appear is caught, the last update of a run included, and the state before is kept."""
    huge = {"learning_rate": 1e38, "checkpoint_seconds": 0.0}
    with pytest.raises(DivergenceError, match=r"non-finite at step (\d+) \(network \d: ") as caught:
        quick(**huge, out=tmp_path / "long")
    message = str(caught.value)
    assert "learning rate 1e+38 is probably too large: try a tenth of it, or max_gradient_norm=1" in message
    assert f"The last good state is in `{tmp_path / 'long' / 'checkpoint'}`" in message
    run = json.loads((tmp_path / "long" / "run.json").read_text())
    assert run["status"] == "diverged"
    kept = sorted((tmp_path / "long" / "checkpoint").glob("step-*.npz"))
    step = int(message.split("at step ")[1].split()[0])
    assert kept
    for path in kept:
        with np.load(path) as arrays:
            assert int(path.stem.split("-")[1]) <= step
            assert all(np.isfinite(arrays[name]).all() for name in arrays)

    def ended(num_steps):
        try:
            return quick(**huge, num_steps=num_steps)
        except DivergenceError as error:
            return str(error)

    # one of these runs ends with the update that breaks the parameters
    outcomes = [ended(num_steps) for num_steps in range(1, step + 1)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert f"at step {outcomes.index(refused[0])} " in refused[0]
    assert "its update made the parameters non-finite" in refused[0]
    assert all(np.isfinite(o.log_probs).all() for o in outcomes if not isinstance(o, str))


def test_divergence_of_ones_own_optimiser(tmp_path):
    """NaN from the third update on: with chunks of one step, no checkpoint may hold it."""

    def update(gradient, step, params=None):
        return jnp.where(step < 2, 0.0, jnp.nan) * gradient, step + 1

    optimiser = optax.GradientTransformation(lambda params: jnp.zeros((), int), update)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("lehr.solve"), "_CHUNK_SECONDS", 0.0)
        with pytest.raises(DivergenceError, match=r"at step 2 .* optimiser's step size is probably too large"):
            quick(**{**ALONE, "optimiser": optimiser}, out=tmp_path / "run", checkpoint_seconds=0.0)
    newest = max((tmp_path / "run" / "checkpoint").glob("step-*.npz"))
    assert newest.name == "step-000000002.npz"
    with np.load(newest) as arrays:
        leaves = [arrays[name] for name in arrays if name.startswith("leaf-")]
    assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_folder_of_another_run_is_refused(tmp_path, result):
    out = tmp_path / "run"
    assert_same_run(quick(out=out), result)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"`out` must be a folder without a run, but `.*` holds one"):
        quick(out=out, seed=9)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="`out` must be a folder to write to"):
            quick(out=bad)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history_every": 0}, "`history_every` must be an integer of at least 1"),
        ({"preset": "none"}, "`preset` must be one of"),
        ({"ansatz": "transformer"}, "`ansatz` must be one of auto, linear"),
        ({"ansatz": "rnn2d"}, "needs a two-dimensional lattice"),
        ({"ansatz": "linear", "ansatz_options": {"width": 3}}, "`ansatz_options` must hold options of 'linear'"),
        ({"steps": 10}, "`steps` must be a setting"),
        ({"temperature": (-1.0, 0.0)}, "`temperature` must be finite"),
        ({"method": "tabu"}, "`method` must be one of"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(InputError, match=message):
        quick(**changes)


def test_no_problem():
    with pytest.raises(InputError, match="`problem` must be a Problem or a sequence of Problems"):
        solve([])


def test_transverse_chain_reaches_the_quantum_ground_state():
    """VQA on a 6-spin random chain, held at Gamma = 0.5: within 3 % of exact diagonalisation, and not below it."""
    chain = random_chain(6, seed=2)
    steps = {"num_warmup_steps": 50, "num_annealing_steps": 250, "num_hold_steps": 100}
    found = solve(
        chain, "vqa", transverse_field=(2.0, 0.5), ramp="linear", num_samples=100, replicas=2, seed=0, **steps
    )
    assert found.gradient_steps == 400
    held = found.history.isel(step=slice(300, None))
    np.testing.assert_allclose(held["field"], 0.5)
    assert not found.history["temperature"].any()
    exact = np.linalg.eigvalsh(np.diag(energies(chain)) + 0.5 * field_matrix(6))[0]
    energy = held["free_energy"].mean("step").values
    error = np.sqrt(held["free_energy_variance"].mean("step").values / (100 * 100))
    assert (energy > exact - 5 * error).all()
    assert (energy < exact + 0.03 * abs(exact) + 5 * error).all()
    assert (held["energy_mean"].mean() > held["free_energy"].mean()).all()


def test_an_ansatz_of_another_problem_is_refused():
    chain = Problem.from_terms(4, {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0})
    other = Problem.from_terms(4, {(0, 1): 1.0, (0, 2): 1.0, (2, 3): 1.0})
    for ansatz, message in (
        (Linear(other), "must be built for the interactions of the problem"),
        (RNN1D(5, hidden=2), "must have as many spins as the problem, 4, but it has 5"),
    ):
        with pytest.raises(InputError, match=message):
            solve(chain, ansatz=ansatz)
