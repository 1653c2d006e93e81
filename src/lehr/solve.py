"""Solving: the one training loop, with progress, checkpoints, stopping and resuming."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, PyTree

from lehr._types import InputError
from lehr.anneal import ADAM, Info, VariationalAnnealing
from lehr.ansatz.base import Ansatz, check_fits
from lehr.ansatz.choose import build_ansatz, kind_of
from lehr.batch import MOST_STEPS, Batch
from lehr.preset import default_settings
from lehr.preset import preset as preset_settings
from lehr.problem.base import Problem
from lehr.progress import Bar, Report
from lehr.result import Result
from lehr.run_folder import RunFolder
from lehr.schedule import Schedule
from lehr.settings import Settings

# A chunk of steps takes about this long, so that progress, interrupts and checkpoints are never far away.
_CHUNK_SECONDS = 0.25

Callback = Callable[[Report], bool | None]


class DivergenceError(ArithmeticError):
    """Training produced NaN or infinity; the message says at which step, the likely cause and the remedy."""


class _Plan(NamedTuple):
    """A run before it starts."""

    problems: list[Problem]
    settings: Settings
    ansatz: Ansatz
    description: str
    annealing: VariationalAnnealing
    custom: list[str]

    def precision(self) -> AbstractContextManager:
        """JAX in the precision of the settings."""
        return jax.enable_x64(self.settings.dtype == "float64")


class _Progress(NamedTuple):
    """How far a run has come: what the networks are, how many steps they took, what was recorded, and the time."""

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
    preset: str | None = None,
    ansatz: str | Ansatz | None = None,
    schedule: Schedule | None = None,
    optimiser: optax.GradientTransformation | None = None,
    out: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    history_every: int = 1,
    progress: bool | None = None,
    callback: Callback | None = None,
    **changes: Any,
) -> Result | list[Result]:
    """Find low-energy states of a problem by variational neural annealing.

    Arguments: `problem`, or a sequence of problems with the same interactions, trained in one program; `method`:
    "vca" (temperature, the default), "vqa" (transverse field), "rvqa" (both) or "cqo" (neither); `preset`: a name of
    `lehr.PRESETS`, Lehr's own settings by default; `ansatz`: a name ("auto", "linear", "rnn1d", "rnn2d", "dilated") or
    an ansatz of your own; `schedule` and `optimiser` (a whole optax optimiser, step size included) override the
    settings; any field of `lehr.Settings` as a keyword (`seed`, `num_steps`, `replicas`, `num_samples`, ...).

    `out` is a folder for the result and for a checkpoint every `checkpoint_seconds` and at an interrupt, from which
    `lehr.resume` goes on. `history_every` thins the recorded history. `callback` gets a report after every chunk of
    steps and stops the training by returning True. `progress` shows a bar (by default where standard error is a
    terminal).

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
    if method is not None:
        changes["method"] = method
    if isinstance(ansatz, str):
        changes["ansatz"], ansatz = ansatz, None
    if preset is not None:
        settings = preset_settings(preset)
        if "ansatz" in changes and changes["ansatz"] != settings.ansatz:
            changes.setdefault("ansatz_options", {})  # those of the preset belong to another ansatz
    else:
        kind = kind_of(problems[0], changes.get("ansatz", "auto") if ansatz is None else ansatz)
        settings = default_settings(problems[0], changes.get("method", "vca"), kind)
    settings = settings.changed(**changes)
    _refuse_unused(settings.method, changes)
    plan = _plan(problems, settings, ansatz, schedule, optimiser)
    several = not isinstance(problem, Problem)
    spec = {
        "settings": plan.settings.to_json(),
        "several": several,
        "num_problems": len(problems),
        "custom": plan.custom,
        "history_every": history_every,
        "software": {name: version(name) for name in ("jax", "jaxlib", "equinox", "optax", "numpy")},
    }
    folder = None if out is None else RunFolder.create(out, problems, spec)
    results = _run(plan, spec, folder, checkpoint_seconds, progress, callback)
    return results if several else results[0]


