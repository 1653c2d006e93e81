"""Settings and presets: the papers' tables, totals that keep their shares, and nothing unchecked from outside."""

import json

import jaxtyping
import numpy as np
import pytest

from enumeration import mixed_problem
from lehr import PRESETS, InputError, Problem, Settings, build_ansatz, newman_moore
from lehr.plan import chosen_settings
from lehr.preset import default_settings, preset, settings_from_json
from lehr.settings import default_range

# Paper A, methods, and paper B, Table I:
# ansatz, cell, shared, d_h, N_s, learning rate, T0 = Gamma0, N_warmup
TABLE = {
    "a-chain": ("rnn1d", "tensorised", False, 40, 50, 5e-4, 1.0, 1000),
    "a-ea10": ("rnn2d", "tensorised", False, 40, 25, 1e-4, 1.0, 1000),
    "a-ea40": ("rnn2d", "tensorised", False, 40, 25, 1e-4, 1.0, 2000),
    "a-sk": ("dilated", None, False, 40, 50, 1e-4, 2.0, 2000),
    "a-wishart": ("dilated", None, False, 20, 50, 1e-4, 1.0, 1000),
    "b": ("rnn2d", "vanilla", True, 40, 100, 1e-4, 10.0, 1000),
}


# Paper A, methods: T0, warm-up sweeps, reads; Gamma0, slices, reads.
ANNEALING = {"a-ea-sa": (1.0, 2000, 25), "a-sk-sa": (2.0, 2000, 50), "a-wishart-sa": (1.0, 1000, 50)}
QUANTUM_ANNEALING = {"a-ea-sqa": (1.0, 20, 25), "a-sk-sqa": (2.0, 100, 50), "a-wishart-sqa": (1.0, 100, 50)}
NETWORKS = [name for name in PRESETS if name not in {**ANNEALING, **QUANTUM_ANNEALING}]


@pytest.mark.parametrize("name", ANNEALING)
def test_presets_of_simulated_annealing(name):
    temperature, warmup, reads = ANNEALING[name]
    s = preset(name)
    assert (s.method, s.temperature, s.ramp) == ("sa", (temperature, 1e-8), "linear")
    assert (s.num_warmup_steps, s.num_training_steps, s.replicas) == (warmup, 5, reads)


@pytest.mark.parametrize("name", QUANTUM_ANNEALING)
def test_presets_of_simulated_quantum_annealing(name):
    field, slices, reads = QUANTUM_ANNEALING[name]
    s = preset(name)
    assert (s.method, s.temperature, s.transverse_field, s.ramp) == ("sqa", (1.0, 1.0), (field, 1e-8), "linear")
    assert (s.num_slices, s.num_preanneal_steps, s.num_training_steps, s.replicas) == (slices, 6000, 5, reads)


@pytest.mark.parametrize("name", NETWORKS)
def test_presets_are_the_papers_tables(name):
    family, method = name.rsplit("-", 1)
    ansatz, cell, shared, hidden, num_samples, rate, scale, warmup = TABLE[family]
    s = preset(name)
    assert s.method == method
    assert s.ansatz == ansatz
    assert s.ansatz_options.get("cell") == cell
    assert (s.ansatz_options["shared"], s.ansatz_options["hidden"]) == (shared, hidden)
    assert (s.num_samples, s.learning_rate, s.num_warmup_steps) == (num_samples, rate, warmup)
    assert s.temperature == s.transverse_field == (scale, 0.0)
    assert (s.ramp, s.num_training_steps, s.num_hold_steps, s.replicas) == ("linear", 5, 0, 1)
    assert (s.normalise, s.max_gradient_norm, s.dtype) == (False, None, "float64")
    assert PRESETS[name].description


def test_presets_cover_the_tables():
    assert {name.rsplit("-", 1)[0] for name in NETWORKS} == set(TABLE)
    assert {"b-vca", "b-vqa", "a-ea10-vca", "a-ea10-vqa", "a-ea10-rvqa", "a-ea10-cqo"} <= set(PRESETS)
    with pytest.raises(
        InputError, match=r"`preset` must be one of a-chain-vca, .*b-vqa, or a JSON file, but it is 'c-vca'"
    ):
        preset("c-vca")


