"""The tasks of a sweep: instances with the same interactions are solved in one program, with one setting and seed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from lehr._files import one_line
from lehr._types import InputError
from lehr.plan import AnySettings, chosen_settings, make_plan, ranges_of
from lehr.preset import preset
from lehr.problem.base import Problem, fingerprint, same_interactions
from lehr.result import Result
from lehr.settings import Settings
from lehr.solve import DivergenceError, solve
from lehr.sweep.spec import Setting, Spec

# What of a setting decides whether an ansatz can be built; the other settings are checked without one.
_STRUCTURE = ("preset", "method", "ansatz", "ansatz_options", "symmetrise", "dtype", "branches", "optimiser")


class Batch(NamedTuple):
    """Instances that are solved together: their numbers in the sweep, and the problems. `name` tells them apart."""

    name: str
    title: str
    instances: tuple[int, ...]
    problems: tuple[Problem, ...]


class Job(NamedTuple):
    """One setting on one batch: the arguments of `lehr.solve`, and the settings that these make.

    Where the spec leaves temperature or field open they are those of all instances with the same interactions in one
    ensemble, so that numbers do not depend on the batch, and instances pass the same schedule.
    """

    options: Mapping[str, Any]
    settings: AnySettings


class Grid:
    """The tasks of a spec, all of which are checked before the first one runs.

    Errors: `InputError` where a setting does not fit.
    """

    def __init__(self, spec: Spec):
        self.spec = spec
        self.batches: dict[str, Batch] = {}
        self.settings: dict[str, Setting] = {}
        self.jobs: dict[tuple[str, str], Job] = {}
        for setting in spec.settings:
            self.settings[f"{setting.label}, {_digest(_identity(setting))}"] = setting
        number, built = 0, set()
        for ensemble in spec.ensembles:
            groups = _alike(ensemble.problems, number)
            number += len(ensemble.problems)
            for group in groups:
                problems = list(group.values())
                jobs = {name: _job(setting, problems, built) for name, setting in self.settings.items()}
                built.clear()
                for batch in _batches(ensemble.name, group, spec.batch):
                    self.batches[batch.name] = batch
                    self.jobs |= {(batch.name, name): job for name, job in jobs.items()}
        self._warm: set[tuple] = set()

    @property
    def axes(self) -> dict[str, Sequence[Any]]:
        """Names and values of the grid of tasks."""
        return {"batch": list(self.batches), "setting": list(self.settings), "seed": list(self.spec.seeds)}

    def measure(self, batch: str, setting: str, seed: int) -> xr.Dataset:
        """The numbers of one task, with dimensions member (of the batch) and replica.

        A network that diverges leaves NaN, and takes no other one with it.
        """
        problems, (options, settings) = self.batches[batch].problems, self.jobs[batch, setting]
        options = {**options, "seed": seed, "progress": False}
        key = batch, json.dumps({k: v for k, v in options.items() if k not in ("seed", "num_steps")}, default=str)
        startup = 0.0
        if key not in self._warm:  # what one step compiles, JAX and Numba keep
            (first, *_) = solve(list(problems), **{**options, "num_steps": 1})
            startup = sum(first.seconds.values())
            self._warm.add(key)
        try:
            results, shared = list(solve(list(problems), **options)), len(problems)
        except DivergenceError:
            results, shared = [_alone(problem, options) for problem in problems], 1
        rows = [_row(result, settings, shared) for result in results]
        data = {name: (dims, np.array([row[name] for row in rows])) for name, dims in _VARIABLES.items()}
        data["startup_seconds"] = ("member", data["startup_seconds"][1] + startup / len(problems))
        return xr.Dataset(data, {"member": np.arange(len(rows)), "replica": np.arange(settings.replicas)})


_VARIABLES = {
    **dict.fromkeys(("best_energy", "energy_mean", "energy_variance", "lowest_share"), ("member", "replica")),
    **dict.fromkeys(
        (
            "num_samples", "num_distinct", "gradient_steps", "energy_evaluations", "spin_updates", "startup_seconds",
            "train_seconds", "sample_seconds", "diverged",
        ),
        "member",
    ),
}  # fmt: skip


def _row(result: Result | None, settings: AnySettings, shared: int) -> dict[str, Any]:
    """One instance's share of a task; its seconds are those of `shared` instances side by side."""
    if result is None:
        nothing = np.full(settings.replicas, np.nan)
        empty = {name: nothing if dims == ("member", "replica") else np.nan for name, dims in _VARIABLES.items()}
        return {**empty, "startup_seconds": 0.0, "diverged": 1.0}
    best, seconds = result.replica_best_energies, result.seconds
    return {
        "best_energy": best,
        "energy_mean": result.energies.mean(axis=1),
        "energy_variance": result.energies.var(axis=1),
        "lowest_share": (result.energies <= best[:, None] + result.problem.resolution).mean(axis=1),
        "num_samples": result.num_samples,
        "num_distinct": result.num_distinct,
        **result.work._asdict(),
        "startup_seconds": seconds["compile"] / shared,
        "train_seconds": seconds["train"] / shared,
        "sample_seconds": seconds["sample"] / shared,
        "diverged": 0.0,
    }


