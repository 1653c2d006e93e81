"""Solving: the one training loop, with progress, checkpoints, stopping and resuming."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import optax
from jaxtyping import PyTree

from lehr import native
from lehr._types import InputError
from lehr.ansatz.base import Ansatz
from lehr.engine import Engine
from lehr.optimise import NaturalGradient
from lehr.plan import Plan, make_plan, precision, settings_and_objects
from lehr.preset import settings_from_json
from lehr.problem.base import Problem
from lehr.processes import in_step, is_first, whole
from lehr.progress import Bar, Report
from lehr.result import Result
from lehr.run_folder import RunFolder
from lehr.schedule import Schedule
from lehr.settings import Settings

# A chunk of steps takes about this long, so that progress, interrupts and checkpoints are never far away.
_CHUNK_SECONDS = 0.25
# What is recorded without the problem's offset.
_ENERGIES = ("energy_mean", "energy_min", "free_energy")

Callback = Callable[[Report], bool | None]


class DivergenceError(ArithmeticError):
    """Training produced NaN or infinity; the message says at which step, the likely cause and the remedy."""


class _Progress(NamedTuple):
    """How far a run has come: what moves, how many steps it took, what was recorded, and the time."""

    moving: PyTree
    step: int
    records: dict[str, np.ndarray]
    seconds: float


@overload
def solve(problem: Problem, method: str | None = None, **options: Any) -> Result: ...
@overload
def solve(problem: Sequence[Problem], method: str | None = None, **options: Any) -> list[Result]: ...
def solve(
    problem: Problem | Sequence[Problem],
    method: str | None = None,
    *,
    preset: str | Path | None = None,
    ansatz: str | Ansatz | None = None,
    schedule: Schedule | None = None,
    optimiser: str | optax.GradientTransformation | NaturalGradient | None = None,
    out: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    history_every: int = 1,
    progress: bool | None = None,
    callback: Callback | None = None,
    **changes: Any,
) -> Result | list[Result]:
    """Find low-energy states of a problem by variational neural annealing.

    Arguments: `problem`, or a sequence of problems with the same interactions, trained in one program; `method`: "vca"
    (temperature, the default), "vqa" (transverse field), "rvqa" (both) or "cqo" (neither), or a baseline that trains
    nothing: "sa", "sqa", "pt" or "metropolis" (settings: `lehr.baseline.settings`); `preset`: a name of `lehr.PRESETS`
    or a file of `lehr.tune`, Lehr's own settings by default; `ansatz`: a name ("auto", "linear", "rnn1d", "rnn2d",
    "dilated") or an ansatz of your own; `optimiser`: "adam", "natural", a `NaturalGradient`, or a whole optax
    optimiser, step size included; `schedule` overrides the settings; any field of `lehr.Settings` as a keyword (`seed`,
    `num_steps`, `replicas`, `num_samples`, ...).

    `out` is a folder for the result and for a checkpoint every `checkpoint_seconds` and at an interrupt, from which
    `lehr.resume` goes on. `history_every` thins the recorded history. `callback` gets a report after every chunk of
    steps and stops the training by returning True. `progress` shows a bar (by default where standard error is a
    terminal).

    With `branches=2`, in a field, each replica is two networks: one goes down in the field, the other is cooled in the
    smallest field during the warm-up and then goes up. Samples are those of the networks that went down; the best state
    is that of either. The history tells of the second under names that begin with `up_`, and
    `lehr.branches.lower_envelope` takes the lower of the two energies at each field.

    Returns a `Result`, or a list of them for a sequence of problems. Errors: `InputError` for bad arguments,
    `DivergenceError` where training becomes non-finite.

    Source: paper A, fig. 2; the estimator is described in `lehr.objective`.

    >>> chain = Problem.from_terms(4, {(0, 1): -1.0, (1, 2): 0.5, (2, 3): -0.5})
    >>> result = solve(chain, seed=0, num_steps=20, num_final_samples=10, replicas=2)
    >>> result.best_energy, result.samples.shape
    (-2.0, (2, 10, 4))
    """
    problems = [problem] if isinstance(problem, Problem) else problem
    if not isinstance(problems, Sequence) or not problems or not all(isinstance(p, Problem) for p in problems):
        raise InputError("Argument `problem` must be a Problem or a sequence of Problems, but it is not.")
    problems = list(problems)
    if not isinstance(history_every, int) or history_every < 1:
        raise InputError(f"Argument `history_every` must be an integer of at least 1, but it is {history_every!r}.")
    if not checkpoint_seconds >= 0:
        raise InputError(f"Argument `checkpoint_seconds` must be at least 0, but it is {checkpoint_seconds}.")
    given = {"ansatz": ansatz, "schedule": schedule, "optimiser": optimiser}
    plan = make_plan(problems, *settings_and_objects(problems[0], method, preset, changes, **given))
    several = not isinstance(problem, Problem)
    spec = {
        "settings": plan.settings.to_json(),
        "several": several,
        "num_problems": len(problems),
        "custom": plan.custom,
        "history_every": history_every,
        "software": {
            **{name: version(name) for name in ("jax", "jaxlib", "equinox", "optax", "numpy")},
            "kernels": native.status().reason,
        },
    }
    folder = None if out is None else RunFolder.create(out, problems, spec)
    results = _run(plan, spec, folder, checkpoint_seconds, progress, callback)
    return results if several else results[0]


def resume(
    folder: str | Path,
    *,
    ansatz: Ansatz | None = None,
    schedule: Schedule | None = None,
    optimiser: optax.GradientTransformation | NaturalGradient | None = None,
    checkpoint_seconds: float = 60.0,
    progress: bool | None = None,
    callback: Callback | None = None,
) -> Result | list[Result]:
    """Go on with a run that was killed or interrupted, from its newest intact checkpoint (or from the beginning).

    On the same machine and software the result is bit for bit that of an unbroken run. A complete run is read, not
    repeated.

    Arguments: `folder`, the `out` of `solve`; `ansatz`, `schedule`, `optimiser`: the objects that the run was started
    with, where it was; the others as in `solve`. Returns what `solve` would have returned.

    Errors: `InputError` where the folder holds no run, or one of another version.
    """
    found = RunFolder.open(folder)
    if found.complete:
        results = found.results()
    else:
        given = {"ansatz": ansatz, "schedule": schedule, "optimiser": optimiser}
        for name, value in given.items():
            if (value is not None) != (name in found.spec["custom"]):
                needed = "be given again" if value is None else "be left out"
                raise InputError(f"Argument `{name}` must {needed}, but the run in `{folder}` was started otherwise.")
        settings = settings_from_json(found.spec["settings"])
        plan = make_plan(found.problems(), settings, given)
        results = _run(plan, found.spec, found, checkpoint_seconds, progress, callback)
    return results if found.spec["several"] else results[0]


def _run(
    plan: Plan, spec: dict[str, Any], folder: RunFolder | None, checkpoint_seconds, progress, callback
) -> list[Result]:
    """Go on from the newest checkpoint if there is one, draw the final samples, and put the results together."""
    settings, engine = plan.settings, plan.engine
    with precision(settings), _status_kept(folder):
        started = time.perf_counter()
        position = _Progress(engine.start(), 0, {}, 0.0)
        found = None if folder is None else folder.checkpoints.restore(position.moving)
        if found is not None:
            position = _Progress(found.tree, found.step, found.extra_arrays, found.extra["seconds"])
        engine.compile(position.moving)
        compile_seconds = time.perf_counter() - started
        with Bar(progress if is_first() else False, f"{settings.method} {plan.problems[0].name}") as bar:
            position = _train(plan, position, folder, checkpoint_seconds, bar, callback)
        started = time.perf_counter()
        spins, log_probs = engine.draw(position.moving)
        temperature = engine.temperature(position.step)
        seconds = {
            "compile": compile_seconds,
            "train": position.seconds,
            "sample": time.perf_counter() - started,
        }
    every = spec["history_every"]
    results, visited = [], _visited(position.moving, engine.branches)
    for number, problem in enumerate(plan.problems):
        mine = slice(number * settings.replicas, (number + 1) * settings.replicas)
        results.append(
            Result.assemble(
                problem,
                method=settings.method,
                seed=settings.seed,
                samples=spins[mine],
                log_probs=None if log_probs is None else log_probs[mine],
                visited=visited[mine],
                temperature=temperature,
                history=_history(position.records, mine, float(problem.offset), engine, every),
                work=engine.work(position.step),
                seconds=seconds,
                ansatz=engine.description,
                device=engine.device,
                spec=spec,
            )
        )
    if folder is not None:
        folder.save(results)
    return results


@contextmanager
def _status_kept(folder: RunFolder | None) -> Iterator[None]:
    """Says in `run.json` how a run ended that did not end well."""
    try:
        yield
    except BaseException as error:
        if folder is not None:
            ends = {KeyboardInterrupt: "interrupted", DivergenceError: "diverged"}
            folder.set_status(ends.get(type(error), "failed"))
        raise


def _train(plan: Plan, position: _Progress, folder, checkpoint_seconds, bar: Bar, callback) -> _Progress:
    """Chunks of steps until the schedule ends or the callback has seen enough."""
    engine = plan.engine
    chunk, stop = 1, False
    saved = time.monotonic()
    with in_step() as agreed:
        try:
            while position.step < engine.num_steps and not stop:
                started = time.perf_counter()
                taken = min(chunk, engine.num_steps - position.step)
                moving, records = engine.advance(position.moving, taken)
                elapsed = time.perf_counter() - started
                _check_finite(plan, position, moving, records, folder)
                position = _advanced(position, moving, taken, records, elapsed)
                report = _report(plan, position, taken / elapsed)
                bar.update(report)
                stop = bool(callback(report)) if callback is not None else False
                chunk = int(np.clip(taken * _CHUNK_SECONDS / elapsed, 1, engine.most_steps))
                due = folder is not None and time.monotonic() - saved >= checkpoint_seconds
                stop, chunk, due = agreed(stop, chunk, due)
                if folder is not None and due:
                    _save(folder, position)
                    saved = time.monotonic()
        except BaseException:
            if folder is not None:
                _save(folder, position)
            raise
    if folder is not None:
        _save(folder, position)
    return position


def _advanced(position: _Progress, moving: PyTree, taken: int, new: dict[str, np.ndarray], elapsed: float) -> _Progress:
    old = position.records
    records = {name: np.concatenate([old[name], values]) if name in old else values for name, values in new.items()}
    return _Progress(moving, position.step + taken, records, position.seconds + elapsed)


def _save(folder: RunFolder, position: _Progress) -> None:
    folder.checkpoints.save(
        position.moving, position.step, extra={"seconds": position.seconds}, extra_arrays=position.records
    )


def _report(plan: Plan, position: _Progress, steps_per_second: float) -> Report:
    offset, engine = float(plan.problems[0].offset), plan.engine
    rows = {name: _branches(values, engine)[0][-1] for name, values in position.records.items()}
    last = {name: float(row.mean()) + (offset if name in _ENERGIES else 0.0) for name, row in rows.items()}
    last["step"] = (len(position.records["energy_mean"]) - 1) * engine.record_every
    if isinstance(plan.settings, Settings):
        samples = rows["free_energy_variance"].size * plan.settings.num_samples
        last["free_energy_error"] = math.sqrt(last["free_energy_variance"] / samples)
    return Report(
        step=position.step,
        num_steps=engine.num_steps,
        temperature=last["temperature"],
        field=last["field"],
        free_energy=last.get("free_energy"),
        energy=last["energy_mean"],
        best_energy=float(np.min(whole(position.moving.best_energy))) + offset,
        steps_per_second=steps_per_second,
        records=last,
    )


def _check_finite(plan: Plan, position: _Progress, moving: PyTree, records, folder: RunFolder | None) -> None:
    """Errors: `DivergenceError` where the engine finds a fault."""
    fault = plan.engine.fault(moving, records)
    if fault is None:
        return
    later, found = fault
    custom, settings = "optimiser" in plan.custom, plan.settings.to_json()
    rate = "The optimiser's step size" if custom else f"The learning rate {settings['learning_rate']}"
    clip = "clipping the gradient (optax.clip_by_global_norm)" if custom else "max_gradient_norm=1"
    if settings["optimiser"] == "natural":
        clip = "more samples"
    kept = "" if folder is None else f" The last good state is in `{folder.checkpoints.folder}`."
    raise DivergenceError(
        f"Training became non-finite at step {position.step + later} ({found}). "
        f"{rate} is probably too large: try a tenth of it, or {clip}, or dtype='float64'.{kept}"
    )


def _history(
    records: dict[str, np.ndarray], mine: slice, offset: float, engine: Engine, every: int
) -> dict[str, np.ndarray]:
    """The records of one problem's runs, [R, steps], thinned, with the problem's offset in its energies; those of the
    second branch under names that begin with `up_`."""
    history = {}
    for name, values in records.items():
        shift = offset if name in _ENERGIES else 0.0
        for prefix, own in zip(("", "up_"), _branches(values, engine), strict=False):
            history[prefix + name] = np.asarray(own[::every, mine].T, np.float64) + shift
    return {**history, "step": np.arange(0, len(records["energy_mean"]), every) * engine.record_every}


def _branches(values: np.ndarray, engine: Engine) -> list[np.ndarray]:
    """The columns of each branch."""
    return np.split(values, engine.branches, axis=1)


def _visited(moving: PyTree, branches: int) -> np.ndarray:
    """The lowest state that each replica has met on any of its branches, [num_problems * replicas, N]."""
    spins, energies = whole((moving.best_spins, moving.best_energy))
    energies = np.reshape(energies, (branches, -1))
    spins = np.reshape(spins, (*energies.shape, -1))
    return spins[energies.argmin(axis=0), np.arange(energies.shape[1])]
