"""A sweep in words: a table for people, a dict for programs; both from its dataset alone."""

import math
from collections.abc import Sequence
from typing import Any

import xarray as xr

from lehr._files import json_number, printable
from lehr.sweep.statistics import ENDS, ESTIMATES
from lehr.tasks import Point

_HEADS = {
    "residual_typical": "residual per spin",
    "success_mean": "success",
    "time_to_solution_typical": "s to solution (99 %)",
}


def summary(data: xr.Dataset, failures: Sequence[tuple[Point, str]] = ()) -> dict[str, Any]:
    """The JSON-able dict that `lehr sweep --json` prints; what is not finite is null."""
    return {
        "ensembles": [
            {
                "name": name,
                "num_spins": sorted({int(number) for number in _inside(data, name)["num_spins"]}),
                "num_instances": _inside(data, name).sizes["instance"],
                "num_certified": int(_inside(data, name)["certified"].sum()),
                "settings": [_setting(data, name, column) for column in range(data.sizes["setting"])],
            }
            for name in data["ensemble"].values.tolist()
        ],
        "seeds": data["seed"].values.tolist(),
        "failures": [{**point, "reason": reason} for point, reason in failures],
        "version": data.attrs["version"],
        "machine": data.attrs["machine"],
    }


def table(data: xr.Dataset, failures: Sequence[tuple[Point, str]] = ()) -> str:
    """One line for each setting on each ensemble: typical values with intervals of 95 %."""
    lines = []
    width = max(len(curve) for curve in ["setting", *data["curve"].values.tolist()])
    for name in data["ensemble"].values.tolist():
        lines += [_head(_inside(data, name), name)]
        lines += [
            f"  {'setting':<{width}}{'steps':>8}{'s per run':>11}  " + "".join(f"{h:<30}" for h in _HEADS.values())
        ]
        for column in range(data.sizes["setting"]):
            of = data.sel(ensemble=name).isel(setting=column)
            cells = "".join(f"{_shown(of, key):<30}" for key in _HEADS)
            left = f"  {of['curve'].values!s:<{width}}{float(of['steps']):>8g}{_number(of['seconds_per_run']):>11}"
            lines.append(f"{left}  {cells}".rstrip() + _remarks(of))
        lines.append("")
    if failures:
        lines.append(f"{len(failures)} tasks failed twice and are in no number above:")
        lines += [f"  {', '.join(map(str, point.values()))}: {reason}" for point, reason in failures]
    return printable(lines).rstrip()


def _inside(data: xr.Dataset, ensemble: str) -> xr.Dataset:
    return data.isel(instance=(data["ensemble_of"] == ensemble).values)


def _head(inside: xr.Dataset, name: str) -> str:
    certified, number = int(inside["certified"].sum()), inside.sizes["instance"]
    spins = sorted({int(count) for count in inside["num_spins"]})
    size = str(spins[0]) if len(spins) == 1 else f"{spins[0]} to {spins[-1]}"
    known = (
        "targets are exact ground energies"
        if certified == number
        else (f"targets are exact ground energies for {certified}, and the lowest energies met for the others")
    )
    return f"{name}: {number} instance{'s' * (number > 1)}, {size} spins; {known}"


def _remarks(of: xr.Dataset) -> str:
    told = {"at the floor": of["num_floored"], "diverged": of["num_diverged"], "missing": of["num_missing"]}
    parts = [f"{int(number)} {what}" for what, number in told.items() if number > 0]
    return f"  ({', '.join(parts)})" if parts else ""


def _shown(of: xr.Dataset, name: str) -> str:
    value, low, high = (_number(of[name + end]) for end in ENDS)
    if not value:
        return "unknown"
    return f"{value} [{low}, {high}]" if low else value


def _number(value: Any) -> str:
    """Three digits; nothing for NaN."""
    number = float(value)
    return "" if math.isnan(number) else f"{number:.3g}"


def _setting(data: xr.Dataset, ensemble: str, column: int) -> dict[str, Any]:
    of = data.sel(ensemble=ensemble).isel(setting=column)
    counts = {name: int(of[name]) for name in ("num_runs", "num_floored", "num_diverged", "num_missing")}
    return {
        "setting": str(of["setting"].values),
        "method": str(of["method"].values),
        "steps": json_number(of["steps"]),
        "seconds_per_run": json_number(of["seconds_per_run"]),
        **counts,
        **{
            name: dict(zip(("value", "low", "high"), (json_number(of[name + end]) for end in ENDS), strict=True))
            for name in ESTIMATES
        },
    }
