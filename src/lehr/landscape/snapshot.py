"""Snapshots: a network at one moment of its anneal, and all that its loss there depends on."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from lehr._types import InputError, Key
from lehr.anneal import informed_at
from lehr.ansatz.base import Ansatz, with_params
from lehr.baseline.settings import BASELINES
from lehr.batch import Batch
from lehr.plan import AnySettings, Plan, make_plan, precision, settings_and_objects
from lehr.preset import settings_from_json
from lehr.problem.base import Problem
from lehr.run_folder import RunFolder
from lehr.schedule import Controls, Schedule
from lehr.solve import DivergenceError

# Moments of every anneal: random parameters, after the warm-up, half-way down the ramps, and where samples are drawn.
MOMENTS: tuple[str, ...] = ("start", "warm", "middle", "end")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A network after `step` gradient steps, and the controls that the next one would see.

    `ansatz` holds the parameters of this moment and is not yet shown the problem; `key` is that of the next step's
    samples, `num_samples` how many these are. Temperature and field are in the units of the energy.
    """

    problem: Problem
    ansatz: Ansatz
    controls: Controls
    step: int
    num_samples: int
    key: Key

    @property
    def params(self) -> PyTree:
        """The trained parameters at this moment."""
        return self.ansatz.params

    @property
    def flat(self) -> Float[np.ndarray, " parameters"]:
        """All parameters in one row."""
        return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(self.params)])

    @property
    def precision(self) -> AbstractContextManager:
        """JAX in the precision of the parameters."""
        return jax.enable_x64(any(leaf.dtype == np.float64 for leaf in jax.tree.leaves(self.params)))

    @property
    def values(self) -> dict[str, float]:
        """The controls that exist, as numbers by name."""
        return {name: float(value) for name, value in vars(self.controls).items() if value is not None}

    def draw(self, num_samples: int) -> Float[np.ndarray, "num_samples n"]:
        """Samples of the network as it is, those that follow the training step which would come next."""
        with self.precision:
            key = jax.random.fold_in(self.key, 1)
            return np.asarray(_draw(self.problem.bare(), self.ansatz, self.controls, key, num_samples))

    def at(self, temperature: float | None = None, field: float | None = None) -> "Snapshot":
        """The same network at another temperature or field; None keeps what is.

        Errors: `InputError` for a negative number, or a term that the objective of the run does not have.
        """
        changed = {}
        for name, value in (("temperature", temperature), ("field", field)):
            if value is None:
                continue
            if getattr(self.controls, name) is None:
                raise InputError(f"Argument `{name}` must be left out, because the run's objective has no such term.")
            if not 0 <= value < float("inf"):
                raise InputError(f"Argument `{name}` must be finite and at least 0, but it is {value}.")
            with self.precision:
                changed[name] = jnp.asarray(value, getattr(self.controls, name).dtype)
        return replace(self, controls=Controls(**{**vars(self.controls), **changed}))


@eqx.filter_jit
def _draw(problem: Problem, ansatz: Ansatz, controls: Controls, key: Key, num_samples: int):
    return informed_at(controls, problem, ansatz)[0].sample(key, num_samples)[0]


