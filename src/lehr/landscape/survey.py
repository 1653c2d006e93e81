"""A survey: the plane around a network, row by row on disk, with its numbers in words and its picture."""

import contextlib
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from lehr._files import json_number, printable
from lehr._netcdf import write_dataset
from lehr._version import __version__
from lehr.landscape.relief import shape
from lehr.landscape.scan import Scan, axis
from lehr.landscape.snapshot import Snapshot
from lehr.tasks import Step, TaskError, run_tasks

_NAME = "landscape"
# What the data hold besides the shape of the plane.
_OF_THE_RUN = ("step", "temperature", "field")


class Surveyed(NamedTuple):
    """What `survey` has made: the plane with its shape, the numbers of these in words and as the JSON-able dict that
    `lehr landscape --json` prints (null where a number is not known), and the files."""

    data: xr.Dataset
    text: str
    summary: dict[str, Any]
    files: list[Path]


def survey(
    snapshot: Snapshot,
    out: str | Path,
    *,
    grid: int = 51,
    extent: float = 1.0,
    kind: str = "gaussian",
    seed: int = 0,
    num_samples: int | None = None,
    common: bool = False,
    exact: bool = False,
    report: Callable[[Step], Any] = lambda step: None,
) -> Surveyed:
    """Write the plane around a network, with its shape, as netCDF and, with matplotlib, as PNG and PDF.

    Arguments: as in `lehr.landscape.plane`; `out` is a folder, where a second call goes on with the rows that are
    missing after an interrupt; `report` is called after each row.

    Errors: `InputError` for bad arguments or a folder that cannot be written; `TaskError` where a row failed.

    >>> import tempfile
    >>> from lehr.landscape.snapshot import snapshots
    >>> from lehr.problem.base import Problem
    >>> (end,) = snapshots(Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5}), ["end"], num_steps=20, replicas=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = survey(end, folder, grid=3, exact=True)
    ...     [path.name for path in made.files]
    ['landscape.nc', 'landscape.png', 'landscape.pdf']
    """
    places = axis(grid, extent)
    scan = Scan(snapshot, kind=kind, seed=seed, num_samples=num_samples, common=common, exact=exact)
    spec = {
        "version": __version__, "step": snapshot.step, "controls": snapshot.values, "grid": grid, "extent": extent,
        "kind": kind, "seed": seed, "num_samples": scan.num_samples, "common": common, "exact": exact,
        "params": zlib.crc32(snapshot.flat.tobytes()),
    }  # fmt: skip

    def row(row: int) -> xr.Dataset:
        loss, error = scan.row(float(places[row]), places, row)
        return xr.Dataset({"loss": ("beta", loss), "error": ("beta", error)})

    out = Path(out)
    # Rows of other surveys in the same folder are kept apart, and those of a finished one are not needed.
    tasks = out / f".{_NAME}-{zlib.crc32(repr(spec).encode()):08x}"
    found, failures = run_tasks({"row": range(grid)}, row, tasks, spec, report=report)
    if failures:
        raise TaskError(f"{len(failures)} of {grid} rows failed, the first by {failures[0][1]}.")
    data = scan.dataset(places, places, found["loss"].values, found["error"].values)
    data = data.merge(shape(data))
    text = _text(snapshot, scan, data, kind, extent)
    files = [out / f"{_NAME}.nc"]
    write_dataset(data, files[0])
    with contextlib.suppress(ImportError):  # matplotlib is optional
        from lehr.landscape.picture import plot_plane
        from lehr.plot import save_both

        title = f"{snapshot.problem.name}, step {snapshot.step}, {_controls(snapshot)}"
        files += save_both(plot_plane(data, snapshot.problem.num_spins, title), out / _NAME)
    shutil.rmtree(tasks)
    summary = {
        "problem": {"name": snapshot.problem.name, "num_spins": snapshot.problem.num_spins},
        "loss": _loss(snapshot), "step": snapshot.step,
        **{name: snapshot.values.get(name) for name in ("temperature", "field")},
        "grid": grid, "extent": extent, "directions": kind, "seed": seed,
        "num_samples": None if scan.exact else scan.num_samples, "common": common, "exact": exact, **_numbers(data),
        "version": __version__,
    }  # fmt: skip
    return Surveyed(data, text, summary, files)


def _loss(snapshot: Snapshot) -> str:
    return "energy" if snapshot.controls.temperature is None else "free energy"


def _numbers(data: xr.Dataset) -> dict[str, float | None]:
    """Of the plane and its shape."""
    ends = {"lowest": data["loss"].min(), "highest": data["loss"].max()}
    of = {str(name): value for name, value in data.items() if not value.dims and name not in _OF_THE_RUN}
    return {name: json_number(value) for name, value in {**ends, **of}.items()}


def _controls(snapshot: Snapshot) -> str:
    symbols = {"temperature": "T", "field": "Γ"}
    return ", ".join(f"{symbols[name]} = {value:.4g}" for name, value in snapshot.values.items()) or "no controls"


def _text(snapshot: Snapshot, scan: Scan, data: xr.Dataset, kind: str, extent: float) -> str:
    of = {str(name): float(value) for name, value in data.items() if not value.dims}
    grid, name = data.sizes["alpha"], _loss(snapshot)
    drawn = "all states summed" if scan.exact else f"{scan.num_samples} samples at each point"
    lines = [
        f"{snapshot.problem.name}: the {name} after {snapshot.step} steps, {_controls(snapshot)}",
        f"{grid}x{grid} points to {extent:g} of {kind} directions, {drawn}",
        f"  at the centre        {of['centre']:.8g} +- {of['centre_error']:.2g}",
        f"  on the plane         {float(data['loss'].min()):.8g} to {float(data['loss'].max()):.8g}",
        f"  below the centre     {of['below']:.1%} of the points, by more than 4 standard errors",
        f"  radius of the basin  {of['basin']:.3g}",
        f"  ruggedness           {of['ruggedness']:.3g}",
    ]
    if not scan.exact:
        lines += [
            f"    without noise      {of['structure']:.3g}",
            f"  plateau              {of['plateau']:.1%} of the points: all samples have one local value",
        ]
    return printable(lines)
