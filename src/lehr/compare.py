"""Methods side by side on one problem: the same seconds for each, residual energy against time, time to solution."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from lehr._files import json_number, one_line, printable, read_json, write_json
from lehr._types import InputError
from lehr._version import __version__
from lehr.baseline.settings import BASELINES
from lehr.exact.choose import Reference, exact
from lehr.metrics import Interval, bootstrap, is_ground, time_to_solution, wilson
from lehr.plan import ALL_METHODS
from lehr.problem.base import Problem, fingerprint
from lehr.solve import DivergenceError, solve

# Steps of the first rung; each rung doubles them.
_FIRST_STEPS = {"network": 25, "chain": 8}
# Independent runs of one rung: error bars need several.
_RUNS = {"network": 8, "chain": 32}
_SEEDS = 2**32
_FILE = "comparison.json"


@dataclass(frozen=True)
class Rung:
    """Independent runs of one method with one number of steps.

    `seconds` is the wall-clock time of all runs together, without start-up: building and compiling, which each method
    pays once (`startup_seconds`). `energies` are the lowest that each run has met; those that `diverged` are failures,
    and have none.
    """

    method: str
    num_steps: int
    seconds: float
    startup_seconds: float
    energies: tuple[float, ...]
    diverged: int = 0

    @property
    def num_runs(self) -> int:
        """Runs with those that diverged."""
        return len(self.energies) + self.diverged

    @property
    def seconds_per_run(self) -> float:
        """Share of one run in the wall-clock time: runs side by side use the machine's processors together."""
        return self.seconds / self.num_runs

    @property
    def lowest(self) -> float:
        """The lowest energy that any run has met, infinite where all diverged."""
        return min(self.energies, default=math.inf)

    @property
    def failures(self) -> str:
        """How many runs diverged, in words; nothing where none did."""
        return f"{self.diverged} of {self.num_runs} runs diverged" if self.diverged else ""


@dataclass(frozen=True)
class Comparison:
    """All rungs of all methods on one problem.

    `target` is the energy that counts as success, in the units of H: the ground energy by `oracle`, or, where none
    applies, the lowest energy that any method has met, which `oracle` then says.
    """

    problem: Problem
    target: float
    oracle: str
    rungs: tuple[Rung, ...]

    @property
    def methods(self) -> list[str]:
        """The methods in the order in which they were asked for."""
        return list(dict.fromkeys(rung.method for rung in self.rungs))

    def of(self, method: str) -> list[Rung]:
        """The rungs of one method, by increasing number of steps."""
        return [rung for rung in self.rungs if rung.method == method]

    def residual(self, rung: Rung) -> Interval:
        """Mean over the runs of (lowest energy met - target) / N, 0 for the target to rounding, with a bootstrap
        interval of 95 %; of those that did not diverge, infinite where all did."""
        if not rung.energies:
            return Interval(math.inf, math.inf, math.inf)
        above = np.where(self._met(rung), 0, np.array(rung.energies) - self.target)
        return bootstrap(above / self.problem.num_spins)

    def hits(self, rung: Rung) -> int:
        """Number of runs that have met the target."""
        return int(self._met(rung).sum()) if rung.energies else 0

    def success(self, rung: Rung) -> Interval:
        """Probability that one run meets the target, with Wilson's interval of 95 %."""
        return wilson(self.hits(rung), rung.num_runs)

    def time_to_solution(self, rung: Rung) -> Interval:
        """Seconds of repeated runs to meet the target with a probability of 99 %, with the interval of 95 %."""
        return time_to_solution(self.hits(rung), rung.num_runs, rung.seconds_per_run)

    def best(self, method: str) -> Rung:
        """The rung with the shortest time to solution, or the lowest mean energy where none has met the target."""
        return min(self.of(method), key=self._merit)

    def ranking(self) -> list[str]:
        """The methods by their best rung, the fastest first."""
        return sorted(self.methods, key=lambda method: self._merit(self.best(method)))

    @property
    def verdict(self) -> str:
        """Which method wins on this problem on this machine, in one line, and whether the intervals can tell."""
        first, *others = self.ranking()
        fastest = self.time_to_solution(self.best(first))
        if not np.isfinite(fastest.value):
            above = self.residual(self.best(first)).value
            if not np.isfinite(above):
                return "no method has met the target: every run diverged"
            return f"no method has met the target; {first} comes closest, {above:.2g} per spin above"
        if not others:
            return f"{first} takes {_shown(fastest)} s to solution"
        close = [m for m in others if self.time_to_solution(self.best(m)).low <= fastest.high]
        unsure = f", but the intervals of {' and '.join(close)} overlap with it" if close else ""
        return f"{first} is the fastest: {_shown(fastest)} s to solution{unsure}"

    def _merit(self, rung: Rung) -> tuple[float, float]:
        return self.time_to_solution(rung).value, float(np.mean(rung.energies)) if rung.energies else math.inf

    def summary(self) -> dict[str, Any]:
        """The JSON-able dict that `lehr compare --json` prints."""
        return {
            "problem": {"name": self.problem.name, "num_spins": self.problem.num_spins},
            "target": self.target,
            "oracle": self.oracle,
            "ranking": self.ranking(),
            "verdict": self.verdict,
            "rungs": [
                {
                    **asdict(rung),
                    "energies": list(rung.energies),
                    "seconds_per_run": rung.seconds_per_run,
                    "residual_per_spin": _finite(self.residual(rung)),
                    "success": _finite(self.success(rung)),
                    "time_to_solution": _finite(self.time_to_solution(rung)),
                }
                for rung in self.rungs
            ],
            "version": __version__,
        }

    def __str__(self) -> str:
        lines = [
            f"{self.problem.name}: {self.problem.num_spins} spins",
            f"target {self.target:.12g} ({self.oracle})",
            "",
            f"{'method':<11}{'steps':>8}{'s per run':>11}  {'residual per spin':<29}{'success':<22}"
            f"{'s to solution (99 %)':<28}{'start-up s':>10}",
        ]
        for method in self.ranking():
            rung = self.best(method)
            lines.append(
                f"{method:<11}{rung.num_steps:>8}{rung.seconds_per_run:>11.3g}  {_shown(self.residual(rung)):<29}"
                f"{_shown(self.success(rung)):<22}{_shown(self.time_to_solution(rung)):<28}{self._startup(method):>10.1f}"
            )
        lines += ["", self.verdict]
        lines += [
            f"{rung.method}, {rung.num_steps} steps: {rung.failures}, and count as failures"
            for rung in self.rungs
            if rung.diverged
        ]
        return printable(lines)

    __repr__ = __str__

    def _met(self, rung: Rung) -> Bool[np.ndarray, " runs"]:
        return is_ground(np.array(rung.energies), self.target, self.problem.resolution)

    def _startup(self, method: str) -> float:
        return max(rung.startup_seconds for rung in self.of(method))