def snapshots(
    problem: Problem,
    at: Sequence[int | str] = MOMENTS,
    method: str | None = None,
    *,
    preset: str | None = None,
    ansatz: str | Ansatz | None = None,
    schedule: Schedule | None = None,
    optimiser: Any = None,
    replica: int = 0,
    report: Callable[[int, int], Any] = lambda step, num_steps: None,
    **changes: Any,
) -> list[Snapshot]:
    """Train as `lehr.solve` does, with the same arguments, and keep the network of some moments.

    Arguments: `at`: gradient steps, or names of `MOMENTS`; `replica`: which network is kept; `report(step, num_steps)`
    is called as the training goes on. The parameters are bit for bit those of `solve` at these steps.

    Returns: a snapshot for each entry of `at`, in its order. Errors: `InputError` for bad arguments, a method that
    trains no network, or a moment outside the run; `lehr.DivergenceError` where training becomes non-finite.

    >>> chain = Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5})
    >>> start, end = snapshots(chain, ["start", "end"], temperature=(2.0, 0.5), num_steps=10, replicas=1)
    >>> start.step, end.step, start.values, end.values
    (0, 10, {'temperature': 2.0}, {'temperature': 0.5})
    """
    given = {"ansatz": ansatz, "schedule": schedule, "optimiser": optimiser}
    plan, engine = _networks([problem], *settings_and_objects(problem, method, preset, changes, **given))
    taken: dict[int, Snapshot] = {}
    with precision(plan.settings):
        steps = [_step_of(moment, engine.annealing.schedule) for moment in at]
        moving, step = engine.start(), 0
        for wanted in sorted(set(steps)):
            while step < wanted:
                number = min(wanted - step, engine.most_steps)
                moving, records = engine.advance(moving, number)
                fault = engine.fault(moving, records)
                if fault is not None:
                    raise DivergenceError(f"Training became non-finite at step {step + fault[0]} ({fault[1]}).")
                step += number
                report(step, engine.num_steps)
            taken[wanted] = _taken(plan, engine, moving, step, 0, replica)
    return [taken[step] for step in steps]


def from_folder(
    folder: str | Path,
    *,
    ansatz: Ansatz | None = None,
    schedule: Schedule | None = None,
    optimiser: Any = None,
    instance: int = 0,
    replica: int = 0,
) -> Snapshot:
    """The network in the newest checkpoint of a run folder (`lehr.solve(..., out=folder)`).

    Arguments: `ansatz`, `schedule`, `optimiser`: the objects that the run was started with, where it was; `instance`
    of several problems; `replica`.

    Errors: `InputError` where the folder holds no run, one of another version, one without networks or without a
    checkpoint, or has no such instance or replica.
    """
    found = RunFolder.open(folder)
    given = {"ansatz": ansatz, "schedule": schedule, "optimiser": optimiser}
    for name in found.spec["custom"]:
        if given.get(name) is None:
            raise InputError(f"Argument `{name}` must be given again, but the run in `{folder}` had one of its own.")
    plan, engine = _networks(found.problems(), settings_from_json(found.spec["settings"]), given)
    with precision(plan.settings):
        checkpoint = found.checkpoints.restore(engine.start())
        if checkpoint is None:
            raise InputError(f"Argument `folder` must hold a run with a checkpoint, but `{folder}` has none.")
        return _taken(plan, engine, checkpoint.tree, checkpoint.step, instance, replica)


def _networks(problems: list[Problem], settings: AnySettings, given: dict[str, Any]) -> tuple[Plan, Batch]:
    if settings.method in BASELINES:
        raise InputError(f"Argument `method` must train a network, but {settings.method} trains none.")
    plan = make_plan(problems, settings, given)
    assert isinstance(plan.engine, Batch)
    return plan, plan.engine


def _step_of(moment: int | str, schedule: Schedule) -> int:
    warm, last = int(schedule.num_warmup_steps), schedule.num_steps
    ramps = int(schedule.num_annealing_steps * schedule.num_training_steps)
    named = {"start": 0, "warm": warm, "middle": warm + ramps // 2, "end": last}
    step = named.get(moment, moment) if isinstance(moment, str) else moment
    if isinstance(step, str) or not 0 <= step <= last:
        raise InputError(
            f"Argument `at` must hold steps from 0 to {last} or names of {', '.join(MOMENTS)}, but it holds {moment!r}."
        )
    return int(step)


def _taken(plan: Plan, engine: Batch, moving: PyTree, step: int, instance: int, replica: int) -> Snapshot:
    """One network out of what moves."""
    for name, value, number in (("instance", instance, len(plan.problems)), ("replica", replica, engine.replicas)):
        if not 0 <= value < number:
            raise InputError(f"Argument `{name}` must be from 0 to {number - 1}, but it is {value}.")
    place = instance * engine.replicas + replica
    return Snapshot(
        problem=plan.problems[instance],
        ansatz=with_params(engine.ansatz, jax.tree.map(lambda leaf: leaf[place], moving.ansatz)),
        controls=engine.annealing.schedule(step),
        step=step,
        num_samples=engine.annealing.num_samples,
        key=jax.random.fold_in(moving.key[place], step),
    )
