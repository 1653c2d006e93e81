"""Refining: local moves from the states that a run has found. What they gain is reported apart from the run itself."""

import time
from dataclasses import replace

import numpy as np
from jaxtyping import Int8

from lehr._types import InputError
from lehr.baseline.tables import Tables, tables_of
from lehr.engine import Work
from lehr.result import Result
from lehr.settings import default_range
from lehr.states import energies_of, grouped

# Sweeps of descent between two looks whether it has come to its end.
_DESCENT = 8


def refine(result: Result, *, num_sweeps: int = 100, num_states: int = 100, seed: int = 0) -> Result:
    """The result with the lowest state that greedy descent and a short Metropolis chain reach from its own states.

    From each replica's `num_states` lowest different samples, and from the best state of the run: single flips downhill
    to a local minimum, `num_sweeps` Metropolis sweeps at the temperature of the samples (at the cold end of Lehr's own
    schedules where they have none), and downhill again from the lowest state met.

    Returns a new result. Its samples, their energies and ln p, the history and the tracking are still those of the run;
    best state and energies are the refined ones, `unrefined_best_energy` tells what the run itself had found, and the
    work and the seconds are counted. Errors: `InputError` for numbers that are too small.

    >>> from lehr import Problem
    >>> problem = Problem.from_terms(4, {(0, 1): -1.0, (1, 2): -1.0, (2, 3): -1.0})
    >>> result = Result.assemble(problem, method="vca", seed=0, samples=np.array([[1, 1, -1, -1], [1, -1, 1, -1]]))
    >>> refined = refine(result, num_sweeps=10)
    >>> refined.unrefined_best_energy, refined.best_energy, refined.mean_energy
    (-1.0, -3.0, 1.0)
    """
    for name, value, least in (("num_sweeps", num_sweeps, 0), ("num_states", num_states, 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"Argument `{name}` must be an integer of at least {least}, but it is {value!r}.")
    started = time.perf_counter()
    problem, tables = result.problem, tables_of(result.problem)
    betas = np.full(num_sweeps, 1 / (result.temperature or default_range(problem)[1]))
    owner, states = _elite(result, num_states)
    states, taken = _refined(tables, states, betas, seed)
    energies = energies_of(problem, states, np.arange(len(states)))
    best = result.replica_best_energies.copy()
    np.minimum.at(best, owner, energies)
    lowest = energies.argmin()
    better = energies[lowest] < result.best_energy - problem.resolution
    unrefined = result.unrefined_best_energy
    spent = Work(0, *2 * (taken * states.size,))
    return replace(
        result,
        best_spins=states[lowest].copy() if better else result.best_spins,
        best_energy=float(energies[lowest]) if better else result.best_energy,
        replica_best_energies=best,
        unrefined_best_energy=result.best_energy if unrefined is None else unrefined,
        work=Work(*(old + new for old, new in zip(result.work, spent, strict=True))),
        seconds={**result.seconds, "refine": result.seconds.get("refine", 0.0) + time.perf_counter() - started},
    )


def _elite(result: Result, num_states: int) -> tuple[np.ndarray, Int8[np.ndarray, "k n"]]:
    """The lowest different samples of each replica and the best state of the run, with the replica that each is of."""
    owner, states = [np.array([result.replica_best_energies.argmin()])], [result.best_spins[None]]
    for number, (samples, energies) in enumerate(zip(result.samples, result.energies, strict=True)):
        first = grouped(samples)[0]
        lowest = first[np.argsort(energies[first], kind="stable")[:num_states]]
        owner.append(np.full(len(lowest), number))
        states.append(samples[lowest])
    return np.concatenate(owner), np.concatenate(states)


def _refined(tables: Tables, states: Int8[np.ndarray, "k n"], betas: np.ndarray, seed: int):
    """The lowest state that is met from each, and how many sweeps each has taken."""
    states, descent = _downhill(tables, states)
    states = _lowest_met(tables, states, betas, seed)
    states, again = _downhill(tables, states)
    return states, descent + len(betas) + again


def _downhill(tables: Tables, states: Int8[np.ndarray, "k n"]) -> tuple[Int8[np.ndarray, "k n"], int]:
    """Local minima: at T = 0 a flip is made where it lowers the energy."""
    taken = 0
    while True:
        lower = _lowest_met(tables, states, np.full(_DESCENT, np.inf), 0)
        taken += _DESCENT
        if (lower == states).all():
            return states, taken
        states = lower


def _lowest_met(tables: Tables, states: Int8[np.ndarray, "k n"], betas: np.ndarray, seed: int):
    """The lowest state on the way of a Metropolis chain from each state, itself included."""
    from lehr.baseline import kernels  # whose compiler takes a second to import

    spins = states[:, None].copy()
    costs, energies = np.empty(spins.shape), np.empty(spins.shape[:2])
    for k in range(len(spins)):
        energies[k] = kernels.prepare(tables, spins[k, 0], costs[k, 0])
    best, best_spins = energies.copy(), states.copy()
    kernels.anneal(tables, spins, costs, energies, best, best_spins, betas, np.zeros(len(betas)), seed, 0, 0)
    return best_spins
