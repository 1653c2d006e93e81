"""Metrics: how good the states of a run are, and how surely.

Energies are in the units of H and include the offset; times are in seconds; entropies in nats. Which energies count as
the ground energy, `is_ground` says.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy  # whose parts are loaded when they are first used
from jaxtyping import Bool, Float64, Int8
from numpy.typing import ArrayLike

from lehr._types import InputError
from lehr.states import checked_states, grouped

# Energies that differ by this share of the largest one at hand count as equal, as in `Problem.resolution`.
_SHARE = 1e-9
# Values resampled at once by `bootstrap`.
_RESAMPLED_AT_ONCE = 2**20
# Spins compared at once by `overlaps`.
_CHUNK_SPINS = 2**24


class Interval(NamedTuple):
    """An estimate with the two ends of its confidence interval."""

    value: float
    low: float
    high: float


class Coverage(NamedTuple):
    """Which ground states were sampled: `found` distinct ones, the `entropy` [nats] of their frequencies, their
    `fraction` of all samples, and the entropy relative to that of all ground states (None where unknown)."""

    found: int
    entropy: float
    fraction: float
    relative_entropy: float | None


def is_ground(energies: ArrayLike, ground_energy: float, resolution: float | None = None) -> Bool[np.ndarray, "..."]:
    """Which energies are the ground energy up to rounding.

    Args: `energies` of any shape; `resolution`: energies that differ by at most this much count as equal. By default it
        is 1e-9 of the largest size of the energies at hand; `Problem.resolution` knows the terms, which may be larger.
    Errors: `InputError` where an energy is below the ground energy, or numbers are missing or not finite.

    >>> is_ground([-4.0, -4.0 + 1e-12, -3.0], ground_energy=-4.0).tolist()
    [True, True, False]
    """
    values = _numbers("energies", energies)
    if not math.isfinite(ground_energy) or not (resolution is None or 0 <= resolution < math.inf):
        raise InputError(
            "Argument `ground_energy` must be finite, and `resolution` finite and not negative, "
            f"but they are {ground_energy} and {resolution}."
        )
    if resolution is None:
        resolution = _SHARE * max(abs(ground_energy), float(np.abs(values).max()))
    if values.min() < ground_energy - resolution:
        raise InputError(
            f"Argument `ground_energy` must be the lowest energy, but it is {ground_energy:.12g} "
            f"and an energy is {values.min():.12g}."
        )
    return values <= ground_energy + resolution


def residual_per_spin(energies: ArrayLike, ground_energy: float, num_spins: int) -> float:
    """Residual energy per spin, `(mean of energies - ground_energy) / num_spins`, in the units of H.

    Args: `energies` of samples, of any shape, all weighing the same; `ground_energy` of the whole system.
    Errors: `InputError` where an energy is below the ground energy, or numbers are missing or not finite.

    Source: paper A (the mean over samples; `typical` is that over instances).

    >>> residual_per_spin([-4.0, -3.0], ground_energy=-4.0, num_spins=10)
    0.05
    """
    if num_spins < 1:
        raise InputError(f"Argument `num_spins` must be at least 1, but it is {num_spins}.")
    values = _numbers("energies", energies)
    is_ground(values, ground_energy)
    return float((values - ground_energy).mean()) / num_spins


def typical(values: ArrayLike, *, floor: float = 0.0, confidence: float = 0.95) -> Interval:
    """Geometric mean over instances, `exp(mean ln v)`, with Student's interval of the logarithms.

    Args: `values` [K] of K instances, none negative, in any unit; `floor`: smaller values count as this much, say the
        resolution of the residual energy. The interval uses the jackknife error, which for a mean is `s / sqrt(K)`.
    Returns: an interval in the unit of the values. With a value of 0 (and no floor) the geometric mean is 0 and its
        error infinite: `Interval(0, 0, inf)`; of one instance the interval is `(0, inf)`, too.
    Errors: `InputError` where a value is negative, or numbers are missing or not finite.

    Source: paper A (residual energies over 25 instances).

    >>> round(typical([1.0, 100.0]).value, 9), typical([1.0, 0.0])
    (10.0, Interval(value=0.0, low=0.0, high=inf))
    >>> round(typical([1.0, 0.0], floor=0.01).value, 9)
    0.1
    """
    _check_share("confidence", confidence)
    numbers = _numbers("values", values).reshape(-1)
    if numbers.min() < 0 or not 0 <= floor < math.inf:
        raise InputError(
            f"Argument `values` must not be negative, nor must `floor`, but the least are {numbers.min()} and {floor}."
        )
    numbers = np.maximum(numbers, floor)
    if numbers.min() == 0:
        return Interval(0.0, 0.0, math.inf)
    with np.errstate(over="ignore"):  # an end beyond all numbers is infinite
        return Interval(*(float(np.exp(end)) for end in average(np.log(numbers), confidence=confidence)))


def average(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Mean over instances, with Student's interval; of one instance the interval is unbounded.

    Args: `values` [K] of K instances, in any unit.
    Errors: `InputError` where numbers are missing or not finite.

    >>> average([0.0, 2.0]).value, round(average([0.0, 2.0]).high, 3)
    (1.0, 13.706)
    """
    _check_share("confidence", confidence)
    numbers = _numbers("values", values).reshape(-1)
    middle = float(numbers.mean())
    if len(numbers) == 1:
        return Interval(middle, -math.inf, math.inf)
    error = float(numbers.std(ddof=1)) / math.sqrt(len(numbers)) * student(len(numbers) - 1, confidence)
    return Interval(middle, middle - error, middle + error)


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Probability of success of independent trials: `successes / trials` with Wilson's score interval.

    Errors: `InputError` where `trials` is below 1 or `successes` not between 0 and `trials`.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927).

    >>> tuple(round(x, 4) for x in wilson(8, 10))
    (0.8, 0.4902, 0.9433)
    """
    _check_share("confidence", confidence)
    if trials < 1 or not 0 <= successes <= trials:
        raise InputError(
            f"Argument `successes` must lie between 0 and `trials`, at least 1, but they are {successes} and {trials}."
        )
    share, square = successes / trials, float(scipy.special.ndtri((1 + confidence) / 2)) ** 2 / trials
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    # Without a success the low end is 0 to the last bit; with nothing else the high one is 1 up to rounding.
    return Interval(share, middle - half, 1.0 if successes == trials else middle + half)


def success_probability(
    best_energies: ArrayLike, ground_energy: float, *, confidence: float = 0.95, resolution: float | None = None
) -> Interval:
    """Probability that an independent run meets a ground state, with Wilson's interval.

    Args: `best_energies` [R], the lowest energy that each run has met (`Result.replica_best_energies`); `resolution` as
        in `is_ground`.
    Errors: `InputError` as `is_ground`.

    Source: `wilson`.

    >>> success_probability([-2.0, -1.5, -2.0, -2.0], ground_energy=-2.0).value
    0.75
    """
    reached = is_ground(best_energies, ground_energy, resolution)
    return wilson(int(reached.sum()), reached.size, confidence)


def time_to_solution(
    successes: int, trials: int, seconds_per_run: float, target: float = 0.99, confidence: float = 0.95
) -> Interval:
    """Seconds of repeated independent runs until one succeeds with the probability `target`.

    It is `seconds_per_run * max(1, ln(1 - target) / ln(1 - p))` with p = `successes / trials`: a run cannot be cut
    short, but the number of runs is not rounded up. The interval is that of the ends of Wilson's interval of p; the
    seconds of a run count as known. Without any success the value and its upper end are infinite.

    Errors: `InputError` where a share is not between 0 and 1, the seconds are not positive, or as `wilson`.

    Source: T. F. Rønnow et al., Science 345, 420 (2014), who round the number of runs up.

    >>> tuple(round(x, 3) for x in time_to_solution(50, 100, seconds_per_run=2.0))
    (13.288, 10.157, 17.807)
    >>> time_to_solution(100, 100, seconds_per_run=2.0).value, time_to_solution(0, 100, seconds_per_run=2.0).value
    (2.0, inf)
    """
    _check_share("target", target)
    if not 0 < seconds_per_run < math.inf:
        raise InputError(f"Argument `seconds_per_run` must be positive and finite, but it is {seconds_per_run}.")

    def seconds(probability: float) -> float:
        if probability == 0:
            return math.inf
        runs = 1.0 if probability == 1 else math.log1p(-target) / math.log1p(-probability)
        return seconds_per_run * max(1.0, runs)

    share, low, high = wilson(successes, trials, confidence)
    return Interval(seconds(share), seconds(high), seconds(low))


def coverage(
    spins: ArrayLike,
    energies: ArrayLike,
    ground_energy: float,
    num_ground_states: int | None = None,
    *,
    resolution: float | None = None,
) -> Coverage:
    """How many of the ground states the samples hold, and how evenly.

    Args: `spins` ±1 [M, N] or [R, M, N] with their `energies` [M] or [R, M]; `num_ground_states`, where it is known;
        `resolution` as in `is_ground`.
    Returns: `Coverage`. The entropy is that of the frequencies, `-sum f ln f`, and so at most the logarithm of the
        number of samples: draw many more samples than there are states before you call it small. The relative entropy
        is None where the number of ground states is unknown or 1.
    Errors: `InputError` for spins other than ±1, energies of another shape or below the ground energy, or more
        states found than there are.

    Source: Shannon's entropy; for the 2^k ground states of the Newman-Moore model the largest is k ln 2.

    >>> coverage(np.array([[1, 1], [1, 1], [-1, -1], [1, -1]]), [-1.0, -1.0, -1.0, 1.0], -1.0, num_ground_states=2)
    Coverage(found=2, entropy=0.6365141682948128, fraction=0.75, relative_entropy=0.9182958340544894)
    """
    numbers, states = _numbers("energies", energies), _states(spins)
    if states.shape[:-1] != numbers.shape:
        raise InputError(
            f"Argument `energies` must hold one energy of each state, but the shapes are {numbers.shape} "
            f"and {states.shape}."
        )
    ground = is_ground(numbers, ground_energy, resolution)
    counts = grouped(states[ground])[2] if ground.any() else np.zeros(0)
    if num_ground_states is not None and num_ground_states < max(1, len(counts)):
        raise InputError(
            f"Argument `num_ground_states` must be at least the {len(counts)} that were found, and 1, "
            f"but it is {num_ground_states}."
        )
    shares = counts / counts.sum()
    entropy = abs(float((shares * np.log(shares)).sum()))
    most = math.log(num_ground_states or 1)
    relative = entropy / most if most > 0 else None
    return Coverage(len(counts), entropy, float(ground.mean()), relative)


def overlaps(spins: ArrayLike, *, max_pairs: int = 100_000, seed: int = 0) -> Float64[np.ndarray, " pairs"]:
    """Overlaps `q = 1/N sum_i s_i s'_i` of pairs of samples.

    Args: `spins` ±1 [M, N], whose pairs are those of different samples; or [R, M, N] with R > 1, whose pairs are those
        of different replicas, as the spin-glass order parameter wants; `max_pairs`: where there are more, so many
        random ones are drawn, with replacement.
    Returns: q [pairs], from -1 to 1; every pair once, in order, where there are at most `max_pairs`.
    Errors: `InputError` for spins other than ±1, or fewer than two samples.

    Source: G. Parisi, Phys. Rev. Lett. 50, 1946 (1983).

    >>> overlaps(np.array([[1, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1]])).tolist()
    [0.5, -1.0, -0.5]
    """
    states = _states(spins)
    if states.ndim == 3 and len(states) == 1:
        states = states[0]
    num_sets, size = (len(states), 1 if states.ndim == 2 else states.shape[1]) if states.ndim > 1 else (1, 1)
    if num_sets < 2 or not states.size:
        raise InputError(f"Argument `spins` must hold at least two samples, but its shape is {np.shape(spins)}.")
    if max_pairs < 1:
        raise InputError(f"Argument `max_pairs` must be at least 1, but it is {max_pairs}.")
    states = states.reshape(-1, states.shape[-1])
    if num_sets * (num_sets - 1) // 2 * size**2 <= max_pairs:
        of_set = np.arange(len(states)) // size
        one, other = np.nonzero(of_set[:, None] < of_set)
    else:
        rng = np.random.default_rng(seed)
        first = rng.integers(num_sets, size=max_pairs)
        second = rng.integers(num_sets - 1, size=max_pairs)
        second += second >= first  # any set but the first
        one, other = (number * size + rng.integers(size, size=max_pairs) for number in (first, second))
    piece = max(1, _CHUNK_SPINS // states.shape[1])
    starts = range(0, len(one), piece)
    equal = [(states[one[k : k + piece]] == states[other[k : k + piece]]).sum(axis=1) for k in starts]
    return (2.0 * np.concatenate(equal) - states.shape[1]) / states.shape[1]


def bootstrap(
    values: ArrayLike,
    statistic: Callable[[np.ndarray], float] = np.mean,
    *,
    num_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A statistic with its percentile interval over resampled instances; the same for the same seed.

    Args: `values` [K, ...] of K independent instances; `statistic` takes such an array and returns a number.
    Returns: the statistic of the values; the interval is too narrow for few instances, by the factor
        `sqrt(1 - 1/K)` for a mean.
    Errors: `InputError` for fewer than two instances, or numbers that are not finite.

    Source: B. Efron, Ann. Stat. 7, 1 (1979).

    >>> bootstrap([1.0, 2.0, 3.0, 4.0], np.median, num_bootstrap=200)
    Interval(value=2.5, low=1.0, high=4.0)
    """
    _check_share("confidence", confidence)
    array = _numbers("values", values)
    if array.ndim < 1 or len(array) < 2:
        raise InputError(f"Argument `values` must hold at least two instances, but its shape is {array.shape}.")
    if num_bootstrap < 1:
        raise InputError(f"Argument `num_bootstrap` must be at least 1, but it is {num_bootstrap}.")
    rng = np.random.default_rng(seed)
    if statistic is np.mean and array.ndim == 1 and num_bootstrap * len(array) <= _RESAMPLED_AT_ONCE:
        resampled = array[rng.integers(len(array), size=(num_bootstrap, len(array)))].mean(axis=1)
    else:
        resampled = [float(statistic(array[rng.integers(len(array), size=len(array))])) for _ in range(num_bootstrap)]
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(statistic(array)), float(low), float(high))


