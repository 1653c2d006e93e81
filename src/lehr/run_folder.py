"""The run folder: what a run writes before, while and after it goes on. Every file in it is whole or absent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lehr._files import one_line, read_json, write_json
from lehr._types import InputError
from lehr._version import __version__
from lehr.checkpoint import Checkpoints
from lehr.problem.base import Problem
from lehr.problem.io import load_problem, save_problem
from lehr.processes import check_first, is_first
from lehr.result import Result

_RUN = "run.json"
_PROBLEM = "problem.json"
# What `solve` needs to find in the spec of a run, and of which type it is.
_SPEC = {"settings": dict, "several": bool, "custom": list, "history_every": int, "num_problems": int, "software": dict}


class RunFolder:
    """A folder with one run: `run.json` (what it is and how it stands), its problems, `checkpoint/`, and the results.

    A run of one problem keeps problem and result in the folder itself, a run of several in `instance-0000/` and so on.
    Of several processes (`lehr.processes`) the first writes.
    """

    def __init__(self, path: str | Path, spec: Mapping[str, Any]):
        self.path = Path(path)
        self.spec = dict(spec)
        self.checkpoints = Checkpoints(self.path / "checkpoint")

    @classmethod
    def create(cls, path: str | Path, problems: list[Problem], spec: Mapping[str, Any]) -> "RunFolder":
        """Write what is about to run. Errors: `InputError` where the folder holds a run already."""
        folder = cls(path, spec)
        check_first(folder._failure(problems) if is_first() else None)
        return folder

    def _failure(self, problems: list[Problem]) -> str | None:
        """Write what is about to run; why that cannot be."""
        if (self.path / _RUN).exists():
            return f"Argument `out` must be a folder without a run, but `{self.path}` holds one."
        try:
            for problem, instance in zip(problems, self.instances, strict=True):
                instance.mkdir(parents=True, exist_ok=True)
                save_problem(problem, instance / _PROBLEM)
            self.set_status("running")
        except OSError as error:
            return f"Argument `out` must be a folder to write to, but: {one_line(error)}."
        return None

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """An existing run. Errors: `InputError` where there is none, or one of another version of Lehr."""
        run = read_json(Path(path) / _RUN)
        spec = run.get("spec")
        if not isinstance(spec, dict) or any(type(spec.get(name)) is not kind for name, kind in _SPEC.items()):
            raise InputError(f"Argument `folder` must hold a run of `solve`, but `{Path(path) / _RUN}` describes none.")
        if run.get("version") != __version__:
            raise InputError(
                f"Argument `folder` must hold a run of Lehr {__version__}, but its version is {run.get('version')}."
            )
        return cls(path, spec)

    @property
    def instances(self) -> list[Path]:
        """The folder of each problem and its result."""
        if not self.spec.get("several"):
            return [self.path]
        return [self.path / f"instance-{number:04d}" for number in range(self.spec["num_problems"])]

    @property
    def complete(self) -> bool:
        """Whether the run has ended and its results can be loaded."""
        return read_json(self.path / _RUN).get("status") == "complete"

    def problems(self) -> list[Problem]:
        """The problems as they were handed over."""
        return [load_problem(instance / _PROBLEM) for instance in self.instances]

    def results(self) -> list[Result]:
        """The results of a complete run."""
        return [Result.load(instance) for instance in self.instances]

    def save(self, results: list[Result]) -> None:
        """Write the results and mark the run as complete."""
        if not is_first():
            return
        for result, instance in zip(results, self.instances, strict=True):
            result.save(instance)
        if self.spec.get("several"):
            self.set_status("complete")

    def set_status(self, status: str) -> None:
        """Say in `run.json` how the run stands: running, interrupted, diverged or complete."""
        if not is_first():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / _RUN, {"format": 1, "version": __version__, "status": status, "spec": self.spec})
