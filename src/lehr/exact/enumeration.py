"""All 2^N states of a small problem of any order: ground states, free energy and density of states."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int8

from lehr._types import InputError
from lehr.exact.walsh import MOST_BITS, num_blocks, walsh_blocks
from lehr.problem._arguments import checked_count
from lehr.problem.base import Problem

# Energies that differ by less than this share of sum |c| are one level: they are rounding errors apart.
DEGENERATE = 1e-12
_MOST_LEVELS = 1 << 22

Temperatures = float | int | Sequence[float | int] | np.ndarray


class GroundStates(NamedTuple):
    """Ground states: their energy, how many there are, and `spins[K, N]` of K of them, each +1 or -1 (int8)."""

    energy: float
    number: int
    spins: Int8[np.ndarray, "states num_spins"]


def applies(problem: Problem) -> bool:
    """Whether a problem is small enough to enumerate: at most 26 spins, terms of any order.

    >>> applies(Problem.from_terms(26, {(0, 25): 1.0})), applies(Problem.from_terms(27, {(0, 25): 1.0}))
    (True, False)
    """
    return problem.num_spins <= MOST_BITS


def spins_of(index: Int[np.ndarray, "*batch"] | int, num_spins: int) -> Int8[np.ndarray, "*batch num_spins"]:
    """Spins of the state with a number: bit i of `index` is `x_i = (1 + s_i) / 2`, so state 0 has all spins down.

    >>> spins_of(6, 4).tolist()
    [-1, 1, 1, -1]
    """
    bits = np.asarray(index)[..., None] >> np.arange(num_spins) & 1
    return (2 * bits - 1).astype(np.int8)


def spectrum(problem: Problem) -> Float[np.ndarray, " states"]:
    """Energies of all 2^N states, offset included, in the order of `spins_of`.

    Args:
        problem: any problem of at most 26 spins; the answer takes 2^N * 8 bytes.

    Returns:
        float64 [2^N], in the units of the coefficients; correct to about `1e-15 sum |c|`.

    Raises:
        InputError: for more than 26 spins.

    >>> spectrum(Problem.from_terms(2, {(0, 1): -1.0, (1,): 0.25}, offset=2.0)).tolist()
    [0.75, 2.75, 3.25, 1.25]
    """
    return np.concatenate([block for _, block in _spectrum_blocks(problem)]) + float(problem.offset)


def ground_states(problem: Problem, most: int = 10_000) -> GroundStates:
    """Ground states of a small problem by enumeration.

    States within `1e-12 sum |c|` of the lowest one, the rounding of the enumeration, are ground states, too.

    Args:
        problem: any problem of at most 26 spins.
        most: at most so many states are returned, those with the lowest numbers (`spins_of`); all are counted.

    Returns:
        Their energy `problem.energy(state)` in float64, their number, and int8 spins [min(number, most), N].

    Raises:
        InputError: for more than 26 spins or `most` below 1.

    >>> ground_states(Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5}))
    GroundStates(energy=-1.5, number=2, spins=array([[ 1,  1, -1],
           [-1, -1,  1]], dtype=int8))
    """
    most = checked_count("most", most, 1)
    lowest = np.array([block.min() for _, block in _spectrum_blocks(problem)])
    threshold = lowest.min() + _tolerance(problem)
    number, found = 0, []
    for first, block in _spectrum_blocks(problem, np.flatnonzero(lowest <= threshold).tolist()):
        states = np.flatnonzero(block <= threshold)
        found.append(first + states[: max(most - number, 0)])
        number += len(states)
    spins = spins_of(np.concatenate(found), problem.num_spins)
    return GroundStates(float(np.min(problem.energy(spins))), number, spins)


def free_energy(problem: Problem, temperature: Temperatures) -> float | Float[np.ndarray, " temperatures"]:
    """Free energy `F = -T ln sum_s exp(-H(s) / T)` of a small problem by enumeration.

    Args:
        problem: any problem of at most 26 spins.
        temperature: T, positive, in units of the energy; or a sequence of them, which costs one enumeration.

    Returns:
        F of the whole system, offset included; a float, or float64 [temperatures] for a sequence.

    Raises:
        InputError: for more than 26 spins, or a temperature that is not positive and finite.

    >>> round(free_energy(Problem.from_terms(2, {(0, 1): -1.0}), 0.5), 6)  # -T ln(4 cosh(1 / T))
    -1.355649
    >>> free_energy(Problem.from_terms(2, {(0, 1): -1.0}), [1.0, 2.0]).round(6).tolist()
    [-1.820075, -3.012818]
    """
    temperatures = checked_temperatures(temperature)
    lowest, sums = [], []
    with np.errstate(over="ignore"):  # at tiny temperatures (E - min) / T is infinite, and its weight 0
        for _, block in _spectrum_blocks(problem):
            lowest.append(block.min())
            sums.append([np.exp((lowest[-1] - block) / t).sum() for t in temperatures])
        weights = np.exp((min(lowest) - np.array(lowest)[:, None]) / temperatures)
    logs = np.log((weights * np.array(sums)).sum(axis=0))
    return shaped_like(temperature, min(lowest) - temperatures * logs + float(problem.offset))


def density_of_states(problem: Problem) -> tuple[Float[np.ndarray, " levels"], Int[np.ndarray, " levels"]]:
    """Energy levels of a small problem and how many states each has, by enumeration.

    Levels closer than `1e-12 sum |c|`, the rounding of the enumeration, are one.

    Args:
        problem: any problem of at most 26 spins and about 4 million levels.

    Returns:
        The energies [K] in rising order, offset included, and the numbers of states [K]; these sum to 2^N.

    Raises:
        InputError: for more than 26 spins, or more than 2^22 levels.

    >>> density_of_states(Problem.from_terms(3, {(0, 1): -1.0, (1, 2): -1.0, (0, 2): -1.0}))
    (array([-3.,  1.]), array([2, 6]))
    """
    tolerance = _tolerance(problem)
    energies, counts, pending = np.zeros(0), np.zeros(0, np.int64), []
    blocks = num_blocks(problem.num_spins)
    for number, (_, block) in enumerate(_spectrum_blocks(problem), start=1):
        block = np.sort(block)
        starts = _starts(block, tolerance)
        pending.append((block[starts], np.diff(starts, append=len(block))))
        if number % 16 == 0 or number == blocks:  # merging costs as much as all levels found so far
            energies, counts = _merged([(energies, counts), *pending], tolerance)
            pending = []
        if len(energies) > _MOST_LEVELS:
            raise InputError(
                f"Argument `problem` must have at most {_MOST_LEVELS} energy levels, but {problem.name} has more."
            )
    return energies + float(problem.offset), counts


def checked_temperatures(temperature: Temperatures) -> Float[np.ndarray, " temperatures"]:
    """Positive, finite temperatures, one or several, as a list of numbers."""
    values = np.atleast_1d(np.asarray(temperature, dtype=np.float64))
    if values.ndim != 1 or not (np.isfinite(values) & (values > 0)).all():
        raise InputError(f"Argument `temperature` must be positive and finite, but it is {temperature!r}.")
    return values


def shaped_like(argument: Temperatures, values: Float[np.ndarray, " values"]) -> float | Float[np.ndarray, " values"]:
    """A float where the argument was one number, else the array."""
    return float(values[0]) if np.ndim(argument) == 0 else values


def signed_masks(problem: Problem) -> tuple[list[int], Float[np.ndarray, " m"]]:
    """All terms as bit masks of their spins (Python ints) and the coefficients, in the order of `problem.terms`.

    >>> signed_masks(Problem.from_terms(3, {(0, 2): -1.0, (1,): 0.5}))
    ([2, 5], array([ 0.5, -1. ]))
    """
    masks, values = [], [np.zeros(0)]
    for terms in problem.terms:
        coefficients = np.asarray(terms.coefficients, dtype=np.float64)
        if coefficients.ndim != 1:
            raise InputError("Argument `problem` must be one problem, but it is a stack of several.")
        values.append(coefficients)
        masks += [sum(1 << spin for spin in spins) for spins in np.asarray(terms.indices).tolist()]
    return masks, np.concatenate(values)


def _spectrum_blocks(
    problem: Problem, numbers: Sequence[int] | None = None
) -> Iterator[tuple[int, Float[np.ndarray, " block"]]]:
    """First state and energies, without the offset, of blocks of states in the order of `spins_of`."""
    if not applies(problem):
        raise InputError(
            f"Argument `problem` must have at most {MOST_BITS} spins to be enumerated, but it has {problem.num_spins}."
        )
    masks, values = signed_masks(problem)
    array = np.array(masks, dtype=np.int64)
    # s = -(-1)**x: a term of odd order has its sign reversed.
    signs = 1 - 2 * (np.bitwise_count(array) & 1).astype(np.float64)
    return walsh_blocks(problem.num_spins, array, signs * values, numbers)


def _tolerance(problem: Problem) -> float:
    return DEGENERATE * float(np.abs(signed_masks(problem)[1]).sum())


def _starts(energies: Float[np.ndarray, " a"], tolerance: float) -> Int[np.ndarray, " b"]:
    """Where a new level begins in a rising list of energies."""
    return np.flatnonzero(np.diff(energies, prepend=-np.inf) > tolerance)


def _merged(
    levels: list[tuple[Float[np.ndarray, " _"], Int[np.ndarray, " _"]]], tolerance: float
) -> tuple[Float[np.ndarray, " a"], Int[np.ndarray, " a"]]:
    """Levels in rising order, each with the lowest energy and the sum of the counts of those that are one."""
    energies, counts = np.concatenate([e for e, _ in levels]), np.concatenate([c for _, c in levels])
    order = np.argsort(energies)
    starts = _starts(energies[order], tolerance)
    return energies[order][starts], np.add.reduceat(counts[order], starts)
