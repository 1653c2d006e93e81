"""Curves of a run for TensorBoard, while it goes on."""

import math
from pathlib import Path
from typing import Any

from lehr._files import one_line
from lehr._types import InputError
from lehr.progress import Report


class TensorBoard:
    """A `callback` of `lehr.solve` that writes what the history records, whenever progress is told.

    Each curve has the history's name and is its mean over the networks, at the history's steps; `free_energy_error` is
    the standard error of that mean (of independent samples), `best_energy` the lowest energy met so far by any network.
    What is not finite is left out.

    Arguments: `folder` for the event file; `go_on` says that it may hold earlier events of the same run.

    Errors: `InputError` where tensorboardX is not installed, the folder cannot be written to, or holds events already.

    >>> import tempfile, lehr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with TensorBoard(folder) as board:
    ...         _ = lehr.solve(lehr.random_chain(4, seed=1), num_steps=20, callback=board, progress=False)
    ...     [file.name.split(".")[:2] for file in Path(folder).iterdir()]
    [['events', 'out']]
    """

    def __init__(self, folder: str | Path, *, go_on: bool = False):
        try:
            import tensorboardX  # noqa: F401
        except ImportError:
            raise InputError(
                "Curves for TensorBoard need tensorboardX, but it is not installed: pip install 'lehr[tensorboard]'."
            ) from None
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Argument `tensorboard` must be a folder to write to, but: {one_line(error)}.") from None
        if not go_on and any(self._folder.glob("*tfevents*")):
            raise InputError(
                f"Argument `tensorboard` must be a folder without events, but `{folder}` holds those of another run."
            )
        self._writer: Any = None

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._writer is not None:
            self._writer.close()

    def __call__(self, report: Report) -> None:
        """One point of every curve."""
        curves = {**(report.records or {}), "best_energy": report.best_energy}
        step = int(curves.pop("step", report.step))
        if self._writer is None:
            from tensorboardX import SummaryWriter

            # What a run wrote beyond its last checkpoint is written again when it goes on. Names of files tell seconds
            # only, and an earlier one would be overwritten.
            self._writer = SummaryWriter(str(self._folder), purge_step=step, filename_suffix=f".{step}")
        for name, value in curves.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, step)
        self._writer.flush()
