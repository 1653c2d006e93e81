"""A grid of tasks: one function at every point, each answer in a file of its own, so that nothing is done twice."""

import itertools
import json
import os
import platform
import re
import time
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
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


class Ended(NamedTuple):
    """One task, by its place among those that an engine got: the answer, or why there is none, its seconds, and the
    machine."""

    place: int
    answer: xr.Dataset | None
    failure: str | None
    seconds: float
    machine: str = ""


# Runs the function at all points, in any order and anywhere, and yields each task when it has ended.
Engine = Callable[[Callable[..., xr.Dataset], Sequence[Point]], Generator[Ended, None, None]]


class Outcome(NamedTuple):
    """The answers of all tasks in one dataset, NaN where there is none, and the points that failed with the reason."""

    data: xr.Dataset
    failures: list[tuple[Point, str]]


def machine() -> str:
    """What the tasks run on, in words."""
    return f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, {platform.machine()}"


def in_turn(measure: Callable[..., xr.Dataset], points: Sequence[Point]) -> Generator[Ended, None, None]:
    """The tasks one after the other, in this process."""
    for place, point in enumerate(points):
        yield attempt(measure, point, place)


def attempt(measure: Callable[..., xr.Dataset], point: Point, place: int) -> Ended:
    """One task, which is tried once more where it fails."""
    started, answer, failure = time.perf_counter(), None, None
    for _ in range(_ATTEMPTS):
        try:
            answer, failure = measure(**point), None
            break
        except Exception as error:
            failure = f"{type(error).__name__}: {one_line(error)}"
    return Ended(place, answer, failure, time.perf_counter() - started, machine())


def run_tasks(
    axes: Mapping[str, Sequence[Value]],
    measure: Callable[..., xr.Dataset],
    folder: str | Path,
    spec: Mapping[str, Any],
    *,
    report: Callable[[Step], Any] = lambda step: None,
    engine: Engine = in_turn,
) -> Outcome:
    """`measure(**point)` at every point of the grid, the last axis fastest.

    Each answer is written when it is there, and a second call with the same `folder` goes on with the points that have
    none, whether they were never reached, interrupted or failed. A task that fails is tried once more.

    Arguments: `axes`: names and their values; `measure` returns a dataset of numbers, with the same variables at every
    point; `spec`: JSON, all that decides an answer besides its point, so that a folder never mixes two studies;
    `report` is called after each task that was run; `engine` runs those that are missing, by default one after the
    other.

    Returns: an `Outcome` whose data have the axes as their first dimensions, and `task_seconds`; their attribute
    `machine` tells what ran the tasks.

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
    claim(folder, spec)
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    files = [_file(folder, point) for point in points]
    answers = {number: read_dataset(file) for number, file in enumerate(files) if file.exists()}
    missing = [number for number in range(len(points)) if number not in answers]
    failures, started = [], time.perf_counter()
    with closing(engine(measure, [points[number] for number in missing])) as tasks:
        for count, ended in enumerate(tasks, start=1):
            number = missing[ended.place]
            if ended.answer is None:
                failures.append((points[number], ended.failure or "no answer"))
            else:
                answers[number] = ended.answer.assign(task_seconds=ended.seconds).assign_attrs(machine=ended.machine)
                write_dataset(answers[number], files[number])
            left = (time.perf_counter() - started) / count * (len(missing) - count)
            done = len(points) - len(missing) + count
            report(Step(done, len(points), points[number], ended.seconds, left, ended.failure))
    if not answers:
        raise TaskError(f"All {len(points)} tasks failed, the first by {failures[0][1]}.")
    return Outcome(_combined(axes, answers), failures)


def claim(folder: str | Path, spec: Mapping[str, Any]) -> None:
    """Say in the folder whose tasks these are, as `run_tasks` does at first.

    Errors: `InputError` where they are another's, or the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     claim(folder, {"study": 1})
    ...     claim(folder, {"study": 2})
    Traceback (most recent call last):
    lehr._types.InputError: Folder ... must be free for these tasks, but it holds others.
    """
    folder = Path(folder)
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
    data.attrs["machine"] = "; ".join(sorted({answer.attrs.get("machine", "unknown") for answer in answers.values()}))
    return data.assign_coords({name: list(values) for name, values in axes.items()}).transpose(*axes, ...)