def power_law(times: ArrayLike, residuals: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Exponent a of `typical residual = c * time^a`, negative where residuals decay, with Student's interval.

    Least squares of the logarithm of the geometric mean over instances against the logarithm of the time. There are
    two errors, and the wider counts: that of the mean over the K instances, each of which has a slope of its own (the
    residuals of one at different times belong together), with K - 1 degrees of freedom, and that of the S points about
    the line, with S - 2, which knows also where a decay bends. Both are wide where there are few of them.

    Args: `times` [S], positive, in any unit, at least three different ones; `residuals` [S, K] of K >= 2 instances,
        in any unit, positive.
    Errors: `InputError` for other shapes, too few times or instances, and numbers that are not positive: leave out
        the times from which on residuals are 0, or raise all to a floor.

    Source: paper A, fig. 3 and 4 (residual energy against the number of annealing steps).

    >>> steps = np.array([10.0, 100.0, 1000.0])
    >>> round(power_law(steps, steps[:, None] ** -0.5 * np.array([1.0, 3.0])).value, 12)
    -0.5
    """
    _check_share("confidence", confidence)
    t, values = _numbers("times", times), _numbers("residuals", residuals)
    if t.ndim != 1 or values.ndim != 2 or len(values) != len(t):
        raise InputError(
            f"Argument `residuals` must have shape [times, instances], but it has {values.shape} "
            f"and `times` has {t.shape}."
        )
    if t.min() <= 0 or len(np.unique(t)) < 3:
        raise InputError(f"Argument `times` must hold at least three positive times, but they are {t.tolist()}.")
    if values.min() <= 0:
        raise InputError(f"Argument `residuals` must be positive, but one is {values.min()}; leave it out or floor it.")
    if values.shape[1] < 2:
        raise InputError(f"Argument `residuals` must hold at least two instances, but its shape is {values.shape}.")
    log_t, logs = np.log(t) - np.log(t).mean(), np.log(values)
    # The slope is linear in the logarithms: that of their mean is the mean of the instances' slopes.
    slopes = log_t @ logs / (log_t @ log_t)
    slope, _, high = average(slopes, confidence=confidence)
    line = logs.mean(axis=1)
    off = line - line.mean() - slope * log_t
    of_points = math.sqrt(float(off @ off) / (len(t) - 2) / float(log_t @ log_t)) * student(len(t) - 2, confidence)
    half = max(high - slope, of_points)
    return Interval(slope, slope - half, slope + half)


def student(degrees: int, confidence: float = 0.95) -> float:
    """Standard errors in half of Student's interval.

    >>> round(student(7), 3)
    2.365
    """
    return float(scipy.special.stdtrit(degrees, (1 + confidence) / 2))


def _numbers(name: str, values: ArrayLike) -> Float64[np.ndarray, "..."]:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"Argument `{name}` must hold numbers in a regular shape, but it does not.") from None
    if not numbers.size or not np.isfinite(numbers).all():
        raise InputError(
            f"Argument `{name}` must hold finite numbers, but {'some are not' if numbers.size else 'it is empty'}."
        )
    return numbers


def _states(spins: ArrayLike) -> Int8[np.ndarray, "*runs n"]:
    array = np.asarray(spins)
    return checked_states("spins", array, array.shape[-1] if array.ndim else 0)


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f"Argument `{name}` must lie between 0 and 1, but it is {share}.")
