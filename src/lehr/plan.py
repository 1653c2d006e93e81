"""A run before it starts: which settings hold, and the engine that they make."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from lehr._types import InputError
from lehr.anneal import VariationalAnnealing
from lehr.ansatz.base import Ansatz, check_fits
from lehr.ansatz.choose import build_ansatz, kind_of
from lehr.ansatz.symmetrised import symmetrised
from lehr.baseline.settings import BASELINES, BaselineSettings
from lehr.batch import Batch
from lehr.engine import Engine
from lehr.optimise import Adam, NaturalGradient
from lehr.preset import default_settings
from lehr.preset import preset as preset_settings
from lehr.problem.base import Problem
from lehr.schedule import METHODS, Schedule
from lehr.settings import Settings

AnySettings = Settings | BaselineSettings
# The protocols of annealing, and the Markov chains.
ALL_METHODS = (*METHODS, *BASELINES)


class Plan(NamedTuple):
    """A run before it starts."""

    problems: list[Problem]
    settings: AnySettings
    engine: Engine
    custom: list[str]


# Which methods use which settings, where it is not all methods of the kind.
_USERS = {
    "temperature": ("vca", "rvqa", *BASELINES),
    "transverse_field": ("vqa", "rvqa", "sqa"),
    "num_slices": ("sqa",),
    "num_preanneal_steps": ("sqa",),
    "num_temperatures": ("pt",),
}


def settings_and_objects(
    problem: Problem, method: str | None, preset: str | Path | None, changes: Mapping[str, Any], **given: Any
) -> tuple[AnySettings, dict[str, Any]]:
    """Settings and objects by the arguments of `lehr.solve`: in `given` the ansatz and the optimiser may be names,
    which are settings, or objects, like the schedule."""
    changes = dict(changes) if method is None else {**changes, "method": method}
    for name in ("ansatz", "optimiser"):
        if isinstance(given[name], str):
            changes[name], given[name] = given[name], None
    return chosen_settings(problem, preset, given["ansatz"], changes), given


def chosen_settings(
    problem: Problem, preset: str | Path | None, ansatz: Ansatz | None, changes: dict[str, Any]
) -> AnySettings:
    """The preset, or Lehr's own settings, with the changes. Errors: `InputError` where a setting has no effect."""
    if (method := changes.get("method")) not in (None, *ALL_METHODS):
        raise InputError(f"Argument `method` must be one of {', '.join(ALL_METHODS)}, but it is {method!r}.")
    if preset is not None:
        settings = preset_settings(preset)
        if isinstance(settings, Settings) and changes.get("ansatz", settings.ansatz) != settings.ansatz:
            changes.setdefault("ansatz_options", {})  # those of the preset belong to another ansatz
    elif changes.get("method") in BASELINES:
        settings = BaselineSettings(method=changes["method"])
    else:
        kind = kind_of(problem, changes.get("ansatz", "auto") if ansatz is None else ansatz)
        settings = default_settings(problem, changes.get("method", "vca"), kind, changes.get("optimiser"))
    if isinstance(settings, BaselineSettings):
        for name in sorted(set(changes) & ({f.name for f in fields(Settings)} - {f.name for f in fields(settings)})):
            raise InputError(f"Argument `{name}` must be left out for {settings.method}, which trains no network.")
    settings = settings.changed(**changes)
    for name in _USERS:
        if changes.get(name) is not None and not _uses(settings, name):
            raise InputError(f"Argument `{name}` must be left out for {settings.method}, which has no such term.")
    if isinstance(settings, Settings) and settings.optimiser == "natural":
        for name in ("max_gradient_norm", "normalise"):
            if changes.get(name) is not None:
                raise InputError(
                    f"Argument `{name}` must be left out for the natural gradient, which controls its own step."
                )
    return settings


def _uses(settings: AnySettings, name: str) -> bool:
    cools = name == "temperature" and isinstance(settings, Settings) and settings.branches > 1
    return cools or settings.method in _USERS[name]


def ranges_of(settings: AnySettings, problems: list[Problem]) -> dict[str, tuple[float, float]]:
    """(start, stop) of what the method ramps, by the names of the settings; runs that are given them share a schedule.

    >>> pair = Problem.from_terms(2, {(0, 1): 5.0})
    >>> ranges_of(Settings(), [pair]), ranges_of(Settings(method="cqo"), [pair])
    ({'temperature': (5.0, 0.15)}, {})
    """
    ranges = settings.ranges(problems)
    named = {"temperature": ranges["temperature"], "transverse_field": ranges["field"]}
    return {name: ends for name, ends in named.items() if _uses(settings, name)}


def make_plan(problems: list[Problem], settings: AnySettings, given: dict[str, Any]) -> Plan:
    """The plan of a run whose caller gave an ansatz, a schedule or an optimiser of their own (or None for each)."""
    custom = [name for name, value in given.items() if value is not None]
    if isinstance(settings, BaselineSettings):
        if custom:
            raise InputError(f"Argument `{custom[0]}` must be left out for {settings.method}, which trains no network.")
        from lehr.baseline.walkers import Walkers  # whose compiler takes a second to import

        return Plan(problems, settings, Walkers(problems, settings), custom)
    if given["schedule"] is not None:
        settings = settings.changed(method=given["schedule"].method)
    with precision(settings):
        return Plan(problems, settings, _networks(problems, settings, **given), custom)


def _networks(
    problems: list[Problem], settings: Settings, ansatz: Ansatz | None, schedule: Schedule | None, optimiser
) -> Batch:
    if ansatz is None:
        ansatz, description = build_ansatz(problems[0], settings.ansatz, settings.ansatz_options)
    else:
        check_fits(ansatz, problems[0])
        description = f"{type(ansatz).__name__} ({ansatz.num_parameters} parameters): as given"
    ansatz, description = symmetrised(ansatz, description, problems, settings.symmetrise)
    used = settings.schedule(problems) if schedule is None else schedule
    if settings.branches > 1:
        used = _cooled(used, settings, problems)
    annealing = VariationalAnnealing(
        used,
        num_samples=settings.num_samples,
        learning_rate=None if isinstance(optimiser, optax.GradientTransformation) else settings.learning_rate,
        optimiser=_optimiser(settings, used) if optimiser is None else optimiser,
        normalise=settings.normalise,
    )
    return Batch(
        annealing,
        ansatz,
        problems,
        replicas=settings.replicas,
        branches=settings.branches,
        num_final_samples=settings.num_final_samples,
        seed=settings.seed,
        description=description,
    )


def _cooled(schedule: Schedule, settings: Settings, problems: list[Problem]) -> Schedule:
    """The schedule with the cooling of the settings, if it has none of its own."""
    if schedule.num_warmup_steps < 1:
        raise InputError(
            "Argument `num_warmup_steps` must be at least 1 for two branches, one of which is cooled in them, "
            f"but it is {int(schedule.num_warmup_steps)}."
        )
    if schedule.cooling is not None:
        return schedule
    return replace(schedule, cooling=settings.schedule(problems).cooling)


def _optimiser(settings: Settings, schedule: Schedule) -> Adam | NaturalGradient:
    if settings.optimiser == "natural":
        # Local energies in a field have rare large values that matter: they are the states a flip away.
        return NaturalGradient() if schedule.field is None else NaturalGradient(clip=math.inf)
    return Adam(settings.max_gradient_norm)


def precision(settings: AnySettings) -> AbstractContextManager:
    """JAX in the precision of the settings."""
    return jax.enable_x64(isinstance(settings, BaselineSettings) or settings.dtype == "float64")
