"""What the instances and runs of a sweep say together, from its dataset alone."""

import math

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float64

from lehr.baseline.settings import BASELINES
from lehr.metrics import Interval, bootstrap, time_to_solution, typical, wilson

# What is known of each setting on each ensemble, and the suffixes of the ends of its interval.
ESTIMATES = ("residual_typical", "best_residual_typical", "success_mean", "time_to_solution_typical")
ENDS = ("", "_low", "_high")
# Where none of M samples lies above the target, 95 % allow a share of so many of them that do.
_MOST_UNSEEN = -math.log(0.05)
_RESIDUALS = ("residual", "best_residual")


def summarise(data: xr.Dataset) -> xr.Dataset:
    """The data of a sweep with its targets, what each run says about them, and averages over the disorder.

    Argument: `data` with dimensions instance, setting, seed and replica: `best_energy`, `energy_mean` and
    `lowest_share` of every run, NaN where it `diverged`, and `num_samples`; `ground_energy` (NaN where unknown),
    `resolution`, `mean_field` and `num_spins` of every instance, and its `ensemble_of`.

    Returns: the data with

    - `target_energy` of every instance: the ground energy, or where that is unknown (or was undercut) the lowest energy
      that any run has met, which `certified` says; in the units of H.
    - of every run: `success`, whether it met the target, which one that diverged did not; `ground_share`, the share of
      its samples in it; `residual` and `best_residual`, the mean energy of the samples and the lowest energy met, above
      the target, per spin.
    - of every setting on every instance `residual_floor` and `best_residual_floor`, what one sample or run makes that
      lies a mean field h above the target, among the M samples or runs of all seeds: h / (N M). Nothing lower can be
      seen. A read of a chain is one sample, for its slices belong together.
    - of every setting on every ensemble, each with `_low` and `_high`, intervals of 95 %: `residual_typical` and
      `best_residual_typical`, geometric means over the instances of the means over the runs that ended, raised to these
      floors; `success_mean`; `time_to_solution_typical`, the median over instances of the seconds until repeated runs
      have met the target with 99 %, the geometric mean of the middle two where they are even in number, infinite where
      half of the instances or more were never solved; and `seconds_per_run`, without start-up. `num_floored` counts the
      instances at their floor, `num_diverged` and `num_missing` runs.

    Intervals are over instances, and never narrower than the binomial ones of all runs together; of a single instance
    they are over its runs. Where an instance is at its floor, the lower end of a residual is 0; where all are, the
    upper one is that of M samples none of which lies higher, 3 floors.

    Source: paper A (typical residual energies); T. F. Rønnow et al., Science 345, 420 (2014) (time to solution).
    """
    lowest = data["best_energy"].min(("setting", "seed", "replica"))
    known = data["ground_energy"]
    sound = known.notnull() & ~(lowest < known - data["resolution"])
    data = data.assign(target_energy=known.where(sound, lowest), certified=data["certified"] & sound)
    above = data["best_energy"] - data["target_energy"]
    meant = xr.DataArray(np.arange(data.sizes["replica"]), dims="replica") < data["num_replicas"]
    done = data["best_energy"].notnull() | ((data["diverged"] > 0) & meant)
    met = (above <= data["resolution"]).where(done)
    data = data.assign(
        success=met,
        ground_share=data["lowest_share"].where(met != 0, 0).where(done),
        residual=((data["energy_mean"] - data["target_energy"]) / data["num_spins"]).clip(min=0),
        best_residual=(above / data["num_spins"]).clip(min=0),
    )
    per_run = data[["train_seconds", "sample_seconds"]].to_array().sum("variable", skipna=False)
    data = data.assign(run_seconds=(per_run / data["num_replicas"]).mean("seed"))
    data = data.assign(_floors(data))
    return data.merge(_over_disorder(data))


def _floors(data: xr.Dataset) -> dict[str, xr.DataArray]:
    """The least residuals that the samples and the runs of a setting on an instance can show."""
    ended = data["best_energy"].notnull().sum(("seed", "replica"))
    chains = data["method"].isin(BASELINES)
    samples = xr.where(chains, ended, data["num_samples"].sum("seed"))
    alone = data["mean_field"] / data["num_spins"]
    return {"residual_floor": alone / samples.where(ended > 0), "best_residual_floor": alone / ended.where(ended > 0)}


def _over_disorder(data: xr.Dataset) -> xr.Dataset:
    """The averages, with dimensions ensemble and setting."""
    names = list(dict.fromkeys(data["ensemble_of"].values.tolist()))
    columns: dict[str, np.ndarray] = {}
    for row, name in enumerate(names):
        inside = data.isel(instance=np.flatnonzero(data["ensemble_of"].values == name))
        for column in range(data.sizes["setting"]):
            for key, value in _estimates(inside.isel(setting=column)).items():
                columns.setdefault(key, np.full((len(names), data.sizes["setting"]), np.nan))[row, column] = value
    return xr.Dataset({key: (("ensemble", "setting"), values) for key, values in columns.items()}, {"ensemble": names})