def test_paper_b_in_full():
    s = preset("b-vca")
    assert (s.num_annealing_steps, s.num_steps, s.ansatz_options["order"]) == (10_000, 51_000, "raster")
    assert build_ansatz(newman_moore((3, 3)), s.ansatz, s.ansatz_options)[0].num_parameters == 3482


@pytest.mark.parametrize("ansatz", ["linear", "recurrent"])
def test_defaults_do_not_depend_on_labels_or_offset(ansatz):
    problem = mixed_problem(6)
    settings = default_settings(problem, "vqa", ansatz)
    assert settings.method == "vqa"
    assert settings == default_settings(problem.bare(), "vqa", ansatz)


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 6, 17, 100, 999, 5100, 123_456])
@pytest.mark.parametrize(
    "settings",
    [
        *(preset(name) for name in ("b-vca", "a-sk-vca")),
        Settings(),
        Settings(num_warmup_steps=0),
        Settings(num_warmup_steps=500, num_annealing_steps=1, num_hold_steps=499),
        Settings(num_warmup_steps=10, num_annealing_steps=20, num_training_steps=7, num_hold_steps=900),
    ],
)
def test_total_is_kept_and_shared_out(settings, total):
    changed = settings.changed(num_steps=total)
    assert changed.num_steps == total
    slack = settings.num_training_steps
    assert abs(changed.num_warmup_steps - total * settings.num_warmup_steps / settings.num_steps) <= slack
    assert abs(changed.num_hold_steps - total * settings.num_hold_steps / settings.num_steps) <= slack
    if total >= slack:
        assert changed.num_training_steps == settings.num_training_steps


def test_own_total_changes_nothing():
    for settings in (Settings(), preset("b-vca"), Settings(num_hold_steps=7, num_training_steps=3)):
        assert settings.changed(num_steps=settings.num_steps) == settings
    assert Settings().changed(num_steps=100, seed=4) == Settings(num_warmup_steps=5, num_annealing_steps=95, seed=4)


@pytest.mark.parametrize(
    "settings", [*(PRESETS[name].settings for name in PRESETS), Settings(temperature=(2.0, 1.0), max_gradient_norm=1.5)]
)
def test_json_round_trip(settings):
    assert settings_from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.fixture