def compare(
    problem: Problem,
    methods: Sequence[str] = ("vca", "sa", "sqa", "pt"),
    *,
    seconds: float = 30.0,
    seed: int = 0,
    out: str | Path | None = None,
    report: Callable[[Rung], Any] = lambda rung: None,
) -> Comparison:
    """Run every method on a ladder of step numbers, each twice the last, within `seconds` of each method's own time.

    Every rung is a batch of independent runs with the method's default settings: 8 networks, or 32 Markov chains. Each
    run counts with the lowest energy that it has met, whichever method it is; where a network diverges, the runs of its
    rung are made one by one, and those that diverge again are failures. A ladder ends where the next rung would not fit
    into what is left of the seconds (the first is always run), or where every run has diverged. Start-up is reported,
    not counted (but that of a run that diverged is); nor is the attempt to train all at once, where one diverges.

    Args:
        problem: any.
        methods: names for `lehr.solve`: vca, vqa, rvqa, cqo, sa, sqa, pt, metropolis.
        seconds: of each method, positive.
        seed: of all runs.
        out: a folder for `comparison.json`, written after every rung; a comparison that was broken off goes on there.
        report: is called with every new `Rung`.

    Returns:
        A `Comparison`; print it for a table, `lehr.plot.plot_comparison` draws it.

    Raises:
        InputError: for unknown methods, seconds that are not positive, or a folder with another comparison.
        DivergenceError: where every run of every method diverged and no exact method applies.

    Source: T. F. Rønnow et al., Science 345, 420 (2014), on how to compare; residual energies as in paper A, fig. 4.

    >>> pair = Problem.from_terms(2, {(0, 1): -1.0})
    >>> comparison = compare(pair, ["sa", "metropolis"], seconds=0.05)
    >>> comparison.target, comparison.success(comparison.of("sa")[0]).value
    (-1.0, 1.0)
    """
    for method in methods:
        if method not in ALL_METHODS:
            raise InputError(f"Argument `methods` must hold some of {', '.join(ALL_METHODS)}, but it holds {method!r}.")
    if not methods or len(set(methods)) != len(methods):
        raise InputError("Argument `methods` must name at least one method, and each once, but it does not.")
    if not 0 < seconds < float("inf"):
        raise InputError(f"Argument `seconds` must be positive and finite, but it is {seconds}.")
    spec = {"methods": list(methods), "seconds": seconds, "seed": seed, "problem": fingerprint(problem)}
    reference = _reference(problem)
    rungs = _found(out, spec)
    for method in methods:
        for rung in _ladder(problem, method, seconds, seed, [r for r in rungs if r.method == method]):
            rungs.append(rung)
            if out is not None:
                _keep(out, spec, rungs, None)
            report(rung)
    target, oracle = _target(problem, reference, min(rung.lowest for rung in rungs))
    ordered = tuple(r for method in methods for r in rungs if r.method == method)
    comparison = Comparison(problem, target, oracle, ordered)
    if out is not None:
        _keep(out, spec, rungs, comparison.summary())
    return comparison


