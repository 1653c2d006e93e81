"""Schedules: paper A's loop, the ramps, and which terms of the objective exist."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import all_states, field_matrix, mixed_problem
from lehr import (
    Controls,
    GeometricRamp,
    InputError,
    InverseRamp,
    LinearRamp,
    Problem,
    Schedule,
    TableRamp,
    VariationalAnnealing,
)
from lehr.schedule import effective_inverse_temperature, effective_problem, protocol
from product import Product

PROBLEM = mixed_problem(5)
RAMPS = {
    "linear": lambda a, b, t: a + (b - a) * t,
    "geometric": lambda a, b, t: a * (b / a) ** t,
    "inverse": lambda a, b, t: 1 / (1 / a + (1 / b - 1 / a) * t),
}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def paper_loop(start, num_warmup, num_annealing, num_training):
    """Temperature of every iteration of paper A's loop, the last of which only draws the final samples."""
    value, values = start, []
    for it in range(num_warmup + num_annealing * num_training + 1):
        if it >= num_warmup and it % num_training == 0:
            value = start * (1 - (it - num_warmup) / num_training / num_annealing)
        values.append(value)
    return values


def test_papers_loop():
    counts = {"num_warmup_steps": 10, "num_annealing_steps": 4, "num_training_steps": 5}
    schedule = protocol("rvqa", temperature=(2.0, 0.0), field=(3.0, 0.0), **counts)
    assert schedule.num_steps == 30
    steps = range(schedule.num_steps + 1)
    np.testing.assert_allclose([schedule(t).temperature for t in steps], paper_loop(2.0, 10, 4, 5), atol=1e-15)
    np.testing.assert_allclose([schedule(t).field for t in steps], paper_loop(3.0, 10, 4, 5), atol=1e-15)
    temperature = [float(schedule(t).temperature) for t in steps]
    assert temperature[:15] == [2.0] * 15  # the first annealing step stands at T0 once more
    assert temperature[-2:] == [2.0 / 4, 0.0]  # the last trained one is T0 / N_anneal, the final samples are at 0


def test_controls_may_be_traced():
    schedule = protocol("vca", temperature=(2.0, 0.0), field=(0.0, 0.0), num_warmup_steps=3, num_training_steps=2)
    steps = jnp.arange(20)
    many = jax.vmap(lambda step: schedule(step).temperature)(steps)
    np.testing.assert_array_equal(many, [float(schedule(int(t)).temperature) for t in steps])


@pytest.mark.parametrize("method", ["vqa", "rvqa"])
def test_the_way_back(method):
    """Cooled at the end of the field's ramp during the warm-up, then the way down in the opposite order."""
    counts = {"num_warmup_steps": 4, "num_annealing_steps": 3, "num_training_steps": 2, "num_hold_steps": 2}
    ends = {"temperature": (0.8, 0.05), "field": (3.0, 0.375)}
    schedule = protocol(method, **ends, ramp="geometric", cooled=True, **counts)
    found = [schedule(t, upward=True) for t in range(schedule.num_steps + 1)]
    fields = [0.375] * 4 + [0.375, 0.375, 0.75, 0.75, 1.5, 1.5] + [3.0] * 3
    np.testing.assert_allclose([c.field for c in found], fields, rtol=1e-12)
    back = 0.05 * 16.0 ** (np.array([0, 0, 1, 1, 2, 2, 3, 3, 3]) / 3)
    temperatures = [0.8, 0.4, 0.2, 0.1, *(back if method == "rvqa" else np.zeros(9))]
    np.testing.assert_allclose([c.temperature for c in found], temperatures, rtol=1e-12)
    down = [schedule(t) for t in range(schedule.num_steps + 1)]
    # Two steps stand at each of four fields; the fourth is where each way ends, at the hold.
    np.testing.assert_allclose([c.field for c in down[4::2]], [3.0, 1.5, 0.75, 0.375, 0.375], rtol=1e-12)
    np.testing.assert_allclose([c.field for c in down[4:10]], [c.field for c in found[11:5:-1]], rtol=1e-12)
    np.testing.assert_allclose([c.temperature for c in down[4:10]], temperatures[11:5:-1], rtol=1e-12)
    np.testing.assert_allclose([c.temperature for c in down[:4]], [0.8 if method == "rvqa" else 0] * 4, rtol=1e-12)
    assert schedule.method == method


