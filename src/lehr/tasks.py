"""A grid of tasks: one function at every point, each answer in a file of its own, so that nothing is done twice."""

import itertools
import json
import re
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from lehr._files import one_line, read_json, write_json
from lehr._netcdf import read_dataset, write_dataset
from lehr._types import InputError

Value = str | int | float
Point = dict[str, Value]

_SPEC = "tasks.json"
_ATTEMPTS = 2


class TaskError(RuntimeError):
    """Every task of a grid failed; the message is that of the first."""


class Step(NamedTuple):
    """What an observer is told when a task has ended: which of how many, and how; None for no failure."""

    number: int
    total: int
    point: Point
    seconds: float
    seconds_left: float
    failure: str | None


class Outcome(NamedTuple):
    """The answers of all tasks in one dataset, NaN where there is none, and the points that failed with the reason."""

    data: xr.Dataset
    failures: list[tuple[Point, str]]


def run_tasks(
    axes: Mapping[str, Sequence[Value]],
    measure: Callable[..., xr.Dataset],
    folder: str | Path,
    spec: Mapping[str, Any],
    *,
    report: Callable[[Step], Any] = lambda step: None,
) -> Outcome:
    """`measure(**point)` at every point of the grid, one after the other, the last axis fastest.

    Each answer is written when it is there, and a second call with the same `folder` goes on with the points that have
    none, whether they were never reached, interrupted or failed. A task that fails is tried once more.

    Arguments: `axes`: names and their values; `measure` returns a dataset of numbers, with the same variables at every
    point; `spec`: JSON, all that decides an answer besides its point, so that a folder never mixes two studies;
    `report` is called after each task that was run.

    Returns: an `Outcome` whose data have the axes as their first dimensions, and `task_seconds`.

    Errors: `InputError` where an axis has no values, or the folder holds tasks of another spec or cannot be written;
    `TaskError` where all tasks failed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = run_tasks({"x": [1, 2]}, lambda x: xr.Dataset({"square": x**2}), folder, spec={})
    >>> outcome.data["square"].values.tolist(), outcome.failures
    ([1, 4], [])
    """
    for name, values in axes.items():
        if not len(values):
            raise InputError(f"Argument `axes` must have values for each axis, but `{name}` has none.")
    folder = Path(folder)
    _claim(folder, spec)
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    files = [_file(folder, point) for point in points]
    answers = {number: read_dataset(file) for number, file in enumerate(files) if file.exists()}
    failures, spent = [], []
    missing = [number for number in range(len(points)) if number not in answers]
    for place, number in enumerate(missing):
        started = time.perf_counter()
        answer, failure = _attempt(measure, points[number])
        spent.append(time.perf_counter() - started)
        if answer is None:
            failures.append((points[number], failure))
        else:
            answers[number] = answer.assign(task_seconds=spent[-1])
            write_dataset(answers[number], files[number])
        left = np.mean(spent) * (len(missing) - place - 1)
        done = len(points) - len(missing) + place + 1
        report(Step(done, len(points), points[number], spent[-1], float(left), failure))
    if not answers:
        raise TaskError(f"All {len(points)} tasks failed, the first by {failures[0][1]}.")
    return Outcome(_combined(axes, answers), failures)


def _claim(folder: Path, spec: Mapping[str, Any]) -> None:
    """Say in the folder whose tasks these are. Errors: `InputError` where they are another's."""
    path = folder / _SPEC
    try:
        if not path.exists():
            write_json(path, spec)
    except OSError as error:
        raise InputError(f"Folder `{folder}` must be one to write to, but: {one_line(error)}.") from None
    if read_json(path) != json.loads(json.dumps(spec)):  # which knows no tuples
        raise InputError(f"Folder `{folder}` must be free for these tasks, but it holds others.")


def _file(folder: Path, point: Point) -> Path:
    """Named for people; the digits tell apart what letters do not."""
    words = [re.sub(r"[^A-Za-z0-9.]+", "_", str(value)) for value in point.values()]
    return folder / f"{'-'.join(words)[:80]}-{zlib.crc32(repr(point).encode()):08x}.nc"


def _attempt(measure: Callable[..., xr.Dataset], point: Point) -> tuple[xr.Dataset | None, str | None]:
    """The answer, or why there is none."""
    failure = None
    for _ in range(_ATTEMPTS):
        try:
            return measure(**point), None
        except Exception as error:
            failure = f"{type(error).__name__}: {one_line(error)}"
    return None, failure


def _combined(axes: Mapping[str, Sequence[Value]], answers: Mapping[int, xr.Dataset]) -> xr.Dataset:
    first = next(iter(answers.values()))
    absent = first.map(lambda variable: xr.full_like(variable, np.nan, dtype=np.float64))
    number = itertools.count()

    def nested(lengths: list[int]) -> Any:
        if not lengths:
            return answers.get(next(number), absent)
        return [nested(lengths[1:]) for _ in range(lengths[0])]

    parts = nested([len(values) for values in axes.values()])
    data = xr.combine_nested(parts, concat_dim=list(axes), join="outer", combine_attrs="override")
    return data.assign_coords({name: list(values) for name, values in axes.items()}).transpose(*axes, ...)
