"""Residual energies against annealing steps: measured rung by rung, typical means over instances, power laws.

A rung is one number of annealing steps. The residual energy is the mean of H over the final samples above the ground
energy, per spin, in the units of H.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float64

from lehr.baseline.settings import BASELINES
from lehr.metrics import Interval, power_law, typical
from lehr.reproduce.figure import Spec
from lehr.reproduce.paper_a import instance_of, is_chain, options_of
from lehr.reproduce.statistics import of_known
from lehr.result import Result
from lehr.solve import DivergenceError, solve
from lehr.sweep.statistics import within_floors
from lehr.tasks import Value

Known = Float64[np.ndarray, " k"]
Hidden = Bool[np.ndarray, " k"]

# What is known of a fitted power law.
FITTED = ("exponent_mean", "exponent_low", "exponent_high", "prefactor", "off_line", "num_fitted")
# Single samples that lie less than this above the ground energy, per spin, count as being in it (paper A, from memory).
FLOOR = 1e-10
# Edges of the histogram of single samples, per spin in the units of H; a bin of its own holds those in the ground.
EDGES = 10.0 ** np.arange(-10, 1.01, 0.25)


def axes_of_ladders(spec: Spec) -> dict[str, Sequence[Value]]:
    """One task for each system, variant and instance."""
    return {
        "system": list(spec["systems"]), "variant": list(spec["variants"]),
        "instance": range(1, spec["num_instances"] + 1),
    }  # fmt: skip


def measure_residual(spec: Spec, system: str, variant: str, instance: int) -> xr.Dataset:
    """The whole ladder of one variant on one instance; a rung that diverged, and one that a shorter ladder has not, is
    NaN.

    Of each rung: `annealing` steps, `steps` of gradient or sweeps with warm-up and pre-anneal, `residual`, `lowest`
    energy met above the ground energy per spin, `ground_share` of the samples, `floor` (`floor_of`), `seconds` of one
    network or read, `below` whether an energy below the reference was met; and the `histogram` of single samples of
    the last rung.
    """
    given = spec["variants"][variant]
    rungs = [] if system not in given.get("systems", spec["systems"]) else given["ladder"]
    most = max(len(other["ladder"]) for other in spec["variants"].values())
    rows = [_rung(spec, system, variant, instance, number) for number in rungs]
    rows += [dict.fromkeys(_COLUMNS, math.nan)] * (most - len(rows))
    columns = {name: ("rung", np.array([row[name] for row in rows])) for name in _COLUMNS}
    nothing = np.full(len(EDGES), math.nan)
    histogram = rows[len(rungs) - 1].get("histogram", nothing) if rungs else nothing
    fitted = np.array([row["annealing"] >= spec["fit_from"] for row in rows], float)
    return xr.Dataset({**columns, "fitted": ("rung", fitted), "histogram": ("bin", histogram)})


_COLUMNS = ("annealing", "steps", "residual", "lowest", "ground_share", "floor", "seconds", "below", "diverged")


def _rung(spec: Spec, system: str, variant: str, instance: int, number: int) -> dict:
    problem, ground, *_ = instance_of(spec, system, instance)
    n = problem.num_spins
    try:
        result = solve(problem, seed=instance, progress=False, **options_of(spec, variant, number))
    except DivergenceError:
        return {**dict.fromkeys(_COLUMNS, math.nan), "annealing": number, "diverged": 1.0}
    above = above_ground(result.energies, ground, problem.resolution) / n
    # Reads share the processors: one of them costs its share of the time.
    alone = result.spec["settings"]["replicas"] if is_chain(spec, variant) else 1
    return {
        "annealing": number,
        "steps": _num_steps(result),
        "residual": above.mean(),
        "lowest": above_ground(result.best_energy, ground, problem.resolution) / n,
        "ground_share": (above == 0).mean(),
        "floor": floor_of(result),
        "seconds": result.seconds["train"] / alone,
        "below": float(result.best_energy < ground - problem.resolution),
        "diverged": 0.0,
        "histogram": histogram(above.ravel()),
    }


def floor_of(result: Result) -> float:
    """Below this residual the samples cannot see: one of them that lies the mean field of the problem above the ground
    energy, per spin. Every sample of a network counts; of a chain the last states of a read belong together and count
    once, those of all its slices too.

    >>> pair = instance_of({"systems": {"two spins": ["chain", 2, "pm1"]}}, "two spins", 1).problem
    >>> floor_of(solve(pair, "sqa", num_steps=1, replicas=10, num_slices=8))
    0.05
    """
    reads, drawn = result.energies.shape
    samples = reads if result.method in BASELINES else reads * drawn
    return result.problem.mean_field() / (result.problem.num_spins * samples)


def above_ground(energies, ground_energy: float, resolution: float) -> Float64[np.ndarray, "..."]:
    """How far energies lie above the ground energy, 0 where rounding alone tells them apart (or below it).

    >>> above_ground([-3.0, -4.0 + 1e-12, -4.1], -4.0, 1e-9).tolist()
    [1.0, 0.0, 0.0]
    """
    above = np.asarray(energies, np.float64) - ground_energy
    return np.where(above <= resolution, 0.0, above)


def histogram(residuals: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " bins"]:
    """How many single samples lie in each bin of `EDGES`, those at or below the lowest edge first, in a bin of their
    own; those above the highest count in the last.

    >>> counts = histogram(np.array([0.0, 1e-11, 3e-10, 0.5, 99.0]))
    >>> counts[[0, 2]].tolist(), float(counts.sum())
    ([2.0, 1.0], 5.0)
    """
    floored = residuals <= FLOOR
    place = np.clip(np.searchsorted(EDGES, residuals[~floored]), 1, len(EDGES) - 1)
    return np.bincount(np.concatenate([np.zeros(floored.sum(), int), place]), minlength=len(EDGES)).astype(float)


def _num_steps(result: Result) -> float:
    """Gradient steps or sweeps, with the warm-up and the sweeps of a pre-anneal in one slice."""
    settings = result.spec["settings"]
    annealing = settings["num_annealing_steps"] * settings["num_training_steps"]
    before = settings["num_warmup_steps"] + (settings["num_preanneal_steps"] if result.method == "sqa" else 0)
    return float(before + annealing + settings["num_hold_steps"])


def summarise_residual(data: xr.Dataset) -> xr.Dataset:
    """The data with, for each rung, the typical residual over the instances (`typical_mean`, `_low`, `_high`: its
    interval of 95 %, from 0 on where an instance is at the floor of its samples), the typical seconds, how many
    instances were measured, in how many of them a ground state was met, and how many are at the floor; and for each
    variant the exponent of the power law with its interval, by which factor the typical residuals lie off it at most,
    and of how many rungs it is.

    Rungs enter the fit from `spec["fit_from"]` annealing steps on, while no instance is at the floor of its samples.
    """
    over = {"input_core_dims": [["instance"]], "vectorize": True}
    seconds = xr.apply_ufunc(lambda row: typical_of(row)[0], data["seconds"], **over)
    known = data["residual"].notnull()
    floored = (data["residual"] <= data["floor"]) & known
    value = np.maximum(data["residual"], data["floor"])
    middle, low, high = xr.apply_ufunc(
        typical_within, value, floored, xr.zeros_like(floored), output_core_dims=[[], [], []],
        input_core_dims=[["instance"]] * 3, vectorize=True,
    )  # fmt: skip
    data = data.assign(
        typical_mean=middle, typical_low=low, typical_high=high, typical_seconds=seconds,
        num_known=known.sum("instance"), num_solved=((data["lowest"] == 0) & known).sum("instance"),
        num_floored=floored.sum("instance"), at_floor=floored.any("instance"),
    )  # fmt: skip
    fits = [
        [_fit(data.sel(system=system, variant=variant)) for variant in data["variant"].values]
        for system in data["system"].values
    ]
    places = ("system", "variant")
    return data.assign({name: (places, np.array(fits)[..., k]) for k, name in enumerate(FITTED)})


def typical_of(values: Float64[np.ndarray, " k"]) -> Interval:
    """Typical mean of those that were measured, and Student's interval of 95 % of the logarithms, NaN for a single one:
    instances are few, and resampling three of them would only give the least and the largest.

    >>> typical_of(np.array([1.0, 100.0, np.nan]))[0].__round__(9)
    10.0
    """
    return of_known(values, typical)


def typical_within(values: Known, above: Hidden, beneath: Hidden) -> Interval:
    """`typical_of`, with the interval of `within_floors`."""
    known = np.isfinite(values)
    return of_known(values, lambda found: within_floors(found, above[known], beneath[known]))


def _fit(of: xr.Dataset) -> tuple[float, ...]:
    """What `FITTED` names; NaN where too little is known."""
    used = (of["fitted"].max("instance") > 0) & ~of["at_floor"]
    chosen = of[["annealing", "residual"]].isel(rung=np.flatnonzero(used)).transpose("rung", "instance")
    whole = np.isfinite(chosen["residual"].values).all(axis=0)
    times, values = chosen["annealing"].max("instance").values, chosen["residual"].values[:, whole]
    if len(np.unique(times)) < 3 or whole.sum() < 2:
        return (math.nan,) * len(FITTED)
    fit = power_law(times, values)
    logs, middle = np.log(times), np.log(values).mean(axis=1)
    offset = middle - fit.value * logs
    return *fit, float(np.exp(offset.mean())), float(np.exp(np.abs(offset - offset.mean()).max())), float(len(times))


class Ratio(NamedTuple):
    """By which factor the typical residual of one variant lies above that of another, at so many annealing steps, and
    in how many of the instances each of the two is at the floor of the samples, below which nothing is known: an end of
    the interval that floors hide is 0 or infinity."""

    num_annealing: int
    factor: Interval
    num_instances: int
    floored: tuple[int, int]


class Fall(NamedTuple):
    """How many times as much the typical residual of one variant falls as that of another, between so many annealing
    steps; an end of the interval that floors hide is 0 or infinity."""

    first: int
    last: int
    factor: Interval


class _Pairs(NamedTuple):
    """Of every instance the quotient of two variants, and whether each of them is at the floor of the samples."""

    values: Known
    above: Hidden
    beneath: Hidden


def ratio(data: xr.Dataset, system: str, upper: str, lower: str, *, fewest: bool = False) -> Ratio | None:
    """The typical ratio, over instances that both have measured, at the largest number of annealing steps (or the
    `fewest`) at which as many instances as anywhere have both; None where none has, its interval NaN for a single one.
    """
    known = _ratios(data, system, upper, lower)
    if not known:
        return None
    number = min(known) if fewest else max(known)
    pairs = known[number]
    floored = int(pairs.above.sum()), int(pairs.beneath.sum())
    return Ratio(int(number), typical_within(*pairs), int(np.isfinite(pairs.values).sum()), floored)


def fall(data: xr.Dataset, system: str, steep: str, other: str) -> Fall | None:
    """How much more `steep` falls than `other`, from the fewest steps to the largest number as in `ratio`: their mean
    slopes, whether or not they are those of power laws. None where there is one number alone."""
    known = _ratios(data, system, steep, other)
    if len(known) < 2:
        return None
    first, last = min(known), max(known)
    one, two = known[first], known[last]
    pairs = _Pairs(one.values / two.values, one.above | two.beneath, one.beneath | two.above)
    return Fall(int(first), int(last), typical_within(*pairs))


def _ratios(data: xr.Dataset, system: str, upper: str, lower: str) -> dict[float, _Pairs]:
    """By the number of annealing steps, where as many instances as anywhere have both, the ratio in each of them."""
    one, other = (data.sel(system=system, variant=name) for name in (upper, lower))
    found = {}
    for number in set(measured_steps(one)) & set(measured_steps(other)):
        # The higher floor for both: a method with few samples must not lose by the size of one of them.
        floor = np.fmax(_at(one, "floor", number), _at(other, "floor", number))
        values = [_at(of, "residual", number) for of in (one, other)]
        above, beneath = (np.maximum(of, floor) for of in values)
        known = np.isfinite(above / beneath)
        found[number] = _Pairs(above / beneath, *((of <= floor) & known for of in values))
    counts = {number: int(np.isfinite(pairs.values).sum()) for number, pairs in found.items()}
    most = max(counts.values(), default=0)
    return {number: pairs for number, pairs in found.items() if counts[number] == most > 0}


def measured_steps(of: xr.Dataset) -> list[float]:
    """The numbers of annealing steps at which a variant was measured, once for each instance."""
    return of["annealing"].values[np.isfinite(of["residual"].values)].astype(float).tolist()


def _at(of: xr.Dataset, name: str, number: float) -> Float64[np.ndarray, " k"]:
    """A variable of every instance at so many annealing steps."""
    values = np.where(of["annealing"].values == number, of[name].values, np.nan)
    return np.fmax.reduce(values, axis=-1)


def fitted_together(one: xr.Dataset, other: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset] | None:
    """Two variants of one system with the power laws that are fitted to both up to the same number of annealing steps:
    laws of different ranges differ where decays bend. None where one of them has too few points there."""
    last = min(max(measured_steps(one), default=0.0), max(measured_steps(other), default=0.0))
    refitted = []
    for of in (one, other):
        numbers = _fit(of.assign(fitted=of["fitted"].where(of["annealing"] <= last, 0)))
        if math.isnan(numbers[0]):
            return None
        refitted.append(of.assign(dict(zip(FITTED, numbers, strict=True))))
    return refitted[0], refitted[1]
