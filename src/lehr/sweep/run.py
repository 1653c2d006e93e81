"""Running a sweep: exact energies and tasks, each once, and one dataset of everything."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from lehr._files import read_json, write_json
from lehr._netcdf import write_dataset
from lehr._types import InputError
from lehr._version import __version__
from lehr.exact.choose import exact
from lehr.mirror import is_url, mirrored, public
from lehr.problem.base import Problem, fingerprint
from lehr.sweep.grid import Grid
from lehr.sweep.spec import Spec, read_spec, written
from lehr.sweep.statistics import summarise
from lehr.sweep.table import table
from lehr.tasks import Engine, Point, Step, claim, in_turn, run_tasks

_NAME = "sweep"
_RANGES = {"temperature": "temperature", "field": "transverse_field"}


class Swept(NamedTuple):
    """What `sweep` has made: the data, the same in a table, the files or their URLs, and the tasks that failed with the
    reason."""

    data: xr.Dataset
    text: str
    files: list[Path | str]
    failures: list[tuple[Point, str]]


def sweep(
    spec: str | Path | Mapping[str, Any] | Spec,
    out: str | Path,
    *,
    report: Callable[[Step], Any] = lambda step: None,
    engine: Engine = in_turn,
) -> Swept:
    """Solve every instance with every setting and seed, and write data (netCDF) and, with matplotlib, pictures.

    Arguments: `spec`: a TOML file, a dict of the same shape (`lehr.sweep.read_spec`), or what that has read; `out`: a
    folder or a URL (`lehr.mirror`), where a second call goes on with what is missing, also after problems, settings or
    seeds were added; `report` is called after each exact energy and each task; `engine` runs the tasks (`lehr.tasks`).

    Returns: `Swept`, whose `data` hold every run, and averages over the disorder (`lehr.sweep.summarise`).

    Errors: `InputError` for a wrong spec or folder; `TaskError` where all tasks failed.

    >>> import tempfile
    >>> spec = {"problem": [{"family": "chain", "size": 6, "seed": [1, 2]}],
    ...         "grid": {"method": "sa", "num_steps": [10, 20], "replicas": 4}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = sweep(spec, folder).data
    >>> dict(data["best_energy"].sizes), data["certified"].values.tolist()
    ({'instance': 2, 'setting': 2, 'seed': 1, 'replica': 4}, [True, True])
    """
    grid = Grid(spec if isinstance(spec, Spec) else read_spec(spec))
    with mirrored(out) as (folder, keep):

        def told(step: Step) -> None:
            with suppress(InputError):  # the next time brings it, and the last one tells
                keep()
            report(step)

        study = {"sweep": 1, "version": __version__}
        claim(folder / "tasks", study)  # before anything is written there
        keep()
        made = _swept(grid, folder, study, told, engine)
    urls = [f"{public(str(out)).rstrip('/')}/{Path(file).name}" for file in made.files]
    return made._replace(files=urls) if is_url(out) else made


def _swept(grid: Grid, out: Path, study: dict[str, Any], report: Callable[[Step], Any], engine: Engine) -> Swept:
    """`sweep` in a folder of this machine, which was claimed for the study."""
    spec = grid.spec
    known = _exact_energies(spec, out / "exact", report)
    found, failures = run_tasks(
        grid.axes, grid.measure, out / "tasks", study, report=_named(grid, report), engine=engine
    )
    data = summarise(_of_instances(grid, found, known))
    data.attrs = {
        "title": f"settings: {len(spec.settings)}, seeds: {len(spec.seeds)}, instances: {data.sizes['instance']}",
        "spec": spec.text,
        "version": __version__,
        "machine": found.attrs["machine"],
        "task_seconds": float(found["task_seconds"].sum()),
    }
    files = [out / f"{_NAME}.nc"]
    write_dataset(data, files[0])
    return Swept(data, table(data, failures), [*files, *_drawn(data, out / _NAME)], failures)


def _named(grid: Grid, report: Callable[[Step], Any]) -> Callable[[Step], Any]:
    """Reports in words for people, without what tells tasks apart on disk."""

    def say(step: Step) -> None:
        batch, setting = grid.batches[str(step.point["batch"])], grid.settings[str(step.point["setting"])]
        point = {"problem": batch.title, "setting": setting.label, "seed": f"seed {step.point['seed']}"}
        report(step._replace(point=point))

    return say


class _Known(NamedTuple):
    """A ground energy, NaN where none is known, and how it is known."""

    ground_energy: float
    oracle: str
    certified: bool


def _exact_energies(spec: Spec, folder: Path, report: Callable[[Step], Any]) -> list[_Known]:
    """What is exactly known of each instance; what was found before is read."""
    problems = [problem for ensemble in spec.ensembles for problem in ensemble.problems]
    found, started, searched = [], time.perf_counter(), 0
    for number, problem in enumerate(problems, start=1):
        stated = math.nan if problem.ground_energy is None else float(problem.ground_energy)
        if not spec.exact:
            found.append(_Known(stated, "" if math.isnan(stated) else "stated with the problem, not certified", False))
            continue
        of = hashlib.sha256(f"{fingerprint(problem)} {stated!r} {problem.lattice}".encode()).hexdigest()[:16]
        file = folder / f"{of}.json"
        if not file.exists():
            begun, searched = time.perf_counter(), searched + 1
            _write(file, problem)
            now = time.perf_counter()
            left = (now - started) / searched * (len(problems) - number)
            report(Step(number, len(problems), {"exact energy": problem.name}, now - begun, left, None))
        found.append(_read(file))
    return found


def _write(file: Path, problem: Problem) -> None:
    try:
        reference = exact(problem)
        content = {"ground_energy": reference.ground_energy, "oracle": reference.oracle}
    except InputError:  # no method applies
        content = {"ground_energy": None, "oracle": ""}
    try:
        write_json(file, {"version": __version__, **content})
    except OSError as error:
        raise InputError(f"Folder `{file.parent}` must be one to write to, but: {error}.") from None


def _read(file: Path) -> _Known:
    content = read_json(file)
    try:
        oracle, energy = str(content["oracle"]), content["ground_energy"]
        energy = math.nan if energy is None else float(energy)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"File `{file}` must be one that `lehr sweep` wrote, but it is not.") from None
    return _Known(energy, oracle, bool(oracle) and "not certified" not in oracle)


def _of_instances(grid: Grid, found: xr.Dataset, known: list[_Known]) -> xr.Dataset:
    """The answers of all tasks by instance instead of by batch, with what is known of instances and settings."""
    spec = grid.spec
    place = {
        number: (row, member)
        for row, batch in enumerate(grid.batches.values())
        for member, number in enumerate(batch.instances)
    }
    rows, members = (xr.DataArray(values, dims="instance") for values in np.array([place[k] for k in sorted(place)]).T)
    data = found.drop_vars("task_seconds").isel(batch=rows, member=members).drop_vars(["batch", "member"])
    problems = [problem for ensemble in spec.ensembles for problem in ensemble.problems]
    data = data.assign_coords(
        instance=_unique([problem.name for problem in problems]),
        setting=[setting.label for setting in spec.settings],
        method=("setting", [setting.method for setting in spec.settings]),
        curve=("setting", [setting.curve for setting in spec.settings]),
        ensemble_of=("instance", [ensemble.name for ensemble in spec.ensembles for _ in ensemble.problems]),
    )
    data = data.assign(
        num_spins=("instance", [problem.num_spins for problem in problems]),
        resolution=("instance", [problem.resolution for problem in problems]),
        mean_field=("instance", [problem.mean_field() for problem in problems]),
        **{name: ("instance", [getattr(one, name) for one in known]) for name in _Known._fields},
        **_of_settings(grid, rows.values),
    )
    varied = dict.fromkeys(name for setting in spec.settings for name in setting.varied if name != "num_steps")
    data = data.assign_coords({name: ("setting", _column(spec, name)) for name in varied})
    return data.transpose("instance", "setting", "seed", "replica", ...)


def _of_settings(grid: Grid, batch_of: np.ndarray) -> dict[str, Any]:
    """Steps, replicas and what is ramped, of every setting on every instance."""
    jobs = [[grid.jobs[batch, name].settings for name in grid.settings] for batch in grid.batches]
    columns: dict[str, Any] = {"num_steps": [[s.num_steps for s in row] for row in jobs]}
    columns["num_replicas"] = [[s.replicas for s in row] for row in jobs]
    for name, setting in _RANGES.items():
        for end, suffix in enumerate(("start", "stop")):
            columns[f"{name}_{suffix}"] = [[(getattr(s, setting) or (math.nan,) * 2)[end] for s in row] for row in jobs]
    return {name: (("instance", "setting"), np.array(values)[batch_of]) for name, values in columns.items()}


def _column(spec: Spec, name: str) -> np.ndarray:
    """The values of a varied option: numbers where all are numbers, words elsewhere."""
    values = [setting.varied.get(name) for setting in spec.settings]
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return np.array([math.nan if value is None else value for value in values], np.float64)
    return np.array(["" if value is None else written(value) for value in values])


def _unique(names: list[str]) -> list[str]:
    """Names of which no two are equal."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _drawn(data: xr.Dataset, stem: Path) -> list[Path]:
    """The pictures, where matplotlib is installed."""
    try:
        from lehr.plot import plot_sweep, save_both
    except ImportError:
        return []
    return save_both(plot_sweep(data), stem)