def test_the_way_back_may_be_traced():
    schedule = protocol("vqa", temperature=(2.0, 0.0), field=(3.0, 1.0), cooled=True, num_warmup_steps=5)
    upward = jnp.array([False, True])
    both = jax.vmap(lambda up: schedule(2, up))(upward)
    assert both.temperature.tolist() == pytest.approx([0.0, 1.2])
    assert both.field.tolist() == [3.0, 1.0]


@pytest.mark.parametrize("name", RAMPS)
def test_ramps(name):
    counts = {"num_warmup_steps": 2, "num_annealing_steps": 7, "num_training_steps": 3, "num_hold_steps": 5}
    schedule = protocol("vca", temperature=(3.0, 0.2), field=(1.0, 1.0), ramp=name, **counts)
    assert schedule.num_steps == 2 + 7 * 3 + 5
    fraction = np.clip((np.arange(31) - 2) // 3, 0, 7) / 7
    found = [float(schedule(t).temperature) for t in range(31)]
    np.testing.assert_allclose(found, RAMPS[name](3.0, 0.2, fraction), rtol=1e-12)
    np.testing.assert_allclose(found[23:], 0.2, rtol=1e-12)  # the hold


def test_ramps_may_rise_and_stand():
    for ramp in (LinearRamp, GeometricRamp, InverseRamp):
        assert float(ramp(0.5, 2.0)(jnp.asarray(1.0))) == pytest.approx(2.0)
        assert float(ramp(0.7, 0.7)(jnp.asarray(0.4))) == pytest.approx(0.7)


def test_table():
    ramp = TableRamp(jnp.array([4.0, 1.0, 0.5, 0.1]))
    found = [float(ramp(jnp.asarray(t))) for t in (0.0, 1 / 6, 1 / 3, 0.5, 1.0)]
    np.testing.assert_allclose(found, [4, 2.5, 1, 0.75, 0.1])
    with pytest.raises(InputError, match=r"`values` must hold at least two numbers, but its shape is \(1,\)"):
        TableRamp(jnp.array([1.0]))


def test_a_ramp_at_constant_rate_follows_the_specific_heat():
    temperature = np.repeat(np.geomspace(8.0, 0.5, 4001), 2)  # standing still counts, too
    rng = np.random.default_rng(0)
    # A specific heat that does not depend on T: equal factors in equal times.
    even = TableRamp.at_constant_rate(temperature, 3 * temperature)
    np.testing.assert_allclose(even.values, np.geomspace(8.0, 0.5, 65), rtol=1e-3)
    # One that falls like T^2: length ~ T, so the ramp is linear; noise averages out, and so do gaps.
    noisy = temperature**2 * (1 + 0.2 * rng.standard_normal(temperature.size))
    linear = TableRamp.at_constant_rate(temperature, np.abs(noisy))
    np.testing.assert_allclose(linear.values, np.linspace(8.0, 0.5, 65), rtol=0.02)
    # A frozen end has some length left, and the ends are kept.
    frozen = TableRamp.at_constant_rate(temperature, np.where(temperature > 2, temperature, 0.0))
    np.testing.assert_allclose(np.asarray(frozen.values)[[0, -1]], [8.0, 0.5], rtol=1e-6)
    assert (np.diff(frozen.values) < 0).all()


@pytest.mark.parametrize(
    ("temperature", "energy_std", "told"),
    [
        ([1.0, 2.0], [1.0, 1.0], "`temperature` must fall"),
        ([1.0, 1.0], [1.0, 1.0], "`temperature` must fall"),
        ([1.0, 0.0], [1.0, 1.0], "`temperature` must fall"),
        ([np.inf, 2.0, 1.0], [1.0, 1.0, 1.0], "`temperature` must fall"),
        ([], [], "`temperature` must fall"),
        ([2.0, 1.0], [1.0], "`energy_std` must hold"),
        ([2.0, 1.0], [1.0, np.nan], "`energy_std` must hold"),
        ([2.0, 1.0], [0.0, 0.0], "`energy_std` must be above 0"),
    ],
)
def test_a_ramp_at_constant_rate_refuses_what_it_cannot_follow(temperature, energy_std, told):
    with pytest.raises(InputError, match=told):
        TableRamp.at_constant_rate(np.array(temperature), np.array(energy_std))


def test_a_ramp_at_constant_rate_has_two_ends():
    temperature = np.array([4.0, 2.0, 1.0])
    np.testing.assert_allclose(TableRamp.at_constant_rate(temperature, temperature, num_points=2).values, [4, 1])
    with pytest.raises(InputError, match="`num_points` must be at least 2, but it is 1"):
        TableRamp.at_constant_rate(temperature, temperature, num_points=1)


@pytest.mark.parametrize(
    ("method", "temperature", "field"), [("vca", 1, 0), ("vqa", 0, 1), ("rvqa", 1, 1), ("cqo", 0, 0)]
)
def test_method_decides_which_terms_exist(method, temperature, field, monkeypatch):
    """Without a field the flipped copies are not in the program, and without a temperature ln p is not."""
    schedule = protocol(method, temperature=(2.0, 1.0), field=(3.0, 1.0), num_annealing_steps=4)
    controls = schedule(2)
    assert controls.temperature is None if not temperature else float(controls.temperature) == 1.5
    assert controls.field is None if not field else float(controls.field) == 2.0
    calls = []

    def count(self, spins):
        calls.append(spins.shape)
        return -spins * self.params[None]

    monkeypatch.setattr(Product, "flip_log_ratio", count)
    annealing = VariationalAnnealing(schedule, num_samples=6)
    state = annealing.init(PROBLEM, Product(5), jax.random.key(0))
    _, info = eqx.filter_eval_shape(annealing.step, state)
    assert calls == [(6, 5)] * field
    assert info.temperature.shape == info.field.shape == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "sa"}, "`method` must be one of vca, vqa, rvqa, cqo, but it is 'sa'"),
        ({"ramp": "cosine"}, "`ramp` must be one of linear, geometric, inverse, but it is 'cosine'"),
        ({"temperature": (-1.0, 0.0)}, "`temperature` must be finite and at least 0, but it runs from -1.0 to 0.0"),
        ({"temperature": (1.0, -0.1)}, "`temperature` must be finite"),
        ({"temperature": (float("nan"), 1.0)}, "`temperature` must be finite"),
        ({"temperature": (1.0, float("nan"))}, "`temperature` must be finite"),
        ({"temperature": (float("inf"), 1.0)}, "`temperature` must be finite"),
        ({"method": "vqa", "field": (1.0, float("inf"))}, "`field` must be finite"),
        ({"ramp": "geometric", "temperature": (1.0, 0.0)}, "finite and above 0 for this ramp"),
        ({"ramp": "inverse", "temperature": (0.0, 1.0)}, "finite and above 0 for this ramp"),
        ({"num_warmup_steps": -1}, "`num_warmup_steps` must be at least 0, but it is -1"),
        ({"num_hold_steps": -1}, "`num_hold_steps` must be at least 0"),
        ({"num_annealing_steps": 0}, "`num_annealing_steps` must be at least 1"),
        ({"num_training_steps": 0}, "`num_training_steps` must be at least 1"),
    ],
)
def test_bad_arguments(changes, message):
    good = {"method": "vca", "temperature": (1.0, 0.0), "field": (1.0, 0.0)}
    with pytest.raises(InputError, match=message):
        protocol(**{**good, **changes})


