"""What the instances and runs of a sweep say together, from its dataset alone."""

import math

import numpy as np
import xarray as xr

from lehr.metrics import Interval, bootstrap, time_to_solution, typical, wilson

# What is known of each setting on each ensemble, and the suffixes of the ends of its interval.
ESTIMATES = ("residual_typical", "best_residual_typical", "success_mean", "time_to_solution_typical")
ENDS = ("", "_low", "_high")


def summarise(data: xr.Dataset) -> xr.Dataset:
    """The data of a sweep with its targets, what each run says about them, and averages over the disorder.

    Argument: `data` with dimensions instance, setting, seed and replica: `best_energy`, `energy_mean` and
    `lowest_share` of every run; `ground_energy` (NaN where unknown), `resolution`, `num_spins` and `ensemble` of every
    instance.

    Returns: the data with

    - `target_energy` of every instance: the ground energy, or where that is unknown (or was undercut) the lowest energy
      that any run has met, which `certified` says; in the units of H.
    - of every run: `success`, whether it met the target; `ground_share`, the share of its samples in it; `residual` and
      `best_residual`, the mean energy of the samples and the lowest energy met, above the target, per spin.
    - of every setting on every ensemble, each with `_low` and `_high`, intervals of 95 %: `residual_typical` and
      `best_residual_typical`, geometric means over the instances of the means over the runs, with the resolution per
      spin as floor; `success_mean`; `time_to_solution_typical`, the median over instances of the seconds until repeated
      runs have met the target with 99 %; and `seconds_per_run`, without start-up.

    Intervals are over instances, and never narrower than the binomial ones of all runs together; of a single instance
    they are over its runs.

    Source: paper A (typical residual energies); T. F. Rønnow et al., Science 345, 420 (2014) (time to solution).
    """
    lowest = data["best_energy"].min(("setting", "seed", "replica"))
    known = data["ground_energy"]
    sound = known.notnull() & ~(lowest < known - data["resolution"])
    data = data.assign(target_energy=known.where(sound, lowest), certified=data["certified"] & sound)
    above, done = data["best_energy"] - data["target_energy"], data["best_energy"].notnull()
    met = (above <= data["resolution"]).where(done)
    data = data.assign(
        success=met,
        ground_share=data["lowest_share"].where(met != 0, 0).where(done),
        residual=((data["energy_mean"] - data["target_energy"]) / data["num_spins"]).clip(min=0),
        best_residual=(above / data["num_spins"]).clip(min=0),
    )
    per_run = data[["train_seconds", "sample_seconds"]].to_array().sum("variable", skipna=False)
    data = data.assign(run_seconds=(per_run / data["num_replicas"]).mean("seed"))
    return data.merge(_over_disorder(data))


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
    runs = {name: _runs(of[name]) for name in ("residual", "best_residual", "success")}
    kept = [k for k, values in enumerate(runs["success"]) if values.size]
    seconds = of["run_seconds"].values
    found: dict[str, Interval] = {}
    for name in ("residual", "best_residual"):
        floor = of["resolution"].values / of["num_spins"].values
        found[f"{name}_typical"] = _typical([runs[name][k] for k in kept], floor[kept])
    hits = [(int(runs["success"][k].sum()), runs["success"][k].size) for k in kept]
    found["success_mean"] = _success(hits)
    found["time_to_solution_typical"] = _time(hits, seconds[kept])
    flat = {}
    for name, interval in found.items():
        flat |= {name + end: value for end, value in zip(ENDS, interval, strict=True)}
    return {
        **flat,
        "seconds_per_run": float(seconds[kept].mean()) if kept else math.nan,
        "steps": float(np.median(of["num_steps"])),
        "num_runs": float(sum(size for _, size in hits)),
        "num_diverged": float(of["diverged"].sum()),
        "num_missing": float(of["diverged"].isnull().sum()),
    }


def _runs(values: xr.DataArray) -> list[np.ndarray]:
    """The runs of each instance that are there."""
    rows = values.transpose("instance", "seed", "replica").values.reshape(values.sizes["instance"], -1)
    return [row[np.isfinite(row)] for row in rows]


_UNKNOWN = Interval(math.nan, math.nan, math.nan)


def _typical(runs: list[np.ndarray], floor: np.ndarray) -> Interval:
    """Geometric mean over the instances of the mean over the runs."""
    if not runs:
        return _UNKNOWN
    if len(runs) > 1:
        return typical(np.maximum([row.mean() for row in runs], floor))
    (row,) = runs
    if row.size > 1:
        return Interval(*(max(value, float(floor[0])) for value in bootstrap(row)))
    return Interval(max(float(row[0]), float(floor[0])), math.nan, math.nan)


def _success(hits: list[tuple[int, int]]) -> Interval:
    """Mean over the instances of the share of runs that met the target."""
    if not hits:
        return _UNKNOWN
    together = wilson(sum(hit for hit, _ in hits), sum(runs for _, runs in hits))
    if len(hits) == 1:
        return together
    return _wider(bootstrap([hit / runs for hit, runs in hits]), together)


def _time(hits: list[tuple[int, int]], seconds: np.ndarray) -> Interval:
    """Median over the instances of the time to solution."""
    if not hits:
        return _UNKNOWN
    together = time_to_solution(sum(hit for hit, _ in hits), sum(runs for _, runs in hits), float(seconds.mean()))
    if len(hits) == 1:
        return together
    times = [time_to_solution(hit, runs, float(of)).value for (hit, runs), of in zip(hits, seconds, strict=True)]
    rates = bootstrap(1 / np.array(times), np.median)  # a rate of 0 is a number, its inverse is none
    value, high, low = (math.inf if rate == 0 else 1 / rate for rate in rates)
    return _wider(Interval(value, low, high), together)


def _wider(one: Interval, other: Interval) -> Interval:
    return Interval(one.value, min(one.low, other.low), max(one.high, other.high))