def _unhooked():
    """Users do not have the type checks of the tests: without them the library's own must catch everything."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("_unhooked")
def test_numbers_of_numpy_become_plain():
    settings = Settings(seed=np.int64(3), temperature=(np.float32(2), np.float64(1)), replicas=np.int32(2))
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert [type(v) for v in (settings.seed, settings.replicas, *settings.temperature)] == [int, int, float, float]


@pytest.mark.usefixtures("_unhooked")
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("method", "sa", "must be one of vca, vqa, rvqa, cqo, but it is 'sa'"),
        ("method", ["vca"], "must be one of"),
        ("ramp", "step", "must be one of linear, geometric, inverse"),
        ("dtype", "float16", "must be one of float32, float64"),
        ("dtype", 64, "must be one of float32, float64"),
        ("num_annealing_steps", 0, "must be an integer of at least 1, but it is 0"),
        ("num_samples", 1, "must be an integer of at least 2"),
        ("num_final_samples", 0, "must be an integer of at least 1"),
        ("replicas", 0, "must be an integer of at least 1"),
        ("replicas", 2.0, "must be an integer"),
        ("replicas", True, "must be an integer"),
        ("num_warmup_steps", "5", "must be an integer"),
        ("num_warmup_steps", 2**31, "must be an integer"),
        ("num_hold_steps", None, "must be an integer"),
        ("seed", -1, "must be an integer of at least 0"),
        ("seed", 2**32, "must be an integer of at least 0 and at most 4294967295"),
        ("num_steps", 0, "must be an integer of at least 1"),
        ("num_steps", 1.5, "must be an integer of at least 1"),
        ("num_steps", True, "must be an integer of at least 1"),
        ("learning_rate", 0.0, "must be positive and finite"),
        ("learning_rate", float("nan"), "must be positive and finite"),
        ("learning_rate", float("inf"), "must be positive and finite"),
        ("learning_rate", 10**400, "must be positive and finite"),
        ("learning_rate", "fast", "must be positive and finite, but it is 'fast'"),
        ("learning_rate", None, "must be positive and finite"),
        ("max_gradient_norm", -1.0, "must be positive and finite"),
        ("temperature", 5.0, "must be two finite numbers, start and stop, but it is 5.0"),
        ("temperature", [1.0, 0.5, 0.1], "must be two finite numbers"),
        ("temperature", "ab", "must be two finite numbers"),
        ("transverse_field", [1.0, float("nan")], "must be two finite numbers"),
        ("ansatz", 3, "must be a name"),
        ("ansatz_options", "hidden", "must be a mapping of options"),
        ("symmetrise", 3, "must be a name"),
        ("symmetrise", "flip;kernel", "must be flip, translations, kernel, or several joined by commas"),
        ("normalise", "no", "must be true or false"),
        ("steps", 10, "must be a setting, but the settings are: num_steps, method, "),
    ],
)
def test_bad_values(name, value, message):
    with pytest.raises(InputError, match=f"Argument `{name}` {message}"):
        Settings().changed(**{name: value})
    with pytest.raises(InputError, match=f"Argument `{name}` {message}"):
        Settings.from_json({**Settings().to_json(), name: value})


def test_default_range_scales_with_the_problem():
    problem = mixed_problem(6)
    hot, cold = default_range(problem)
    assert 0 < cold < 0.1 * hot
    scaled = Problem(6, [(t.indices, 2.0**20 * t.coefficients) for t in problem.terms], offset=1e9)
    assert default_range(scaled) == (2.0**20 * hot, 2.0**20 * cold)


def test_default_range_without_terms():
    assert default_range(Problem(3, [])) == (1.0, 0.03)
    lonely = Problem.from_terms(50, {(0, 1): 8.0})  # spins without terms do not count
    assert default_range(lonely) == (8.0, 0.24)


def test_schedule_of_settings():
    problem = mixed_problem(6)
    hot, cold = default_range(problem)
    left_open = Settings(method="rvqa", temperature=(3.0, 1.0)).schedule([problem])
    assert [float(left_open(step).temperature) for step in (0, left_open.num_steps)] == pytest.approx([3.0, 1.0])
    assert [float(left_open(step).field) for step in (0, left_open.num_steps)] == pytest.approx([hot, cold])
    counts = {"num_warmup_steps": 3, "num_annealing_steps": 5, "num_training_steps": 2, "num_hold_steps": 4}
    schedule = Settings(**counts).schedule([problem])
    assert {name: int(getattr(schedule, name)) for name in counts} == counts


def test_defaults_of_each_optimiser():
    """The optimiser that suits the ansatz, and its own learning rate and number of steps where another is asked for."""
    problem = mixed_problem(5)
    assert default_settings(problem, ansatz="linear").optimiser == "adam"
    natural, adam = default_settings(problem, ansatz="rnn"), default_settings(problem, ansatz="rnn", optimiser="adam")
    assert (natural.optimiser, natural.learning_rate, natural.num_steps) == ("natural", 0.2, 500)
    assert (adam.optimiser, adam.learning_rate, adam.num_steps) == ("adam", 3e-3, 1000)
    assert default_settings(problem, "vqa", "rnn").num_samples == 200


@pytest.mark.parametrize(("name", "value"), [("max_gradient_norm", 1.0), ("normalise", False), ("normalise", True)])
def test_the_natural_gradient_has_no_use_for_what_tames_adam(name, value):
    problem = mixed_problem(5)
    with pytest.raises(InputError, match=f"`{name}` must be left out for the natural gradient"):
        chosen_settings(problem, None, None, {"optimiser": "natural", name: value})
    assert getattr(chosen_settings(problem, None, None, {"optimiser": "adam", name: value}), name) == value
    assert chosen_settings(problem, "b-vca", None, {"optimiser": "natural"}).optimiser == "natural"