def _alone(problem: Problem, options: Mapping[str, Any]) -> Result | None:
    try:
        return solve(problem, **options)
    except DivergenceError:
        return None


def _alike(problems: Sequence[Problem], first: int) -> list[dict[int, Problem]]:
    """The instances by their numbers, in groups with the same interactions."""
    groups: list[dict[int, Problem]] = []
    for number, problem in enumerate(problems, start=first):
        for group in groups:
            if same_interactions(next(iter(group.values())), problem):
                group[number] = problem
                break
        else:
            groups.append({number: problem})
    return groups


def _batches(ensemble: str, group: Mapping[int, Problem], most: int) -> list[Batch]:
    numbers = list(group)
    ranges = Settings().ranges(list(group.values()))
    batches = []
    for start in range(0, len(numbers), most):
        taken = tuple(numbers[start : start + most])
        problems = tuple(group[number] for number in taken)
        title = problems[0].name if len(taken) == 1 else f"{ensemble} ({len(taken)} instances)"
        identity = [ranges, *((fingerprint(problem), problem.lattice) for problem in problems)]
        batches.append(Batch(f"{title}, {_digest(identity)}", title, taken, problems))
    return batches


def _job(setting: Setting, problems: list[Problem], built: set[str]) -> Job:
    """The setting on problems with the same interactions. Errors: `InputError` where it does not fit them."""
    changes = {"method": setting.method, **setting.options}
    named = changes.pop("preset", None)
    try:
        if named is not None and not isinstance(named, str):
            raise InputError(f"Argument `preset` must be a name, but it is {named!r}.")
        settings = chosen_settings(problems[0], named, None, dict(changes))
        ranges = ranges_of(settings, problems)
        settings = settings.changed(**ranges)
        settings.schedule(problems)
        structure = json.dumps({name: setting.options.get(name) for name in _STRUCTURE}, default=str) + setting.method
        if structure not in built:  # building an ansatz for a large problem takes a while
            objects = {"ansatz": None, "schedule": None, "optimiser": None}
            make_plan(problems[:1], settings.changed(replicas=1), objects)
            built.add(structure)
    except InputError as error:
        raise InputError(f"{one_line(error)} (setting {setting.label!r}, problem {problems[0].name!r}).") from None
    given = {} if named is None else {"preset": named}
    return Job({**given, **changes, **ranges}, settings)


def _identity(setting: Setting) -> list[Any]:
    """All that a setting says: a preset that is a file by what the file holds, which may change."""
    name = setting.options.get("preset")
    return [setting.options, preset(name).to_json() if isinstance(name, str) and name.endswith(".json") else None]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]