def test_a_control_that_is_not_used_may_be_anything():
    assert protocol("vca", temperature=(1.0, 0.5), field=(0.0, -1.0), ramp="geometric").field is None


@pytest.mark.parametrize(
    ("temperature", "field", "expected"),
    [
        (0.5, None, 2.0),
        (None, 0.25, 4.0),
        (0.5, 4.0, 0.25),
        (4.0, 0.5, 0.25),
        (0.0, None, 1e3 / 8),
        (0.0, 0.0, 1e3 / 8),
        (None, None, 1 / 8),
    ],
)
def test_effective_inverse_temperature(temperature, field, expected):
    controls = Controls(*(None if value is None else jnp.asarray(value) for value in (temperature, field)))
    found = float(effective_inverse_temperature(controls, jnp.asarray(8.0)))
    assert found == pytest.approx(expected)


MANY_BODY = Problem.from_terms(4, {(0,): 0.5, (1,): -2.0, (0, 2): 0.3, (1, 2, 3): -0.7})


def coefficients(problem):
    return [np.asarray(terms.coefficients).tolist() for terms in problem.terms]


def test_couplings_in_a_field():
    """Exact for a single spin: the ground state of c s - Gamma sigma^x has ln p(+1)/p(-1) = -2 asinh(c / Gamma)."""
    controls = Controls(None, jnp.asarray(0.8))
    seen = effective_problem(MANY_BODY, controls, jnp.asarray(1 / 0.8))
    for c, told in zip(coefficients(MANY_BODY)[0], coefficients(seen)[0], strict=True):
        amplitudes = np.linalg.eigh(np.array([[c, -0.8], [-0.8, -c]]))[1][:, 0]
        assert -2 * told / 0.8 == pytest.approx(np.log(amplitudes[0] ** 2 / amplitudes[1] ** 2), rel=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_couplings_in_a_strong_field(order):
    """To first order in c / Gamma: ln p of H = c s_1 ... s_k - Gamma sum sigma^x, by exact diagonalisation."""
    states, field, c = all_states(order), 1.0, 1e-3
    matrix = field * field_matrix(order) + np.diag(c * states.prod(axis=1))
    log_p = 2 * np.log(np.abs(np.linalg.eigh(matrix)[1][:, 0]))
    contrast = log_p[states.prod(axis=1) > 0].mean() - log_p[states.prod(axis=1) < 0].mean()
    problem = Problem.from_terms(order, {tuple(range(order)): c})
    (told,) = coefficients(effective_problem(problem, Controls(None, jnp.asarray(field)), jnp.asarray(1.0)))
    assert -2 * told[0] == pytest.approx(contrast, rel=1e-4)


@pytest.mark.parametrize(("temperature", "field", "as_it_is"), [(0.5, None, True), (2.0, 0.5, True), (0.5, 2.0, False)])
def test_couplings_where_the_temperature_rules(temperature, field, as_it_is):
    controls = Controls(jnp.asarray(temperature), None if field is None else jnp.asarray(field))
    seen = effective_problem(MANY_BODY, controls, jnp.asarray(0.5))
    assert np.allclose(np.hstack(coefficients(seen)), np.hstack(coefficients(MANY_BODY)), rtol=1e-6) == as_it_is


def test_numbers_of_a_schedule_are_leaves():
    """Two schedules of one kind are one program: they differ in arrays only."""
    a = protocol("rvqa", temperature=(2.0, 1.0), field=(3.0, 1.0), num_annealing_steps=4)
    b = protocol("rvqa", temperature=(1.0, 0.5), field=(9.0, 0.0), num_annealing_steps=9, num_warmup_steps=2)
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert len(jax.tree.leaves(a)) == 8
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.aval == y.aval
    assert jax.tree.structure(Schedule(LinearRamp(2.0, 0.0), None)) != jax.tree.structure(a)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GeometricRamp(1.0, 0.0), "`stop` must be finite and positive"),
        (lambda: LinearRamp(-1.0, 0.0), "`start` must be finite and at least 0"),
        (lambda: Schedule(None, None, num_annealing_steps=0), "`num_annealing_steps` must be at least 1"),
        (lambda: Schedule(None, None, num_training_steps=0), "`num_training_steps` must be at least 1"),
    ],
)
def test_ramps_and_schedules_of_one_s_own_are_checked(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_method_of_a_schedule():
    ramp = LinearRamp(1.0, 0.0)
    found = [Schedule(*ramps).method for ramps in ((ramp, None), (None, ramp), (ramp, ramp), (None, None))]
    assert found == ["vca", "vqa", "rvqa", "cqo"]
