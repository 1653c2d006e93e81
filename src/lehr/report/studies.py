"""The reports of a comparison of methods and of a sweep, from what these have written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from lehr._files import one_line, read_json
from lehr._netcdf import read_dataset
from lehr._types import InputError
from lehr.report.charts import Series, chart
from lehr.report.page import Section, folded, numbers, page, table
from lehr.sweep.statistics import ENDS, ESTIMATES


def comparison_page(file: Path) -> str:
    """The page of the `comparison.json` that `lehr compare` has written."""
    summary = read_json(file).get("summary")
    try:
        if not isinstance(summary, Mapping):
            raise TypeError("it has no summary: the comparison did not end")
        return _comparison(summary)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"File `{file}` must be a whole comparison, but: {one_line(error)}.") from None


def _comparison(summary: Mapping[str, Any]) -> str:
    rungs, problem = summary["rungs"], summary["problem"]
    curves = {method: [rung for rung in rungs if rung["method"] == method] for method in summary["ranking"]}
    charts = [
        chart(title, [_of_rungs(method, own, name) for method, own in curves.items()], x_label="seconds of a run",
              y_label=label, log_x=True, log_y=True, note="intervals of 95 %; zero and infinity are not drawn")
        for title, name, label in (
            ("Residual energy of the best state", "residual_per_spin", "residual per spin"),
            ("Time to solution", "time_to_solution", "seconds (99 %)"),
        )
    ]  # fmt: skip
    head = ["method", "steps", "seconds of a run", "residual per spin", "success", "seconds to solution (99 %)"]
    keys = ("residual_per_spin", "success", "time_to_solution")
    rows = [
        [
            rung["method"],
            _steps(rung),
            f"{rung['seconds_per_run']:.3g}",
            *(_shown(*_finite_or_infinite(rung[key])) for key in keys),
        ]
        for own in curves.values()
        for rung in own
    ]
    facts = {"verdict": summary["verdict"], "target": f"{summary['target']:.12g}", "known by": summary["oracle"]}
    sections = [
        Section("Which method wins", "", [numbers(facts), *charts]),
        Section("All rungs", "Every method had the same seconds; start-up is not counted.", [table([head, *rows])]),
    ]
    return page(f"{problem['name']}: methods side by side", f"{problem['num_spins']} spins", sections)


def _steps(rung: Mapping[str, Any]) -> str:
    """Of a rung, with how many of its runs diverged; comparisons of old do not say."""
    diverged = rung.get("diverged", 0)
    return f"{rung['num_steps']}{f' ({diverged} diverged)' if diverged else ''}"


def _of_rungs(method: str, rungs: list[Mapping[str, Any]], name: str) -> Series:
    columns = [[np.nan if rung[name][end] is None else rung[name][end] for rung in rungs] for end in _INTERVAL]
    return Series(method, [rung["seconds_per_run"] for rung in rungs], *columns, kind="points")


_INTERVAL = ("value", "low", "high")
_REMARKS = {"num_floored": "at the floor", "num_diverged": "diverged", "num_missing": "missing"}


def _shown(value: float, low: float, high: float) -> str:
    """An interval; NaN is what is not known, the ends of one instance, say."""

    def told(number: float) -> str:
        return "∞" if np.isinf(number) else f"{number:.3g}"

    if np.isnan(value):
        return "unknown"
    return told(value) if np.isnan([low, high]).any() else f"{told(value)} [{told(low)}, {told(high)}]"


def _finite_or_infinite(interval: Mapping[str, float | None]) -> list[float]:
    """Of an interval in JSON, which has no infinity."""
    ends = (interval[end] for end in _INTERVAL)
    return [np.inf if end is None else end for end in ends]


def sweep_page(file: Path) -> str:
    """The page of the `sweep.nc` that `lehr sweep` has written."""
    data = read_dataset(file)
    try:
        sections = [_ensemble(data, name) for name in data["ensemble"].values.tolist()]
        made = {"Lehr": str(data.attrs["version"]), "machine": str(data.attrs["machine"])}
        made["seconds of all tasks"] = f"{float(data.attrs['task_seconds']):.4g}"
        spec = folded("The file", str(data.attrs["spec"]))
        instances = Section("Instances", "", [_instances(data)])
        return page("Sweep", str(data.attrs["title"]),
                    [*sections, instances, Section("How it was made", "", [numbers(made), spec])])  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"File `{file}` must be one that `lehr sweep` wrote, but: {one_line(error)}.") from None


def _ensemble(data: xr.Dataset, name: str) -> Section:
    of = data.sel(ensemble=name)
    inside = data["ensemble_of"].values == name
    curves = dict.fromkeys(data["curve"].values.tolist())
    note = "typical values with intervals of 95 %, whose ends of zero and infinity are not drawn"
    axes = {"log_x": True, "log_y": True, "note": note}
    residual, time = (ESTIMATES[0], "typical residual per spin"), (ESTIMATES[3], "seconds (99 %)")
    charts = [
        chart(title, [_of_curve(of, curve, x, key) for curve in curves], x_label=x_label, y_label=label, **axes)
        for title, x, x_label, (key, label) in (
            ("Residual energy against steps", "steps", "steps", residual),
            ("Residual energy against seconds", "seconds_per_run", "seconds of a run", residual),
            ("Time to solution", "steps", "steps", time),
        )
    ]
    head = ["setting", "steps", "seconds of a run", "residual per spin", "best residual per spin", "success",
            "seconds to solution (99 %)", "runs"]  # fmt: skip
    rows = []
    for column in range(of.sizes["setting"]):
        one = of.isel(setting=column)
        cells = [_shown(*(float(one[key + end]) for end in ENDS)) for key in ESTIMATES]
        remarks = [f"{int(one[name])} {word}" for name, word in _REMARKS.items() if one[name] > 0]
        rows.append([str(one["curve"].values), f"{float(one['steps']):g}", f"{float(one['seconds_per_run']):.3g}",
                     *cells, ", ".join([f"{float(one['num_runs']):g}", *remarks])])  # fmt: skip
    certified, number = int(data["certified"].values[inside].sum()), int(inside.sum())
    words = f"{number} instances, {certified} with an exact ground energy; intervals of 95 % over the instances"
    return Section(name, words, [*charts, table([head, *rows])])


def _of_curve(of: xr.Dataset, curve: str, x: str, key: str) -> Series:
    own = of.isel(setting=(of["curve"] == curve).values).sortby("steps")
    return Series(curve, own[x].values, *(own[key + end].values for end in ENDS), kind="points")


def _instances(data: xr.Dataset) -> str:
    rows = [["instance", "spins", "target energy", "known by"]]
    for number, name in enumerate(data["instance"].values.tolist()):
        of = data.isel(instance=number)
        known = str(of["oracle"].values) if bool(of["certified"]) else "lowest energy met, not certified"
        rows.append([name, f"{int(of['num_spins'])}", f"{float(of['target_energy']):.12g}", known])
    return table(rows)