def _estimates(of: xr.Dataset) -> dict[str, float]:
    """One setting on the instances of one ensemble."""
    found = {f"{name}_typical": _typical(_runs(of[name]), of[f"{name}_floor"].values) for name in _RESIDUALS}
    outcomes = _runs(of["success"])
    kept = [k for k, values in enumerate(outcomes) if values.size]
    hits = [(int(outcomes[k].sum()), outcomes[k].size) for k in kept]
    seconds = of["run_seconds"].values
    found["success_mean"] = _success(hits)
    found["time_to_solution_typical"] = _time(hits, seconds[kept])
    flat = {}
    for name, interval in found.items():
        flat |= {name + end: value for end, value in zip(ENDS, interval, strict=True)}
    lost = {"diverged": of["diverged"] > 0, "missing": of["diverged"].isnull()}
    return {
        **flat,
        "seconds_per_run": _mean(seconds),
        "steps": float(np.median(of["num_steps"])),
        "num_runs": float(sum(size for _, size in hits)),
        "num_floored": float((of["residual"].mean(("seed", "replica")) <= of["residual_floor"]).sum()),
        **{f"num_{word}": float((there * of["num_replicas"]).sum()) for word, there in lost.items()},
    }


def _mean(values: np.ndarray) -> float:
    """Of those that are known."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _runs(values: xr.DataArray) -> list[np.ndarray]:
    """The runs of each instance that are there."""
    rows = values.transpose("instance", "seed", "replica").values.reshape(values.sizes["instance"], -1)
    return [row[np.isfinite(row)] for row in rows]


_UNKNOWN = Interval(math.nan, math.nan, math.nan)


def within_floors(
    values: Float64[np.ndarray, " k"], above: Bool[np.ndarray, " k"], beneath: Bool[np.ndarray, " k"]
) -> Interval:
    """Typical mean of quotients of which some are no more than this, since what stands `above` the bar is at the floor
    of its samples, and some no less, since what stands `beneath` it is: it may lie anywhere below the floor, and as far
    above as goes unseen. A number alone stands above the bar.

    >>> none, first = np.zeros(2, bool), np.array([True, False])
    >>> [round(end, 2) for end in within_floors(np.array([1.0, 1.1]), first, none)]
    [1.05, 0.0, 1.92]
    """
    found = typical(values)
    most = typical(np.where(above, _MOST_UNSEEN * values, values)).value
    least = typical(np.where(beneath, values / _MOST_UNSEEN, values)).value
    return Interval(
        found.value,
        0.0 if above.any() else min(found.low, least),
        math.inf if beneath.any() else max(found.high, most),
    )


def _typical(runs: list[np.ndarray], floors: np.ndarray) -> Interval:
    """Geometric mean over the instances of the mean over the runs, none below its floor."""
    pairs = [(row, float(floor)) for row, floor in zip(runs, floors, strict=True) if row.size]
    if not pairs:
        return _UNKNOWN
    means, least = np.array([row.mean() for row, _ in pairs]), np.array([floor for _, floor in pairs])
    floored = means <= least
    if floored.all():
        value = typical(least).value
        return Interval(value, 0.0, _MOST_UNSEEN * value)
    if len(pairs) > 1:
        return within_floors(np.maximum(means, least), floored, np.zeros_like(floored))
    ((row, floor),) = pairs
    found = bootstrap(row) if row.size > 1 else Interval(float(row[0]), math.nan, math.nan)
    return found._replace(low=0.0) if found.low <= floor else found


def _success(hits: list[tuple[int, int]]) -> Interval:
    """Mean over the instances of the share of runs that met the target."""
    if not hits:
        return _UNKNOWN
    together = wilson(sum(hit for hit, _ in hits), sum(runs for _, runs in hits))
    if len(hits) == 1:
        return together
    return _wider(bootstrap([hit / runs for hit, runs in hits]), together)


def _time(hits: list[tuple[int, int]], seconds: np.ndarray) -> Interval:
    """Median over the instances of the time to solution, between two of them on a logarithmic scale."""
    pace = _mean(seconds)
    if not hits or math.isnan(pace):
        return Interval(math.inf, math.nan, math.inf) if hits else _UNKNOWN
    together = time_to_solution(sum(hit for hit, _ in hits), sum(runs for _, runs in hits), pace)
    if len(hits) == 1:
        return together
    # Where every run has diverged the pace is that of the others, and the time infinite at any.
    paces = np.where(np.isfinite(seconds), seconds, pace)
    times = [time_to_solution(hit, runs, float(of)).value for (hit, runs), of in zip(hits, paces, strict=True)]
    rates = bootstrap(1 / np.array(times), _middle)  # a rate of 0 is a number, its inverse is none
    value, high, low = (math.inf if rate == 0 else 1 / rate for rate in rates)
    return _wider(Interval(value, low, high), together)


def _middle(rates: np.ndarray) -> float:
    """The median, of an even number the geometric mean of the middle two."""
    with np.errstate(divide="ignore"):  # the logarithm of no rate at all
        return float(np.exp(np.median(np.log(rates))))


def _wider(one: Interval, other: Interval) -> Interval:
    return Interval(one.value, min(one.low, other.low), max(one.high, other.high))