def resume(
    folder: str | Path,
    *,
    ansatz: Ansatz | None = None,
    schedule: Schedule | None = None,
    optimiser: optax.GradientTransformation | None = None,
    checkpoint_seconds: float = 60.0,
    progress: bool | None = None,
    callback: Callback | None = None,
) -> Result | list[Result]:
    """Go on with a run that was killed or interrupted, from its newest intact checkpoint (or from the beginning).

    On the same machine and software the result is bit for bit that of an unbroken run. A run that was started with an
    ansatz, schedule or optimiser object needs the same object again. A complete run is read, not repeated.

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
        settings = Settings.from_json(found.spec["settings"])
        plan = _plan(found.problems(), settings, ansatz, schedule, optimiser)
        results = _run(plan, found.spec, found, checkpoint_seconds, progress, callback)
    return results if found.spec["several"] else results[0]


def _refuse_unused(method: str, changes: dict[str, Any]) -> None:
    """Errors: `InputError` where a range was given for a term that the method does not have."""
    for name, users in (("temperature", ("vca", "rvqa")), ("transverse_field", ("vqa", "rvqa"))):
        if changes.get(name) is not None and method not in users:
            raise InputError(f"Argument `{name}` must be left out for {method}, which has no such term.")


def _plan(problems, settings: Settings, ansatz, schedule, optimiser) -> _Plan:
    given = {"ansatz": ansatz, "schedule": schedule, "optimiser": optimiser}
    if schedule is not None:
        settings = settings.changed(method=schedule.method)
    with jax.enable_x64(settings.dtype == "float64"):
        if ansatz is None:
            ansatz, description = build_ansatz(problems[0], settings.ansatz, settings.ansatz_options)
        else:
            check_fits(ansatz, problems[0])
            description = f"{type(ansatz).__name__} ({ansatz.num_parameters} parameters): as given"
        clip = settings.max_gradient_norm
        direction = ADAM if clip is None else optax.chain(optax.clip_by_global_norm(clip), ADAM)
        annealing = VariationalAnnealing(
            settings.schedule(problems) if schedule is None else schedule,
            num_samples=settings.num_samples,
            learning_rate=settings.learning_rate if optimiser is None else None,
            optimiser=direction if optimiser is None else optimiser,
            normalise=settings.normalise,
        )
    custom = [name for name, value in given.items() if value is not None]
    return _Plan(problems, settings, ansatz, description, annealing, custom)


def _run(
    plan: _Plan, spec: dict[str, Any], folder: RunFolder | None, checkpoint_seconds, progress, callback
) -> list[Result]:
    """Train from the newest checkpoint if there is one, draw the final samples, and put the results together."""
    settings = plan.settings
    with plan.precision(), _status_kept(folder):
        started = time.perf_counter()
        batch = Batch(plan.annealing, plan.ansatz, plan.problems, replicas=settings.replicas, seed=settings.seed)
        position = _Progress(batch.start(), 0, {}, 0.0)
        found = None if folder is None else folder.checkpoints.restore(position.moving)
        if found is not None:
            position = _Progress(found.tree, found.step, found.extra_arrays, found.extra["seconds"])
        batch.compile(position.moving)
        compile_seconds = time.perf_counter() - started
        with Bar(progress, f"{settings.method} {plan.problems[0].name}") as bar:
            position = _train(plan, batch, position, folder, checkpoint_seconds, bar, callback)
        started = time.perf_counter()
        portions = list(batch.draw(position.moving, settings.num_final_samples))
        seconds = {
            "compile": compile_seconds,
            "train": position.seconds,
            "sample": time.perf_counter() - started,
        }
    spins, log_prob = (np.concatenate(parts, axis=1) for parts in zip(*portions, strict=True))
    results = []
    for number, problem in enumerate(plan.problems):
        mine = slice(number * settings.replicas, (number + 1) * settings.replicas)
        results.append(
            Result.assemble(
                problem,
                method=settings.method,
                seed=settings.seed,
                samples=spins[mine],
                log_probs=log_prob[mine],
                candidates=np.asarray(position.moving.best_spins)[mine],
                history=_history(position.records, mine, float(problem.offset), spec["history_every"]),
                gradient_steps=position.step,
                seconds=seconds,
                ansatz=plan.description,
                device=jax.devices()[0].device_kind,
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


def _train(plan: _Plan, batch: Batch, position: _Progress, folder, checkpoint_seconds, bar: Bar, callback) -> _Progress:
    """Chunks of steps until the schedule ends or the callback has seen enough."""
    num_steps = plan.annealing.schedule.num_steps
    chunk, stop = 1, False
    saved = time.monotonic()
    try:
        while position.step < num_steps and not stop:
            started = time.perf_counter()
            moving, info = batch.advance(position.moving, min(chunk, num_steps - position.step))
            elapsed = time.perf_counter() - started
            _check_finite(plan, position, moving, info, folder)
            position = _advanced(position, moving, info, elapsed)
            taken = len(info.energy_mean)
            report = _report(plan, position, info, num_steps, taken / elapsed)
            bar.update(report)
            stop = bool(callback(report)) if callback is not None else False
            chunk = int(np.clip(taken * _CHUNK_SECONDS / elapsed, 1, MOST_STEPS))
            if folder is not None and time.monotonic() - saved >= checkpoint_seconds:
                _save(folder, position)
                saved = time.monotonic()
    except BaseException:
        if folder is not None:
            _save(folder, position)
        raise
    if folder is not None:
        _save(folder, position)
    return position


def _advanced(position: _Progress, moving: PyTree, info: Info, elapsed: float) -> _Progress:
    records = dict(position.records)
    for name, values in vars(info).items():
        records[name] = np.concatenate([records[name], values]) if name in records else np.asarray(values)
    return _Progress(moving, position.step + len(info.energy_mean), records, position.seconds + elapsed)


def _save(folder: RunFolder, position: _Progress) -> None:
    folder.checkpoints.save(
        position.moving, position.step, extra={"seconds": position.seconds}, extra_arrays=position.records
    )


def _report(plan: _Plan, position: _Progress, info: Info, num_steps: int, steps_per_second: float) -> Report:
    offset = float(plan.problems[0].offset)
    return Report(
        step=position.step,
        num_steps=num_steps,
        temperature=float(info.temperature[-1, 0]),
        field=float(info.field[-1, 0]),
        free_energy=float(info.free_energy[-1].mean()) + offset,
        energy=float(info.energy_mean[-1].mean()) + offset,
        best_energy=float(np.min(position.moving.best_energy)) + offset,
        steps_per_second=steps_per_second,
    )


def _check_finite(plan: _Plan, position: _Progress, moving: PyTree, info: Info, folder: RunFolder | None) -> None:
    """Errors: `DivergenceError` at the first step whose free energy, gradient or (at the end of the chunk) parameters
    are not finite."""
    finite = np.isfinite(info.free_energy) & np.isfinite(info.gradient_norm)
    if not finite.all():
        first, network = np.argwhere(~finite)[0]
        found = f"free energy {info.free_energy[first, network]}, gradient norm {info.gradient_norm[first, network]}"
    else:
        sound = np.asarray(_finite_networks(moving.ansatz))
        if sound.all():
            return
        first, network = len(finite) - 1, int(sound.argmin())
        found = "its update made the parameters non-finite"
    custom = "optimiser" in plan.custom
    rate = "The optimiser's step size" if custom else f"The learning rate {plan.settings.learning_rate}"
    clip = "clipping the gradient (optax.clip_by_global_norm)" if custom else "max_gradient_norm=1"
    kept = "" if folder is None else f" The last good state is in `{folder.checkpoints.folder}`."
    raise DivergenceError(
        f"Training became non-finite at step {position.step + first} (network {network}: {found}). "
        f"{rate} is probably too large: try a tenth of it, or {clip}, or dtype='float64'.{kept}"
    )


@jax.jit
def _finite_networks(params: PyTree) -> Bool[Array, " networks"]:
    """Whether all parameters of each network are finite; on the device, for they may be many."""
    leaves = [jnp.isfinite(leaf).reshape(leaf.shape[0], -1).all(1) for leaf in jax.tree.leaves(params)]
    return jnp.stack(leaves).all(0)


def _history(records: dict[str, np.ndarray], mine: slice, offset: float, every: int) -> dict[str, np.ndarray]:
    """The records of one problem's networks, [R, steps], thinned, with the problem's offset in its energies."""
    history = {name: np.asarray(values[::every, mine].T, np.float64) for name, values in records.items()}
    for name in ("energy_mean", "energy_min", "free_energy"):
        history[name] = history[name] + offset
    return {**history, "step": np.arange(0, len(records["energy_mean"]), every)}
