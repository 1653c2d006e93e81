"""What many seeds say together: means with their intervals, and how many seeds something is true of."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from lehr.metrics import Interval, bootstrap, wilson

# The parts of `lehr.metrics.Interval`, as suffixes of variables.
_ENDS = ("mean", "low", "high")


def over_seeds(
    data: xr.Dataset, done: str, means: Sequence[str], counts: Mapping[str, Callable[[xr.Dataset], xr.DataArray]]
) -> xr.Dataset:
    """The data, and for each variant what its seeds say together.

    Arguments: `data` with dimensions variant and seed; `done`, a variable that every finished task has; `means`:
    variables whose means over the seeds are wanted; `counts` maps names to functions of the data that say of each task
    whether something is true.

    Returns: the data with `seeds_done`; for each mean `X_mean`, and `X_low` and `X_high`, the ends of its bootstrap
    interval of 95 %, NaN for a single seed; for each count `X`, a number of finished seeds, and `X_share_mean`, `_low`
    and `_high`, their share with Wilson's interval of 95 %. A value that is not finite is in no mean.

    >>> data = xr.Dataset({"found": (("variant", "seed"), [[4.0, 4.0, 1.0, np.nan]])})
    >>> told = over_seeds(data, "found", ["found"], {"all": lambda data: data["found"] == 4})
    >>> float(told["found_mean"][0]), int(told["all"][0]), int(told["seeds_done"][0])
    (3.0, 2, 3)
    """
    finished = data[done].notnull()
    trials = [int(number) for number in finished.sum("seed")]
    columns: dict[str, Sequence[float]] = {"seeds_done": trials}
    intervals = {name: [_mean(row) for row in data[name].transpose("variant", "seed").values] for name in means}
    for name, holds in counts.items():
        columns[name] = hits = [int(number) for number in (holds(data) & finished).sum("seed")]
        intervals[f"{name}_share"] = [
            wilson(*pair) if pair[1] else Interval(*[math.nan] * 3) for pair in zip(hits, trials, strict=True)
        ]
    for name, values in intervals.items():
        columns |= {f"{name}_{end}": [value[k] for value in values] for k, end in enumerate(_ENDS)}
    return data.assign({name: ("variant", np.asarray(column)) for name, column in columns.items()})


def shown(of: xr.Dataset, name: str, form: str) -> str:
    """The mean of one variant with its interval, in a format: `3.0 [2.0, 4.0]`, `3.0` where that says it all or there
    is no interval, and nothing where there is no mean."""
    numbers = [float(of[f"{name}_{end}"]) for end in _ENDS]
    value, low, high = (format(number, form) for number in numbers)
    if math.isnan(numbers[0]):
        return ""
    return value if low == high or math.isnan(numbers[1]) else f"{value} [{low}, {high}]"


def told_share(hits: int, trials: int, of: str = "") -> str:
    """A count with Wilson's interval of 95 %, where anything was tried.

    >>> told_share(2, 3), told_share(2, 3, "seeds"), told_share(0, 0)
    ('2 of 3 [21%, 94%]', '2 of 3 seeds [21%, 94%]', '0 of 0')
    """
    count = f"{hits} of {trials} {of}".rstrip()
    if not trials:
        return count
    _, low, high = wilson(hits, trials)
    return f"{count} [{low:.0%}, {high:.0%}]"


def of_known(values: np.ndarray, estimate: Callable[..., Interval]) -> Interval:
    """An estimate of those that were measured; a single one has no interval, and none is NaN."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return Interval(float(known[0]) if len(known) else math.nan, math.nan, math.nan)
    return estimate(known)


def _mean(values: np.ndarray) -> Interval:
    return of_known(values, bootstrap)
