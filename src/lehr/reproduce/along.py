"""A curve along an anneal beside the exact one: how far above it, where, and how surely."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy  # whose parts are loaded when they are first used
import xarray as xr
from jaxtyping import Float64

from lehr.metrics import average
from lehr.reproduce.figure import table
from lehr.reproduce.statistics import of_known, told_share

# An excess of so many percent counts as having left the exact curve.
MOST = 1.0
# The chance that the lowest of all windows counts as below the exact curve where all are on it.
_CHANCE = 0.05
# Where all samples are one state the statistical error vanishes, and rounding in single precision remains.
_PRECISION = 1e-5


def curve(control, value, error, exact) -> xr.Dataset:
    """A measured curve: at each window the control (T or Γ), the value per spin with its standard error, and the exact
    value per spin, all [windows]; NaN where a window is empty."""
    columns = {"control": control, "value": value, "error": error, "exact": exact}
    return xr.Dataset({name: ("window", np.asarray(column, np.float64)) for name, column in columns.items()})


def nothing(num_windows: int) -> xr.Dataset:
    """The curve of a run that diverged."""
    return curve(*[np.full(num_windows, np.nan)] * 4)


def windowed(
    control: Float64[np.ndarray, " s"],
    value: Float64[np.ndarray, " s"],
    variance: Float64[np.ndarray, " s"],
    exact: Float64[np.ndarray, " s"],
    edges: Sequence[float],
) -> xr.Dataset:
    """The `curve` of single steps, averaged between the `edges` of the control, which ascend.

    Arguments: `variance`: that of the mean at each step. Value and exact value are averaged over the same steps, so
    that their difference does not depend on how the control moves inside of a window.

    >>> steps = np.array([[1.0, 2.0, 9.0], [5.0, 6.0, 7.0], [4.0, 4.0, 1.0], [4.0, 4.0, 4.0]])
    >>> made = windowed(*steps, edges=[0.0, 5.0, 8.0])
    >>> made["value"].values.tolist(), made["error"].values.round(3).tolist()
    ([5.5, nan], [1.414, nan])
    """
    window = np.searchsorted(edges, control, side="right") - 1
    number = len(edges) - 1
    inside = (window >= 0) & (window < number)
    counts = np.bincount(window[inside], minlength=number).astype(np.float64)
    counts[counts == 0] = np.nan

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(window[inside], values[inside], minlength=number) / counts

    return curve(mean(control), mean(value), np.sqrt(mean(variance) / counts), mean(exact))


def judged_against_exact(data: xr.Dataset) -> xr.Dataset:
    """The data with the excess over the exact curve, [..., window] in percent of its size, with its error; and for each
    run the mean excess, the largest with its error and its control, how many windows it has, and how many standard
    errors the lowest window lies above the exact curve.

    >>> data = judged_against_exact(curve([2.0, 1.0], [-0.9, -0.4], [0.01, 0.01], [-1.0, -0.5]))
    >>> float(data["worst_excess"].round(9)), float(data["worst_control"]), float(data["lowest_z"].round(3))
    (20.0, 1.0, 10.0)
    """
    size = abs(data["exact"])
    data = data.assign(excess=100 * (data["value"] - data["exact"]) / size, excess_error=100 * data["error"] / size)
    known = data["excess"].notnull()
    some = known.any("window")
    place = data["excess"].fillna(-np.inf).argmax("window")
    z = ((data["value"] - data["exact"]) / np.hypot(data["error"], _PRECISION * size)).where(known)
    return data.assign(
        mean_excess=data["excess"].mean("window"),
        worst_excess=data["excess"].isel(window=place).where(some),
        worst_error=data["excess_error"].isel(window=place).where(some),
        worst_control=data["control"].isel(window=place).where(some),
        lowest_z=z.min("window"),
        num_windows=known.sum("window"),
    )


def above_exact(of: xr.Dataset) -> tuple[bool, str]:
    """Whether no window of some runs is below the exact curve by more than chance explains, and how this was seen."""
    number = int(of["num_windows"].sum())
    if not number:
        return False, ""
    lowest = float(of["lowest_z"].min())
    allowed = float(scipy.special.ndtri(_CHANCE / number))
    return lowest >= allowed, (
        f"of {number} windows the lowest is {_errors(lowest)} the exact curve, where chance allows one "
        f"{abs(allowed):.1f} below it"
    )


def _errors(z: float) -> str:
    return f"{abs(z):.1f} standard errors {'below' if z < 0 else 'above'}"


def spread(values, form: str = ".2f") -> str:
    """Numbers of several seeds: their mean, with the least and the largest where they differ; nothing where there are
    none.

    >>> spread([1.0, 2.0, 4.5]), spread([3.0]), spread([np.nan])
    ('2.50 (1.00 to 4.50)', '3.00', '')
    """
    known = np.asarray(values, np.float64).ravel()
    known = known[np.isfinite(known)]
    if not known.size:
        return ""
    mean, low, high = (format(float(number), form) for number in (known.mean(), known.min(), known.max()))
    return mean if low == high else f"{mean} ({low} to {high})"


def told_table(data: xr.Dataset, control: str, more: Callable[[xr.Dataset], dict[str, str]]) -> str:
    """A Markdown table of the excess with a row for each size and variant; `more` gives further columns of one."""
    rows: list[list[str]] = []
    for size in data["size"].values.tolist():
        for name in data["variant"].values.tolist():
            of = data.sel(size=size, variant=name)
            diverged = int(of["diverged"].sum())
            columns = {
                "L": str(size),
                "network": f"{name} ({diverged} diverged)" if diverged else name,
                "mean excess %": spread(of["mean_excess"]),
                "largest excess %": spread(of["worst_excess"]),
                f"at {control}": spread(of["worst_control"]),
                **more(of),
                "seconds": spread(of["task_seconds"], ".0f"),
            }
            rows = [*(rows or [list(columns)]), list(columns.values())]
    return table(rows)


def by_size(values: xr.DataArray, form: str, unit: str = "", most: float = math.inf) -> str:
    """The mean over the seeds of each size, with Student's interval of 95 % as far as it lies between 0 and `most`,
    which the numbers cannot leave but for noise; nothing where there is none.

    >>> runs = xr.DataArray([[1.0, 2.0, 3.0], [5.0, np.nan, np.nan]], {"size": [3, 6]}, ("size", "seed"))
    >>> by_size(runs, ".1f", " %")
    '2.0 [0.0, 4.5] % at L = 3, 5.0 % at L = 6'
    """
    told = []
    for size in values["size"].values.tolist():
        mean, low, high = of_known(values.sel(size=size).values, average)
        if not math.isnan(low):
            low, high = max(low, min(mean, 0.0)), min(high, max(mean, most))
        value, *ends = (format(number, form) for number in (mean, low, high))
        if value != "nan":
            interval = "" if "nan" in ends or ends[0] == ends[1] else f" [{ends[0]}, {ends[1]}]"
            told.append(f"{value}{interval}{unit} at L = {size}")
    return ", ".join(told)


def counted(of: xr.Dataset, holds: xr.DataArray, among: xr.DataArray | None = None) -> str:
    """How many of the runs that were measured something is true of, with Wilson's interval of 95 %, as
    `2 of 3 [21%, 94%]`."""
    done = of["found"].notnull() if among is None else among
    return told_share(int((holds & done).sum()), int(done.sum()))


def log_edges(low: float, high: float, number: int) -> list[float]:
    """Edges of `number` windows: one from 0 to `low`, the others of equal ratios from there to `high`, which the last
    includes.

    >>> [round(edge, 3) for edge in log_edges(0.1, 10.0, 3)]
    [0.0, 0.1, 1.0, 10.0]
    """
    return [0.0, *np.geomspace(low, math.nextafter(high * (1 + 1e-6), math.inf), number).tolist()]
