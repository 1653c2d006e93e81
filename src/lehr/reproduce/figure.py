"""A figure of a paper, made again: what it claims, what is measured, and whether it holds."""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from lehr._files import written_whole
from lehr._netcdf import write_dataset
from lehr._types import InputError
from lehr._version import __version__
from lehr.tasks import Point, Step, Value, run_tasks

SCALES = ("smoke", "laptop", "paper")

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """What one figure needs; `make` does the rest.

    `title` is one line, `claim` what the paper says and where, in Markdown. `scales` names specs, JSON-able: "smoke"
    shows in seconds that everything works, "laptop" takes minutes, "paper" is the paper's own size. `axes(spec)` is the
    grid of tasks, and `measure(spec, **point)` the numbers of one. `summarise(data)` adds statistics to the measured
    data; from these alone `findings(data, spec)` writes, in Markdown, what was found and whether the claim holds, and
    `draw(data, spec)` draws the picture as a matplotlib figure. `measured_as` names the figure whose scales, axes and
    measurement this one has: in its folder nothing is measured again.
    """

    name: str
    title: str
    claim: str
    scales: Mapping[str, Spec]
    axes: Callable[[Spec], Mapping[str, Sequence[Value]]]
    measure: Callable[..., xr.Dataset]
    summarise: Callable[[xr.Dataset], xr.Dataset]
    findings: Callable[[xr.Dataset, Spec], str]
    draw: Callable[[xr.Dataset, Spec], Any]
    measured_as: str = ""

    @property
    def measurement(self) -> str:
        """The name of the measurement: that of the figure, or of another one that shows the same tasks."""
        return self.measured_as or self.name


def variants_by_seeds(spec: Spec) -> dict[str, Sequence[Value]]:
    """One task for each variant and seed."""
    return {"variant": spec["variants"], "seed": range(spec["num_seeds"])}


class Made(NamedTuple):
    """What `make` has made: the files, the text of one of them, and the tasks that failed with the reason."""

    files: list[Path]
    text: str
    failures: list[tuple[Point, str]]


def make(figure: Figure, scale: str, out: str | Path, *, report: Callable[[Step], Any] = lambda step: None) -> Made:
    """Measure a figure's data and write data (netCDF), text (Markdown) and, with matplotlib, pictures (PNG, PDF).

    Arguments: `scale` is one of `SCALES`; `out` a folder, where a second call goes on with the tasks that are missing
    (`lehr.tasks`); `report` is called after each task.

    Errors: `InputError` for an unknown scale, or a folder that holds another figure or scale, or one of another version
    of Lehr; `TaskError` where all tasks failed.
    """
    if scale not in figure.scales:
        raise InputError(f"Argument `scale` must be one of {', '.join(figure.scales)}, but it is {scale!r}.")
    spec, out = figure.scales[scale], Path(out)
    study = {"figure": figure.measurement, "scale": scale, "version": __version__, "spec": spec}
    measured, failures = run_tasks(
        figure.axes(spec), lambda **point: figure.measure(spec, **point), out / "tasks", study, report=report
    )
    data = figure.summarise(measured)
    data.attrs = {
        "title": figure.title,
        "scale": scale,
        "version": __version__,
        "machine": measured.attrs["machine"],
    }
    file = out / f"{figure.name}.nc"
    write_dataset(data, file)
    pictures = _drawn(figure, data, spec, out / figure.name)
    text = _text(figure, data, spec, failures, pictures[:1])
    with written_whole(file.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Made([file, *pictures, file.with_suffix(".md")], text, failures)


def filled(text: str) -> str:
    """Paragraphs and items of Markdown with their lines filled anew, after numbers have been put in.

    >>> filled("one\\nand two\\n\\n* three\\n  and four\\n* five")
    'one and two\\n\\n* three and four\\n* five'
    """
    paragraphs = [re.split(r"\n(?=\* )", paragraph) for paragraph in re.split(r"\n\s*\n", text.strip())]
    return "\n\n".join("\n".join(map(_wrapped, items)) for items in paragraphs)


def _wrapped(item: str) -> str:
    indent = "  " if item.startswith("* ") else ""
    return textwrap.fill(
        " ".join(item.split()), 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table; the first is its head.

    >>> print(table([["a", "b"], ["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    head, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *others])


def _drawn(figure: Figure, data: xr.Dataset, spec: Spec, stem: Path) -> list[Path]:
    """The pictures, where matplotlib is installed."""
    try:
        from lehr.plot import save_both
    except ImportError:
        return []
    return save_both(figure.draw(data, spec), stem)


def _text(figure: Figure, data: xr.Dataset, spec: Spec, failures, pictures: list[Path]) -> str:
    seconds = float(data["task_seconds"].sum())
    number = int(data["task_seconds"].count())
    smoke = data.attrs["scale"] == "smoke"
    parts = [
        f"# {figure.name}: {figure.title}",
        *(["This is the scale `smoke`: it shows that everything works, and nothing about the claim."] * smoke),
        figure.claim,
        *(f"![{figure.title}]({picture.name})" for picture in pictures),
        figure.findings(data, spec),
        "## How it was made",
        filled(
            f"`lehr reproduce {figure.name} --scale {data.attrs['scale']}` with Lehr {__version__} on "
            f"{data.attrs['machine'].replace('; ', ' and on ')}: {number} tasks in {seconds:.0f} seconds, compilation "
            f"included. Every number is in `{figure.name}.nc`."
        ),
    ]
    if failures:
        lines = [f"* {', '.join(map(str, point.values()))}: {message}" for point, message in failures]
        parts += ["## Tasks that failed twice", "They are in no number above.", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"
