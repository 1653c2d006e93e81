"""Schedules: temperature and transverse field as functions of the step. The four protocols are schedules."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lehr._types import ArrayLike, InputError, is_traced
from lehr.problem.base import Problem, Terms


class Controls(eqx.Module):
    """What the outside world imposes at one step; None means that the term does not exist in this protocol."""

    temperature: Float[Array, ""] | None
    field: Float[Array, ""] | None


class Ramp(eqx.Module):
    """A number as a function of the annealed fraction t, from 0 to 1."""

    @abc.abstractmethod
    def __call__(self, fraction: Float[Array, ""]) -> Float[Array, ""]:
        """Value at the fraction t."""


def _check_ends(ramp: Any, lowest: str) -> None:
    """Refuse ends that no temperature or field can have; what is traced or stacked is taken as it is."""
    for name in ("start", "stop"):
        value = getattr(ramp, name)
        if is_traced(value) or jnp.ndim(value):
            continue
        if not (0 <= value < jnp.inf) or (lowest == "positive" and value == 0):
            raise InputError(f"Argument `{name}` must be finite and {lowest}, but it is {float(value)}.")


class LinearRamp(Ramp):
    """`start + (stop - start) t`, the ramp of both papers (with stop = 0).

    >>> [round(float(LinearRamp(2.0, 0.0)(jnp.asarray(t))), 3) for t in (0.0, 0.25, 1.0)]
    [2.0, 1.5, 0.0]
    """

    start: Float[ArrayLike, ""] = eqx.field(converter=jnp.asarray)
    stop: Float[ArrayLike, ""] = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        _check_ends(self, "at least 0")

    def __call__(self, fraction: Float[Array, ""]) -> Float[Array, ""]:
        """Value at the fraction t."""
        return jnp.asarray(self.start + (self.stop - self.start) * fraction)


class GeometricRamp(Ramp):
    """`start (stop / start)^t`: equal factors in equal times. Both ends must be positive.

    >>> [round(float(GeometricRamp(1.0, 0.01)(jnp.asarray(t))), 3) for t in (0.0, 0.5, 1.0)]
    [1.0, 0.1, 0.01]
    """

    start: Float[ArrayLike, ""] = eqx.field(converter=jnp.asarray)
    stop: Float[ArrayLike, ""] = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        _check_ends(self, "positive")

    def __call__(self, fraction: Float[Array, ""]) -> Float[Array, ""]:
        """Value at the fraction t."""
        return jnp.asarray(self.start * (self.stop / self.start) ** fraction)


class InverseRamp(Ramp):
    """`1 / (1/start + (1/stop - 1/start) t)`: linear in the inverse temperature. Both ends must be positive.

    >>> [round(float(InverseRamp(1.0, 0.2)(jnp.asarray(t))), 3) for t in (0.0, 0.5, 1.0)]
    [1.0, 0.333, 0.2]
    """

    start: Float[ArrayLike, ""] = eqx.field(converter=jnp.asarray)
    stop: Float[ArrayLike, ""] = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        _check_ends(self, "positive")

    def __call__(self, fraction: Float[Array, ""]) -> Float[Array, ""]:
        """Value at the fraction t."""
        return jnp.asarray(1 / (1 / self.start + (1 / self.stop - 1 / self.start) * fraction))


class TableRamp(Ramp):
    """Any curve, given by its values at equally spaced fractions and interpolated linearly between them.

    >>> round(float(TableRamp(jnp.array([4.0, 1.0, 0.5]))(jnp.asarray(0.25))), 3)
    2.5
    """

    values: Float[ArrayLike, " points"] = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        if self.values.ndim != 1 or self.values.size < 2:
            raise InputError(f"Argument `values` must hold at least two numbers, but its shape is {self.values.shape}.")

    @classmethod
    def at_constant_rate(
        cls, temperature: Float[ArrayLike, " steps"], energy_std: Float[ArrayLike, " _"], num_points: int = 65
    ) -> "TableRamp":
        """The ramp over the temperatures of a short run on which the distribution changes at a constant rate.

        Arguments: the falling `temperature` of each step of that run, and the standard deviation of H over its samples
        (both stand in `Result.history`). A Boltzmann distribution moves by `(std of H / T) |d ln T|`, its length in the
        Fisher metric: the square root of the specific heat for each factor in T. Equal times pass equal lengths, so the
        ramp lingers where the specific heat is large.

        Source: P. Salamon, R. S. Berry, Phys. Rev. Lett. 51, 1127 (1983). Errors: `InputError` where the temperatures
        do not fall from one positive number to another, a deviation is not a finite number of at least 0, or
        `num_points` is below 2.

        >>> ramp = TableRamp.at_constant_rate(np.array([4.0, 2.0, 1.0]), np.array([0.4, 0.2, 0.9]), num_points=3)
        >>> [round(float(value), 2) for value in ramp.values]  # most of the length lies between 2 and 1
        [4.0, 1.49, 1.0]
        """
        temperature, spread = np.asarray(temperature, np.float64), np.asarray(energy_std, np.float64)
        if num_points < 2:
            raise InputError(f"Argument `num_points` must be at least 2, but it is {num_points}.")
        positive = temperature.ndim == 1 and temperature.size and (np.isfinite(temperature) & (temperature > 0)).all()
        falls = positive and (np.diff(temperature) <= 0).all()
        if not falls or not temperature[0] > temperature[-1]:
            raise InputError("Argument `temperature` must fall from one positive number to another, but it does not.")
        if spread.shape != temperature.shape or not (np.isfinite(spread) & (spread >= 0)).all():
            raise InputError("Argument `energy_std` must hold a number of at least 0 for each step, but it does not.")
        logs = -np.log(temperature)
        # Each stretch between two points of the table has the mean specific heat of the steps in it, and steps where
        # all samples agreed by chance must not be passed in no time.
        edges = np.linspace(logs[0], logs[-1], num_points)
        where = np.clip(np.searchsorted(edges, logs, side="right") - 1, 0, num_points - 2)
        count = np.bincount(where, minlength=num_points - 1)
        heat = np.bincount(where, (spread / temperature) ** 2, num_points - 1) / np.maximum(count, 1)
        centres = (edges[1:] + edges[:-1]) / 2
        heat = np.interp(centres, centres[count > 0], np.maximum(heat[count > 0], 1e-4 * heat.max()))
        length = np.concatenate([[0.0], np.cumsum(np.sqrt(heat))])
        if not length[-1] > 0:
            raise InputError("Argument `energy_std` must be above 0 somewhere, but it is not.")
        return cls(np.exp(-np.interp(np.linspace(0, length[-1], num_points), length, edges)))

    def __call__(self, fraction: Float[Array, ""]) -> Float[Array, ""]:
        """Value at the fraction t."""
        return jnp.interp(fraction, jnp.linspace(0, 1, self.values.size), self.values)


LEAST_STEPS = {"num_warmup_steps": 0, "num_annealing_steps": 1, "num_training_steps": 1, "num_hold_steps": 0}


class Schedule(eqx.Module):
    """Warm-up, then annealing steps of some training steps each, then a hold at the end of the ramps.

    The controls stand still during the warm-up and inside each annealing step, and reach the end of their ramps at
    step `num_steps`, where the final samples are drawn (paper A, fig. 2). A ramp that is None leaves its term out of
    the objective: with temperature only this is VCA, with field only VQA, with both RVQA, with neither CQO.

    The way back, `schedule(step, upward=True)`, passes the same controls in the opposite order in the same steps: its
    warm-up stands at the end of the ramps, and there the temperature goes down the ramp `cooling`, where there is one,
    so that a network first finds classical states in a small field, and then follows them up.

    Arguments: `temperature`, `field`: ramps in the units of the energy, or None; `num_warmup_steps`,
    `num_annealing_steps`, `num_training_steps` (gradient steps per annealing step), `num_hold_steps`; `cooling`: ramp
    of the temperature in the warm-up of the way back, in the units of the energy. Where `temperature` is None, the
    temperature is 0 at all other steps then.

    >>> schedule = Schedule(LinearRamp(2.0, 0.0), None, num_warmup_steps=3, num_annealing_steps=4, num_training_steps=2)
    >>> [float(schedule(step).temperature) for step in (0, 3, 4, 5, 10, schedule.num_steps)]
    [2.0, 2.0, 2.0, 1.5, 0.5, 0.0]
    >>> schedule = Schedule(None, LinearRamp(2.0, 1.0), 2, num_annealing_steps=2, cooling=LinearRamp(0.5, 0.0))
    >>> [float(schedule(step, upward=True).temperature) for step in range(schedule.num_steps + 1)]
    [0.5, 0.25, 0.0, 0.0, 0.0]
    >>> [float(schedule(step, upward=True).field) for step in range(schedule.num_steps + 1)]
    [1.0, 1.0, 1.0, 1.5, 2.0]
    """

    temperature: Ramp | None
    field: Ramp | None
    num_warmup_steps: Int[ArrayLike, ""] = eqx.field(converter=jnp.asarray, default=0)
    num_annealing_steps: Int[ArrayLike, ""] = eqx.field(converter=jnp.asarray, default=1000)
    num_training_steps: Int[ArrayLike, ""] = eqx.field(converter=jnp.asarray, default=1)
    num_hold_steps: Int[ArrayLike, ""] = eqx.field(converter=jnp.asarray, default=0)
    cooling: Ramp | None = None

    def __check_init__(self):
        for name, least in LEAST_STEPS.items():
            value = getattr(self, name)
            if not is_traced(value) and jnp.ndim(value) == 0 and value < least:
                raise InputError(f"Argument `{name}` must be at least {least}, but it is {int(value)}.")

    @property
    def method(self) -> str:
        """Name of the protocol, by which of the two ramps exist."""
        if self.temperature is None:
            return "cqo" if self.field is None else "vqa"
        return "vca" if self.field is None else "rvqa"

    @property
    def num_steps(self) -> int:
        """Number of gradient steps, warm-up and hold included."""
        annealing = self.num_annealing_steps * self.num_training_steps
        return int(self.num_warmup_steps + annealing + self.num_hold_steps)

    def __call__(self, step: int | Int[Array, ""], upward: bool | Bool[Array, ""] = False) -> Controls:
        """Controls at a gradient step, counted from 0; on the way back where `upward`."""
        done = (step - self.num_warmup_steps) // self.num_training_steps
        fraction = jnp.clip(done, 0, self.num_annealing_steps) / jnp.maximum(self.num_annealing_steps, 1)
        fraction = jnp.where(upward, 1 - fraction, fraction)
        temperature = None if self.temperature is None else self.temperature(fraction)
        field = None if self.field is None else self.field(fraction)
        if self.cooling is not None:
            rest = jnp.zeros_like(fraction) if temperature is None else temperature
            cooled = self.cooling(jnp.clip(step / jnp.maximum(self.num_warmup_steps, 1), 0, 1))
            temperature = jnp.where(jnp.asarray(upward) & (step < self.num_warmup_steps), cooled, rest)
        return Controls(temperature, field)


def effective_inverse_temperature(controls: Controls, energy_unit: Float[Array, ""]) -> Float[Array, ""]:
    """Inverse of the scale on which an ansatz should see the couplings, in 1 / units of the energy.

    That scale is the temperature or the field, the larger of the two. It is kept from vanishing, and plain energy
    minimisation, which has no scale of its own, sees the unit of the energy.
    """
    scales = [value for value in (controls.temperature, controls.field) if value is not None]
    if not scales:
        return 1 / energy_unit
    largest = scales[0] if len(scales) == 1 else jnp.maximum(*scales)
    return 1 / jnp.maximum(largest, _COLDEST * energy_unit)


def effective_problem(problem: Problem, controls: Controls, inverse_temperature: Float[Array, ""]) -> Problem:
    """The problem whose Boltzmann distribution at beta is nearest to p at these controls; an ansatz is shown its terms.

    It is the problem itself where the temperature rules. In a field Gamma = 1 / beta a term `c prod s` of k spins acts
    like one of `asinh(beta c) / (k beta)` at the temperature Gamma: exact for a single spin,
    ln p(+1)/p(-1) = -2 asinh(c / Gamma), and for every k to first order in c / Gamma, where flipping its k spins costs
    2 k Gamma.
    """
    if controls.field is None:
        return problem
    rules = True if controls.temperature is None else controls.field >= controls.temperature

    def seen(terms: Terms) -> ArrayLike:
        given = jnp.asarray(terms.coefficients)
        return jnp.where(rules, jnp.asinh(inverse_temperature * given) / (terms.order * inverse_temperature), given)

    return eqx.tree_at(lambda p: [t.coefficients for t in p.terms], problem, [seen(t) for t in problem.terms])


_COLDEST = 1e-3

RAMPS: dict[str, type] = {"linear": LinearRamp, "geometric": GeometricRamp, "inverse": InverseRamp}
METHODS = ("vca", "vqa", "rvqa", "cqo")


def protocol(
    method: str,
    *,
    temperature: tuple[float, float],
    field: tuple[float, float],
    ramp: str = "linear",
    cooled: bool = False,
    **steps: int,
) -> Schedule:
    """Schedule of one of the four protocols.

    Arguments: `method`: "vca" (temperature only), "vqa" (field only), "rvqa" (both), "cqo" (neither); `temperature`,
    `field`: (start, stop) in the units of the energy; `ramp`: "linear", "geometric" or "inverse"; the numbers of steps
    as in `Schedule`; with `cooled` the temperature is also that of the `cooling` on the way back. Errors: `InputError`
    for unknown names, negative values, or a ramp that cannot end at zero.

    >>> schedule = protocol("vqa", temperature=(1.0, 0.0), field=(2.0, 0.0), num_annealing_steps=10)
    >>> schedule.temperature is None, float(schedule(5).field)
    (True, 1.0)
    """
    if method not in METHODS:
        raise InputError(f"Argument `method` must be one of {', '.join(METHODS)}, but it is {method!r}.")
    if ramp not in RAMPS:
        raise InputError(f"Argument `ramp` must be one of {', '.join(RAMPS)}, but it is {ramp!r}.")
    ramps: list[Ramp | None] = []
    for name, used, (start, stop) in (
        ("temperature", method in ("vca", "rvqa"), temperature),
        ("field", method in ("vqa", "rvqa"), field),
        ("temperature", cooled, temperature),
    ):
        allowed = all(0 <= end < float("inf") and (ramp == "linear" or end > 0) for end in (start, stop))
        if used and not allowed:
            bound = "finite and at least 0" if ramp == "linear" else "finite and above 0 for this ramp"
            raise InputError(f"Argument `{name}` must be {bound}, but it runs from {start} to {stop}.")
        ramps.append(RAMPS[ramp](float(start), float(stop)) if used else None)
    *ramps, cooling = ramps
    return Schedule(*ramps, **{name: int(number) for name, number in steps.items()}, cooling=cooling)