def _keep(out: str | Path, spec: Mapping[str, Any], rungs: list[Rung], summary: Mapping[str, Any] | None) -> None:
    """Write what there is; the summary comes last."""
    write_json(Path(out) / _FILE, {"spec": spec, "rungs": [asdict(rung) for rung in rungs], "summary": summary})


def _ladder(problem: Problem, method: str, seconds: float, seed: int, done: list[Rung]) -> Iterator[Rung]:
    """The rungs of one method that are not done yet."""
    if not _room_for_another(done, seconds):
        return
    kind = "chain" if method in BASELINES else "network"
    options = {"replicas": _RUNS[kind], "seed": seed, "progress": False}
    if kind == "network":
        options["num_final_samples"] = 100
    startup = _started(problem, method, options)
    while _room_for_another(done, seconds):
        steps = _FIRST_STEPS[kind] * 2 ** len(done)
        try:
            result = solve(problem, method, num_steps=steps, **options)
            energies = tuple(float(energy) for energy in result.replica_best_energies)
            rung = Rung(method, steps, result.seconds["train"] + result.seconds["sample"], startup, energies)
        except DivergenceError:
            rung = _one_by_one(problem, method, steps, startup, options)
        done.append(rung)
        yield rung


def _started(problem: Problem, method: str, options: dict[str, Any]) -> float:
    """Seconds of a single step and all before it; what this compiles, JAX and Numba keep."""
    started = time.perf_counter()
    with contextlib.suppress(DivergenceError):
        solve(problem, method, num_steps=1, **options)
    return time.perf_counter() - started


def _one_by_one(problem: Problem, method: str, steps: int, startup: float, options: dict[str, Any]) -> Rung:
    """A rung whose runs do not train in one program, so that one that diverges takes no other with it."""
    alone = {**options, "replicas": 1}
    startup += _started(problem, method, alone)
    energies, seconds = [], 0.0
    for number in range(options["replicas"]):
        started = time.perf_counter()
        try:
            result = solve(problem, method, num_steps=steps, **{**alone, "seed": (options["seed"] + number) % _SEEDS})
            energies.append(float(result.replica_best_energies[0]))
            seconds += result.seconds["train"] + result.seconds["sample"]
        except DivergenceError:
            seconds += time.perf_counter() - started
    return Rung(method, steps, seconds, startup, tuple(energies), options["replicas"] - len(energies))


def _room_for_another(done: list[Rung], seconds: float) -> bool:
    """Whether a rung of twice the last one's time fits into the seconds, and not all runs of that one diverged; the
    first is always run."""
    if not done:
        return True
    return bool(done[-1].energies) and sum(rung.seconds for rung in done) + 2 * done[-1].seconds <= seconds


def _reference(problem: Problem) -> Reference | None:
    try:
        return exact(problem)
    except InputError:
        return None


def _target(problem: Problem, reference: Reference | None, lowest: float) -> tuple[float, str]:
    """The energy that counts as success, and how it is known."""
    if reference is None and math.isinf(lowest):
        raise DivergenceError("Every run of every method diverged: there is no energy to compare.")
    if reference is None:
        return lowest, "lowest energy met by any method, not certified"
    if lowest < reference.ground_energy - problem.resolution:
        return lowest, "lowest energy met by any method, below the stated ground energy"
    return reference.ground_energy, reference.oracle


def _found(out: str | Path | None, spec: dict[str, Any]) -> list[Rung]:
    """The rungs of a comparison that was broken off; makes the folder where there is none."""
    if out is None:
        return []
    path = Path(out) / _FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            return []
    except OSError as error:
        raise InputError(f"Argument `out` must be a folder that can be written, but: {one_line(error)}.") from None
    content = read_json(path)
    if content.get("spec") != spec:
        raise InputError(f"Argument `out` must be a folder without another comparison, but `{out}` holds one.")
    try:
        return [Rung(**{**rung, "energies": tuple(rung["energies"])}) for rung in content["rungs"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"File `{path}` must be one that `compare` wrote, but: {one_line(error)}.") from None


def _shown(interval: Interval) -> str:
    return f"{interval.value:.3g} [{interval.low:.2g}, {interval.high:.2g}]"


def _finite(interval: Interval) -> dict[str, float | None]:
    return {name: json_number(value) for name, value in interval._asdict().items()}
