"""Terms as parity constraints: exact answers of unfrustrated problems, and of those with few independent cycles.

Term m is satisfied where `prod s = -sign(c_m)`. With `s = (-1)**d` this is a linear equation for the bits d over
GF(2). Sets of terms in which every spin occurs an even number of times, the *cycles* (loops of a graph, for pairwise
terms), are the left kernel of these equations: they alone can frustrate, and they alone enter the free energy.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int8, UInt8

from lehr._types import InputError
from lehr.exact.enumeration import GroundStates, Temperatures, checked_temperatures, shaped_like, signed_masks
from lehr.exact.walsh import MOST_BITS, walsh_blocks
from lehr.gf2 import Echelon, combined, eliminate, solutions, unpacked
from lehr.problem._arguments import checked_count, checked_seed
from lehr.problem.base import Problem

MOST_SPINS = 8192
MOST_TERMS = 32_768  # with which elimination takes a minute at worst
_MOST_TABLE = 1 << 26  # numbers in the sampler's tables, half a gigabyte
_LOG_OF_NOTHING = -100.0  # tanh products below exp(-100) change no digit


class Cycles(NamedTuple):
    """The left kernel: bit j of `patterns[m]` tells whether term m is in basis cycle j, bit j of `frustrated` whether
    that cycle is frustrated; `magnitudes` are the `|c_m| > 0`, and `number` is the dimension of the kernel."""

    magnitudes: Float[np.ndarray, " m"]
    patterns: Int[np.ndarray, " m"]
    frustrated: int
    number: int


def applies(problem: Problem) -> bool:
    """Whether all terms can be satisfied at once (and there are at most 8192 spins and 32 768 terms).

    >>> applies(Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 1.0})), applies(Problem.from_terms(1, {(0,): 2.0}))
    (True, True)
    >>> applies(Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 1.0, (0, 2): 1.0}))  # a frustrated triangle
    False
    """
    return _fits(problem) and not any(_satisfied(problem).residues)


def ground_states(problem: Problem, most: int = 10_000, seed: int = 0) -> GroundStates:
    """Ground states of an unfrustrated problem of any order: all terms satisfied, `2**(N - rank)` states.

    Args:
        problem: at most 8192 spins and 32 768 terms, which can all be satisfied at once (`applies`).
        most: at most so many states are returned.
        seed: where there are more states than `most`, this seed draws that many of them, uniformly and without
            repetition (with more than 2^62 states, independently).

    Returns:
        The energy `offset - sum |c|`, the number of ground states, and int8 spins [min(number, most), N].

    Raises:
        InputError: where not all terms can be satisfied, or the problem is too large.

    Source: Gaussian elimination over GF(2); for Newman-Moore, Phys. Rev. E 60, 5068 (1999).

    >>> ground_states(Problem.from_terms(3, {(0, 1, 2): 1.0, (1,): -0.5}))
    GroundStates(energy=-1.5, number=2, spins=array([[ 1,  1, -1],
           [-1,  1,  1]], dtype=int8))
    """
    most, generator = checked_count("most", most, 1), np.random.default_rng(checked_seed(seed))
    echelon = _satisfied(problem)
    if any(echelon.residues):
        raise InputError(
            f"Argument `problem` must have terms that can all be satisfied at once, but {problem.name} is frustrated."
        )
    freedom = problem.num_spins - echelon.rank
    if freedom <= 62:
        states = np.arange(1 << freedom) if 1 << freedom <= most else generator.choice(1 << freedom, most, False)
        free = (states[:, None] >> np.arange(freedom) & 1).astype(np.uint8)
    else:
        free = generator.integers(0, 2, (most, freedom), dtype=np.uint8)
    inputs = np.concatenate([np.ones((len(free), 1), np.uint8), free], axis=1)
    spins = _spins(inputs, solutions(echelon, problem.num_spins))
    return GroundStates(float(problem.energy(spins[0])), 1 << freedom, spins)


def has_few_cycles(problem: Problem) -> bool:
    """Whether `free_energy` and `density_of_states` apply: at most 26 independent cycles and 8192 spins.

    >>> has_few_cycles(Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 1.0, (0, 2): 1.0}))
    True
    """
    if not _fits(problem) or _num_terms(problem) - problem.num_spins > MOST_BITS:
        return False
    masks, _ = _equations(problem)
    return len(masks) - eliminate(masks, [0] * len(masks), 0).rank <= MOST_BITS


def free_energy(problem: Problem, temperature: Temperatures) -> float | Float[np.ndarray, " temperatures"]:
    """Free energy `F = -T ln Z` of a problem with few independent cycles, at any number of spins.

    `Z = 2^N prod_m cosh(c_m / T) sum_S prod_{m in S} (-tanh(c_m / T))` over all sets S of terms in which every spin
    occurs an even number of times. Frustration makes terms of both signs, which cancel at low temperature; where all
    |c_m| are equal the density of states is summed instead, which has no such limit.

    Args:
        problem: at most 26 independent cycles and 8192 spins (`has_few_cycles`).
        temperature: T, positive, in units of the energy; or a sequence of them.

    Returns:
        F of the whole system, offset included; a float, or float64 [temperatures] for a sequence.

    Raises:
        InputError: where there are too many cycles, or a temperature is not positive and finite, or so low that
            cancellation would cost more than ten digits.

    Source: the high-temperature expansion of Ising models (van der Waerden, Z. Phys. 118, 473 (1941)), for terms of
    any order.

    >>> ring = Problem.from_terms(3, {(0, 1): -1.0, (1, 2): -1.0, (0, 2): -1.0})
    >>> round(free_energy(ring, 2.0), 9), round(-2 * math.log(2 * math.exp(1.5) + 6 * math.exp(-0.5)), 9)
    (-5.067800269, -5.067800269)
    """
    temperatures, cycles = checked_temperatures(temperature), _cycles(problem)
    magnitudes = cycles.magnitudes
    free_terms = math.log(2) * (problem.num_spins - len(magnitudes))
    with np.errstate(over="ignore"):  # at tiny temperatures |c| / T is infinite, and its weight 0
        if cycles.frustrated and np.ptp(magnitudes) == 0:
            energies, counts = density_of_states(problem)
            logs = np.array([math.log(count) for count in counts])
            weights = [np.exp(-(energies - energies[0]) / t + logs - logs[0]).sum() for t in temperatures]
            return shaped_like(temperature, energies[0] - temperatures * (logs[0] + np.log(weights)))
        sums = np.array([_sum_over_cycles(cycles, t) for t in temperatures])
        broken = np.array([np.log1p(np.exp(-2 * magnitudes / t)).sum() for t in temperatures])
    ground = float(problem.offset) - magnitudes.sum()
    return shaped_like(temperature, ground - temperatures * (free_terms + broken + np.log(sums)))


def weight_counts(problem: Problem) -> dict[int, int]:
    """Number of sets of terms in which every spin occurs an even number of times, by their size.

    A set with an odd number of positive coefficients is frustrated and counts -1: for an unfrustrated problem this is
    the weight enumerator of the left kernel.

    Raises:
        InputError: for more than 26 independent cycles.

    >>> weight_counts(Problem.from_terms(3, {(0, 1): -1.0, (1, 2): -1.0, (0, 2): 1.0}))
    {0: 1, 3: -1}
    """
    cycles = _cycles(problem)
    size = len(cycles.magnitudes)
    totals = np.zeros(size + 1)
    blocks = zip(_transform(cycles, np.ones(size)), _signs(cycles), strict=True)
    for doubled, signs in blocks:
        # The transform counts the terms outside a set minus those in it.
        totals += np.bincount(((size - doubled) / 2).round().astype(np.int64), weights=signs, minlength=size + 1)
    return {int(weight): int(totals[weight]) for weight in np.flatnonzero(totals)}


def density_of_states(problem: Problem) -> tuple[Float[np.ndarray, " levels"], tuple[int, ...]]:
    """Energy levels and their numbers of states, as exact whole numbers, where all |c_m| are equal.

    With n terms unsatisfied the energy is `offset - |c| (M - 2 n)`, and `sum_n g(n) z^n = 2^(N - M) sum_S chi(S)
    (1 + z)^(M - |S|) (1 - z)^|S|` over the sets S of `weight_counts`, with their signs chi.

    Args:
        problem: all coefficients of the same magnitude, at most 26 independent cycles (`has_few_cycles`).

    Returns:
        The energies [K] in rising order, and the number of states of each, which sum to 2^N.

    Raises:
        InputError: where there are too many cycles, or magnitudes differ.

    Source: the identity of MacWilliams, Bell Syst. Tech. J. 42, 79 (1963).

    >>> density_of_states(Problem.from_terms(3, {(0, 1): -1.0, (1, 2): -1.0, (0, 2): -1.0}))
    (array([-3.,  1.]), (2, 6))
    """
    magnitudes = signed_masks(problem)[1]
    magnitudes = np.abs(magnitudes[magnitudes != 0])
    if magnitudes.size and np.ptp(magnitudes) > 0:
        raise InputError(f"Argument `problem` must have terms of one magnitude, but those of {problem.name} differ.")
    size = len(magnitudes)
    totals = [0] * (size + 1)
    for weight, count in weight_counts(problem).items():
        for n, coefficient in enumerate(_binomials(size, weight)):
            totals[n] += count * coefficient
    levels = [n for n in range(size + 1) if totals[n]]
    unit = float(magnitudes[0]) if size else 0.0
    energies = float(problem.offset) + unit * (2 * np.array(levels, dtype=np.float64) - size)
    return energies, tuple((totals[n] << problem.num_spins) >> size for n in levels)


def boltzmann_samples(
    problem: Problem, temperature: float | int, num_samples: int, seed: int
) -> Int8[np.ndarray, "num_samples num_spins"]:
    """Independent, exact samples of the Boltzmann distribution of a problem with few independent cycles.

    Unsatisfied terms are drawn one after the other, each with its probability given that every cycle must end up
    with the right parity, and the equations are solved for the spins, whose free ones are drawn at random.

    Args:
        problem: at most 8192 spins, and C cycles of M terms with `M * 2^C` at most 2^26.
        temperature: T, positive, in units of the energy.
        num_samples: how many.
        seed: seed of the random numbers.

    Returns:
        int8 spins [num_samples, N].

    Raises:
        InputError: where there are too many cycles, or an argument is out of range.

    Source: for Newman-Moore without cycles, independent defects (Newman and Moore, Phys. Rev. E 60, 5068 (1999)).

    >>> boltzmann_samples(Problem.from_terms(2, {(0, 1): -1.0, (0,): -9.0}), 0.1, 2, seed=0).tolist()
    [[1, 1], [1, 1]]
    """
    num_samples = checked_count("num_samples", num_samples, 1)
    generator = np.random.default_rng(checked_seed(seed))
    cycles = _cycles(problem)
    with np.errstate(over="ignore"):  # no odds are -inf: where a term must be unsatisfied the odds do not matter
        log_odds = np.maximum(-2 * cycles.magnitudes / checked_temperatures(temperature)[0], -1e290)
    defects = _defects(cycles, log_odds, num_samples, generator)
    masks, wanted = _equations(problem)
    echelon = eliminate(masks, [1 << m for m in range(len(masks))], len(masks))
    free = generator.integers(0, 2, (num_samples, problem.num_spins - echelon.rank), dtype=np.uint8)
    inputs = np.concatenate([defects ^ np.array(wanted, np.uint8), free], axis=1)
    return _spins(inputs, solutions(echelon, problem.num_spins))


def _num_terms(problem: Problem) -> int:
    return sum(int(np.count_nonzero(terms.coefficients)) for terms in problem.terms)


def _fits(problem: Problem) -> bool:
    return problem.num_spins <= MOST_SPINS and _num_terms(problem) <= MOST_TERMS


def _equations(problem: Problem) -> tuple[list[int], list[int]]:
    """Masks of the spins of all terms that are not 0, and the parity of the down spins that satisfies each."""
    if not _fits(problem):
        raise InputError(
            f"Argument `problem` must have at most {MOST_SPINS} spins and {MOST_TERMS} terms to be solved over GF(2), "
            f"but it has {problem.num_spins} and {_num_terms(problem)}."
        )
    masks, values = signed_masks(problem)
    pairs = [(mask, int(value > 0)) for mask, value in zip(masks, values.tolist(), strict=True) if value]
    return [mask for mask, _ in pairs], [wanted for _, wanted in pairs]


def _satisfied(problem: Problem) -> Echelon:
    """The equations that all terms are satisfied, up to the first contradiction."""
    return eliminate(*_equations(problem), 1, strict=True)


def _spins(inputs: UInt8[np.ndarray, "states inputs"], solution: list[int]) -> Int8[np.ndarray, "states num_spins"]:
    """Spins whose down bits are the sums of input bits that `solution` tells."""
    return 1 - 2 * combined(inputs, unpacked(solution, inputs.shape[1])).astype(np.int8)


def _cycles(problem: Problem) -> Cycles:
    """A basis of the left kernel; `InputError` where it is too large to be enumerated."""
    excess = _num_terms(problem) - problem.num_spins
    if excess <= MOST_BITS:
        masks, wanted = _equations(problem)
        basis = eliminate(masks, [1 << m for m in range(len(masks))], len(masks)).residues
        excess = len(basis)
    if excess > MOST_BITS:
        raise InputError(
            f"Argument `problem` must have at most {MOST_BITS} independent cycles of terms, "
            f"but {problem.name} has at least {excess}."
        )
    positive = sum(bit << m for m, bit in enumerate(wanted))
    frustrated = sum(((cycle & positive).bit_count() & 1) << j for j, cycle in enumerate(basis))
    patterns = (unpacked(basis, len(masks)).astype(np.int64) << np.arange(len(basis))[:, None]).sum(axis=0)
    magnitudes = np.abs(signed_masks(problem)[1])
    return Cycles(magnitudes[magnitudes > 0], patterns, frustrated, len(basis))


def _transform(cycles: Cycles, values: Float[np.ndarray, " m"]) -> Iterator[Float[np.ndarray, " block"]]:
    """`sum_m values[m] (1 if term m is not in S else -1)` for all sets S of the left kernel, in blocks."""
    return (block for _, block in walsh_blocks(cycles.number, cycles.patterns, values))


def _signs(cycles: Cycles) -> Iterator[Float[np.ndarray, " block"]]:
    """-1 for the frustrated sets of the left kernel, +1 for the others, in blocks."""
    return (block for _, block in walsh_blocks(cycles.number, np.array([cycles.frustrated]), np.ones(1)))


def _sum_over_cycles(cycles: Cycles, temperature: float) -> float:
    """`sum_S prod_{m in S} (-tanh(c_m / T))` over the left kernel."""
    x = 2 * cycles.magnitudes / temperature
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(-np.expm1(-x)) - np.log1p(np.exp(-x)), _LOG_OF_NOTHING)  # ln tanh
    total = size = 0.0
    for block, signs in zip(_transform(cycles, logs), _signs(cycles), strict=True):
        products = np.exp((logs.sum() - block) / 2)
        total, size = total + float(products @ signs), size + float(products.sum())
    error = 1e-15 * (1 + float(np.linalg.norm(logs))) * size  # of the transform, whose rounding errors are independent
    if cycles.frustrated and total < 1e10 * error:
        raise InputError(
            f"Argument `temperature` must be higher for this frustrated problem, whose terms cancel, "
            f"but it is {temperature:g}."
        )
    return total


def _binomials(size: int, weight: int) -> Iterator[int]:
    """Coefficients of `(1 + z)^(size - weight) (1 - z)^weight`, whole numbers, by the recursion of Krawtchouk's
    polynomials."""
    before, current = 0, 1
    for n in range(size + 1):
        yield current
        before, current = current, ((size - 2 * weight) * current - (size - n + 1) * before) // (n + 1)


def _defects(
    cycles: Cycles, log_odds: Float[np.ndarray, " m"], num_samples: int, generator: np.random.Generator
) -> UInt8[np.ndarray, "num_samples m"]:
    """Unsatisfied terms, drawn with these odds given that they make every cycle as frustrated as it is."""
    size, states = len(log_odds), np.arange(1 << cycles.number)
    if (size + 1) * len(states) > _MOST_TABLE:
        raise InputError(
            f"Argument `problem` must have fewer cycles to be sampled exactly, "
            f"but it has {cycles.number} of {size} terms."
        )
    # weight[m, r]: logarithm of the weight of all choices for terms m and later that make the parities r.
    weight = np.full((size + 1, len(states)), -np.inf)
    weight[size, 0] = 0.0
    for m in range(size - 1, -1, -1):
        weight[m] = np.logaddexp(weight[m + 1], log_odds[m] + weight[m + 1, states ^ cycles.patterns[m]])
    parity = np.full(num_samples, cycles.frustrated)
    defects = np.zeros((num_samples, size), np.uint8)
    for m in range(size):
        chance = np.exp(log_odds[m] + weight[m + 1, parity ^ cycles.patterns[m]] - weight[m, parity])
        defects[:, m] = generator.random(num_samples) < chance
        parity ^= defects[:, m] * cycles.patterns[m]
    return defects
