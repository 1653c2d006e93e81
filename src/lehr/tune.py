"""Settings for a family of instances, found by trial: learning rate, range of the schedule, ansatz and replicas."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from lehr._files import one_line, read_json, write_json
from lehr._types import InputError
from lehr._version import __version__
from lehr.ansatz.choose import ANSATZE, build_ansatz
from lehr.metrics import is_ground, student
from lehr.plan import chosen_settings, ranges_of
from lehr.preset import write_preset
from lehr.problem.base import Problem, fingerprint
from lehr.schedule import METHODS
from lehr.settings import Settings
from lehr.solve import DivergenceError, Report, solve

PRESET = "preset.json"
_FILE, _STUDY = "tune.json", "study.log"
# The seconds are worth this many runs of every problem, of which some are kept for the verdict: the best settings and
# the defaults with so many fresh seeds each.
_RUNS, _FRESH = 40, 8
_FIRST_FRESH_SEED = 1_000_000
# How much the mean over the replicas counts beside the lowest of them: where all trials find the same state, it tells
# which find it more often.
_WEIGHT_OF_MEAN = 0.01
# Share of a run's seconds in which its speed is measured first.
_PROBE = 0.1
_REPLICAS = (1, 2, 4, 8, 16)
# Factors of the defaults.
_RATE, _START, _STOP = (0.125, 8.0), (0.25, 4.0), (0.125, 4.0)


class Trial(NamedTuple):
    """What an observer is told after each trial: its number from 1, what it changed, its score (the lowest energy per
    spin and a hundredth of the replicas' mean, averaged over the problems; None where training diverged), and the
    seconds that are left for more."""

    number: int
    changes: dict[str, Any]
    score: float | None
    seconds_left: float


@dataclass(frozen=True, repr=False)
class Tuned:
    """What `tune` has found: the best `changes` of the defaults and the `settings` with them, in as many steps as fit
    into `run_seconds`; the lowest energies that fresh runs met, [problems, seeds], with these and with the defaults;
    the lowest energy of each problem that is known or that one of them met; and how many trials there were."""

    problems: tuple[Problem, ...]
    changes: dict[str, Any]
    settings: Settings
    energies: Float64[np.ndarray, "problems seeds"]
    default_energies: Float64[np.ndarray, "problems seeds"]
    lowest: Float64[np.ndarray, " problems"]
    run_seconds: float
    num_trials: int

    @property
    def gain(self) -> tuple[float, float]:
        """How much lower the energy per spin is than with the defaults, mean and standard error over the seeds."""
        num_spins = np.array([[problem.num_spins] for problem in self.problems])
        of_seeds = ((self.default_energies - self.energies) / num_spins).mean(0)
        sound = of_seeds[np.isfinite(of_seeds)]
        if len(sound) < 2:
            return float("nan"), float("nan")
        return float(sound.mean()), float(sound.std(ddof=1) / np.sqrt(len(sound)))

    @property
    def successes(self) -> tuple[int, int]:
        """How many of the fresh runs met the lowest energy of their problem: with the changes, and without."""
        hits = [0, 0]
        for number, (problem, lowest) in enumerate(zip(self.problems, self.lowest, strict=True)):
            for which, energies in enumerate((self.energies[number], self.default_energies[number])):
                sound = energies[np.isfinite(energies)]
                hits[which] += int(is_ground(sound, lowest, problem.resolution).sum()) if sound.size else 0
        return hits[0], hits[1]

    @property
    def verdict(self) -> str:
        """One line: better than the defaults, worse, or not told apart, and how surely."""
        (gain, error), (hits, default_hits) = self.gain, self.successes
        diverged, default_diverged = (int(np.isinf(of).sum()) for of in (self.energies, self.default_energies))
        if not abs(gain) > student(_FRESH - 1) * error:
            found = "not told apart from the defaults"
        else:
            found = "better than the defaults" if gain > 0 else "worse than the defaults, which are to be preferred"
        return (
            f"{found}: {gain:.2g} +- {error:.1g} lower per spin, and the lowest energy in {hits} of "
            f"{self.energies.size} fresh runs instead of {default_hits}"
            + (f"; {diverged} diverged, of the defaults {default_diverged}" if diverged + default_diverged else "")
        )

    def summary(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        (gain, error), (hits, default_hits) = self.gain, self.successes
        return {
            "problems": [problem.name for problem in self.problems],
            "changes": self.changes,
            "settings": self.settings.to_json(),
            "num_trials": self.num_trials,
            "run_seconds": self.run_seconds,
            "gain_per_spin": gain,
            "gain_error": error,
            "num_runs": self.energies.size,
            "successes": hits,
            "default_successes": default_hits,
            "lowest_energies": self.lowest.tolist(),
            "verdict": self.verdict,
            "version": __version__,
        }

    def __str__(self) -> str:
        names = ", ".join(problem.name for problem in self.problems[:3]) + (", ..." if len(self.problems) > 3 else "")
        return (
            f"{names}: {self.num_trials} trials of {self.run_seconds:.2g} s for each problem\n"
            f"  best     {told_changes(self.changes)}, {self.settings.num_steps} steps\n"
            f"  verdict  {self.verdict}"
        )

    __repr__ = __str__


def told_changes(changes: dict[str, Any]) -> str:
    """In one line.

    >>> told_changes({"learning_rate": 0.01234, "temperature": (2.0, 0.1)})
    'learning_rate 0.0123, temperature 2 to 0.1'
    """

    def told(value: Any) -> str:
        if isinstance(value, tuple):
            return " to ".join(map(told, value))
        return value if isinstance(value, str) else f"{value:.3g}"

    return ", ".join(f"{name} {told(value)}" for name, value in changes.items())


def tune(
    problems: Problem | Sequence[Problem],
    method: str = "vca",
    *,
    seconds: float = 600.0,
    seed: int = 0,
    ansatze: Sequence[str] | None = None,
    out: str | Path | None = None,
    report: Callable[[Trial], Any] = lambda trial: None,
) -> Tuned:
    """Search for settings with which runs of the same seconds end lowest, and hold them against the defaults.

    Every trial runs each problem once, for `seconds / 40 / len(problems)` of training; how many steps these are is
    measured first, so that a costly ansatz has fewer. Its score is the lowest energy per spin of the replicas (and a
    hundredth of their mean), averaged over the problems. A tree-structured Parzen estimator (optuna) chooses the next
    trial; the first are the defaults of each ansatz. In the end the best settings and the defaults are run with eight
    new seeds each.

    Args:
        problems: one, or several of the family that the settings are for.
        method: vca, vqa, rvqa or cqo.
        seconds: of all runs, compilation included; after 60 % of them no trial is begun. The first trial and the fresh
            runs are always made.
        seed: of the search and of the runs.
        ansatze: names to choose from (`lehr.build_ansatz`), "auto" by default.
        out: a folder for what has been found, and for `preset.json`, which `preset` of `lehr.solve` takes; the same
            call goes on there with what is missing.
        report: is called after each trial.

    Returns: a `Tuned`; print it.

    Errors: `InputError` for bad arguments, a folder with another search, or where optuna is not installed;
    `DivergenceError` where all trials diverged.

    Source: J. Bergstra et al., NeurIPS 24 (2011), for the search.

    >>> tuned = tune(Problem.from_terms(2, {(0, 1): -1.0}), seconds=0.5)
    >>> tuned.energies.tolist() == [[-1.0] * 8], tuned.settings.ansatz
    (True, 'auto')
    """
    problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
    if not problems or not all(isinstance(problem, Problem) for problem in problems):
        raise InputError("Argument `problems` must hold problems, at least one, but it does not.")
    if method not in METHODS:
        raise InputError(f"Argument `method` must be one of {', '.join(METHODS)}, but it is {method!r}.")
    if not 0 < seconds < float("inf"):
        raise InputError(f"Argument `seconds` must be positive and finite, but it is {seconds}.")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise InputError(f"Argument `seed` must be a whole number from 0 to 2**31 - 1, but it is {seed}.")
    kinds, seed = _checked_kinds(ansatze, problems), int(seed)
    found = _Found(out, {
        "problems": [fingerprint(problem) for problem in problems], "method": method, "seconds": seconds,
        "seed": seed, "ansatze": list(kinds), "version": __version__,
    })  # fmt: skip
    runs = _Runs(problems, method, seconds / _RUNS / len(problems), seed, found)
    study = _study(found.folder, seed)
    _search(study, runs, kinds, (1 - 2 * _FRESH / _RUNS) * seconds, report)
    changes = _changes(study.best_params, runs)
    energies = found.fresh("best", changes, runs)
    default_energies = found.fresh("defaults", {}, runs)
    known = [np.inf if problem.ground_energy is None else float(problem.ground_energy) for problem in problems]
    lowest = np.minimum(known, np.minimum(energies.min(1), default_energies.min(1)))
    settings = runs.settings(changes).changed(num_steps=runs.num_steps(changes))
    num_trials = sum("seconds" in trial.user_attrs for trial in study.trials)
    tuned = Tuned(problems, changes, settings, energies, default_energies, lowest, runs.seconds, num_trials)
    if found.folder is not None:
        write_preset(found.folder / PRESET, settings, told_changes(changes))
    return tuned


def _checked_kinds(ansatze: Sequence[str] | None, problems: Sequence[Problem]) -> tuple[str, ...]:
    """Names of ansätze that fit all problems; before a search, not in the midst of it."""
    kinds = (ansatze,) if isinstance(ansatze, str) else tuple(ansatze or ("auto",))
    for kind in kinds:
        if kind not in ("auto", *ANSATZE):
            raise InputError(f"Argument `ansatze` must hold some of auto, {', '.join(ANSATZE)}, but it holds {kind!r}.")
        if kind != "auto":
            for problem in problems:
                build_ansatz(problem, kind)
    return kinds


class _Runs:
    """Runs of the problems that take the same seconds, whatever their settings."""

    def __init__(self, problems: tuple[Problem, ...], method: str, seconds: float, seed: int, found: "_Found"):
        self.problems, self.method, self.seconds, self.seed, self._found = problems, method, seconds, seed, found

    def settings(self, changes: dict[str, Any], number: int = 0) -> Settings:
        """The defaults for one of the problems with these changes."""
        settings = chosen_settings(self.problems[number], None, None, {"method": self.method, **changes})
        assert isinstance(settings, Settings)
        return settings

    def num_steps(self, changes: dict[str, Any], number: int = 0) -> int:
        """How many fit into the seconds, by the speed of such networks on that problem, which is measured once."""
        settings = self.settings(changes, number)
        kind = f"problem {number}, {settings.ansatz}, {settings.replicas} replicas"
        if kind not in self._found.speeds:
            self._found.speeds[kind] = self._speed(changes, number)
            self._found.save()
        return max(settings.num_training_steps, 2, int(self.seconds * self._found.speeds[kind]))

    def energies(self, changes: dict[str, Any], seed: int) -> list[Float64[np.ndarray, " r"]]:
        """For each problem the lowest energy that each replica met."""
        options = {**changes, "seed": self.seed + seed, "num_final_samples": 64, "progress": False}
        each = enumerate(self.problems)
        results = [solve(p, self.method, num_steps=self.num_steps(changes, number), **options) for number, p in each]
        return [np.asarray(result.replica_best_energies) for result in results]

    def score(self, changes: dict[str, Any], seed: int) -> float:
        """Lower is better."""
        found = zip(self.energies(changes, seed), self.problems, strict=True)
        return float(np.mean([(of.min() + _WEIGHT_OF_MEAN * of.mean()) / p.num_spins for of, p in found]))

    def _speed(self, changes: dict[str, Any], number: int) -> float:
        """Steps per second, from a run that is broken off."""
        started, speeds = time.perf_counter(), []

        def watch(report: Report) -> bool:
            nonlocal started
            if not speeds:
                started = time.perf_counter()
            speeds.append(report.steps_per_second)
            return time.perf_counter() - started > _PROBE * self.seconds

        options = {**changes, "num_steps": 1_000_000, "num_final_samples": 1}
        solve(self.problems[number], self.method, progress=False, callback=watch, **options)
        return speeds[-1]


class _Found:
    """What has been found so far: in a folder, where there is one."""

    def __init__(self, out: str | Path | None, spec: dict[str, Any]):
        self.folder = None if out is None else Path(out)
        self._content: dict[str, Any] = {"spec": spec, "speeds": {}, "fresh": {}}
        if self.folder is None:
            return
        file = self.folder / _FILE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                self.save()
        except OSError as error:
            raise InputError(f"Argument `out` must be a folder that can be written, but: {one_line(error)}.") from None
        content = read_json(file)
        sound = all(isinstance(content.get(name), dict) for name in ("fresh", "speeds"))
        if content.get("spec") != spec or not sound:
            raise InputError(f"Argument `out` must be a folder without another search, but `{out}` holds one.")
        self._content = content

    @property
    def speeds(self) -> dict[str, float]:
        """Steps per second, of what was measured."""
        return self._content["speeds"]

    def save(self) -> None:
        """Write it, where there is a folder."""
        if self.folder is not None:
            write_json(self.folder / _FILE, self._content)

    def fresh(self, name: str, changes: dict[str, Any], runs: _Runs) -> Float64[np.ndarray, "problems seeds"]:
        """The lowest energies of fresh runs, infinite where one diverged."""
        exactly = json.loads(json.dumps(changes))  # which knows no tuples
        if self._content["fresh"].get(name, {}).get("changes") != exactly:
            self._content["fresh"][name] = {"changes": exactly, "energies": []}
        energies = self._content["fresh"][name]["energies"]
        while len(energies) < _FRESH:
            try:
                lowest = [float(of.min()) for of in runs.energies(changes, _FIRST_FRESH_SEED + len(energies))]
            except DivergenceError:
                lowest = [None] * len(runs.problems)  # JSON has no infinity
            energies.append(lowest)
            self.save()
        return np.array([[np.inf if e is None else e for e in of] for of in energies], np.float64).T


def _study(folder: Path | None, seed: int) -> Any:
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise InputError("Tuning needs optuna, but it is not installed: pip install 'lehr[tune]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None if folder is None else optuna.storages.JournalStorage(JournalFileBackend(str(folder / _STUDY)))
    study = optuna.create_study(storage=storage, study_name="lehr", load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))  # or it would suggest the same again
    return study


def _search(study: Any, runs: _Runs, kinds: Sequence[str], seconds: float, report: Callable[[Trial], Any]) -> None:
    """Trials until the seconds are spent, those of an earlier call included."""
    from optuna.trial import TrialState

    for trial in study.trials:
        if trial.state == TrialState.RUNNING:  # broken off in its midst
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
    if not study.trials:
        for kind in kinds:
            replicas = runs.settings({"ansatz": kind}).replicas
            study.enqueue_trial({"ansatz": kind, "rate": 1.0, "start": 1.0, "stop": 1.0, "replicas": replicas})
    ended = [trial for trial in study.trials if trial.state.is_finished()]
    spent = sum(trial.user_attrs.get("seconds", 0.0) for trial in ended)
    complete = sum(trial.state == TrialState.COMPLETE for trial in ended)
    while spent < seconds or not complete:
        started, trial = time.perf_counter(), study.ask()
        changes = _changes(_suggested(trial, kinds), runs)
        try:
            score = runs.score(changes, trial.number)
        except DivergenceError:
            if spent >= seconds:
                raise
            score = None
        taken = time.perf_counter() - started
        trial.set_user_attr("seconds", taken)
        study.tell(trial, score, state=TrialState.FAIL if score is None else TrialState.COMPLETE)
        complete += score is not None
        spent += taken
        report(Trial(trial.number + 1, changes, score, max(0.0, seconds - spent)))


def _suggested(trial: Any, kinds: Sequence[str]) -> dict[str, Any]:
    factors = {"rate": _RATE, "start": _START, "stop": _STOP}
    return {
        "ansatz": trial.suggest_categorical("ansatz", list(kinds)),
        **{name: trial.suggest_float(name, *ends, log=True) for name, ends in factors.items()},
        "replicas": trial.suggest_categorical("replicas", list(_REPLICAS)),
    }


def _changes(params: dict[str, Any], runs: _Runs) -> dict[str, Any]:
    """Settings from what was suggested: factors of the defaults of the ansatz."""
    defaults = runs.settings({"ansatz": params["ansatz"]})
    factors = params["start"], params["stop"]
    return {
        "ansatz": params["ansatz"],
        "learning_rate": params["rate"] * defaults.learning_rate,
        "replicas": params["replicas"],
        **{
            name: (factors[0] * hot, factors[1] * cold)
            for name, (hot, cold) in ranges_of(defaults, list(runs.problems)).items()
        },
    }
