"""What a person sees while a run goes on: one line on a terminal, nothing elsewhere."""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from lehr._files import printable


class Report(NamedTuple):
    """Where a run stands after a chunk of steps; energies with the problem's offset, lowest or mean over networks.

    `records` are means over the networks of the last that the history holds, by its names, its `step`, and
    `free_energy_error`, the standard error of the mean free energy."""

    step: int
    num_steps: int
    temperature: float
    field: float
    free_energy: float | None  # None where there is no p(s)
    energy: float
    best_energy: float
    steps_per_second: float
    records: Mapping[str, float] | None = None


class Bar:
    """A progress bar on standard error; silent where `show` is false, or where it is None and that is no terminal."""

    def __init__(self, show: bool | None, title: str):
        show = sys.stderr.isatty() if show is None else show
        self._task = None
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed}/{task.total}  {task.fields[status]}", markup=False),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not show, transient=True)
        self._title = printable([title])

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.stop()

    def update(self, report: Report) -> None:
        """Show where the run stands."""
        controls: Mapping[str, float] = {"T": report.temperature, "Γ": report.field}
        shown = [f"{name} {value:.3g}" for name, value in controls.items() if value]
        if report.free_energy is not None:
            shown.append(f" F {report.free_energy:.6g}")
        status = (
            f"{' '.join(shown)}  E {report.energy:.6g}  best {report.best_energy:.9g}  "
            f"{report.steps_per_second:.3g} steps/s"
        )
        if self._task is None:
            self._task = self._progress.add_task(self._title, total=report.num_steps, status=status)
        self._progress.update(self._task, completed=report.step, status=status)


class Counter:
    """A progress bar that counts what is done, on standard error; shown as `Bar` is."""

    def __init__(self, show: bool | None, title: str):
        show = sys.stderr.isatty() if show is None else show
        self._progress = Progress(console=Console(stderr=True), disable=not show, transient=True)
        self._task = self._progress.add_task(escape(printable([title])), total=None)

    def __enter__(self) -> "Counter":
        self._progress.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.stop()

    def update(self, done: int, total: int) -> None:
        """So much is done, of so much."""
        self._progress.update(self._task, completed=done, total=total)
