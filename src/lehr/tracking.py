"""Tracking: do the networks still draw from the Boltzmann distribution, and do replicas agree? And what to do if not.

Two signs are decisive. Reweighting a network's samples to the Boltzmann distribution shows what it draws too rarely,
but never what it does not draw at all; that shows in the comparison of independent replicas. A single replica that has
collapsed onto one of several ground states looks as sound as one that found the only one.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float64, Int, Int8

from lehr.objective import effective_sample_size
from lehr.states import grouped

# Below this effective sample size a network counts as lost, if its free energy is off as well: where each spin is
# described well, the effective sample size still falls exponentially with their number, var(F_loc) / (N T^2) does not.
_SMALL_SHARE = 0.1
_LARGE_VARIANCE = 0.05
_MOST_STRETCHES = 40
# With fewer pairs of equal samples in all replicas together, the agreement is noise.
_LEAST_PAIRS = 200
_GOOD_AGREEMENT = 0.8
_MOST_PROPOSALS = 10_000


@dataclass(frozen=True, eq=False)
class Tracking:
    """How well the final samples of R replicas represent the Boltzmann distribution, and each other.

    `effective_sample_size` [R] is the share of the samples, from 1/M to 1, that reweighting to the Boltzmann
    distribution would leave, `(sum w)^2 / (M sum w^2)` with `w = exp(-E / T) / p`. `acceptance` [R] is the share of the
    samples that an independence Metropolis chain accepts which takes them as its proposals, one after the other. Both
    are NaN without a temperature. `entropy` [R] is the mean of -ln p, in nats, `num_distinct` [R] the number of
    different samples.

    `num_lowest` [R] is how many different states of the lowest sampled energy each replica drew (0 where it did not
    reach it), `num_lowest_together` how many all drew together; where `flip_symmetric`, states that differ by a flip of
    all spins count as one. `agreement` is the chance that samples of the lowest
    energy from two replicas are equal, relative to that within one replica: 1 where all weigh these states alike, 0
    where they share none, and a replica that did not reach that energy shares none. NaN for a single replica, or
    where there are more states than samples can tell apart.
    """

    effective_sample_size: Float64[np.ndarray, " r"]
    acceptance: Float64[np.ndarray, " r"]
    entropy: Float64[np.ndarray, " r"]
    num_distinct: Int[np.ndarray, " r"]
    num_lowest: Int[np.ndarray, " r"]
    num_lowest_together: int
    agreement: float
    flip_symmetric: bool


def track(
    energies: Float64[np.ndarray, "r m"],
    log_probs: Float64[np.ndarray, "r m"],
    samples: Int8[np.ndarray, "r m n"],
    temperature: float | None,
    resolution: float,
    *,
    flip_symmetric: bool = False,
) -> Tracking:
    """`Tracking` of ±1 samples with their energies (in the units of H) and ln p (in nats).

    Args: `temperature` at which they should be Boltzmann distributed, in the units of H, or None; energies that differ
        by at most `resolution` count as equal; `flip_symmetric` says that a flip of all spins keeps the energy.

    Source: L. Tierney, Ann. Stat. 22, 1701 (1994), for the independence chain.

    >>> samples = np.array([[[1, 1]] * 30, [[-1, -1]] * 30], np.int8)
    >>> found = track(np.full((2, 30), -1.0), np.zeros((2, 30)), samples, temperature=0.5, resolution=1e-9)
    >>> found.effective_sample_size.tolist(), found.num_lowest.tolist(), found.num_lowest_together, found.agreement
    ([1.0, 1.0], [1, 1], 2, 0.0)
    """
    unknown = np.full(len(energies), np.nan)
    share = acceptance = unknown
    if temperature is not None:
        with np.errstate(over="ignore", invalid="ignore"):  # at T = 0 only the lowest energy counts
            log_weights = _log_weights(energies, log_probs, temperature, resolution)
            share = np.asarray(effective_sample_size(log_weights))
        acceptance = np.array([_acceptance(row[:_MOST_PROPOSALS]) for row in log_weights])
    lowest = energies <= energies.min() + resolution
    states = samples[lowest]
    if flip_symmetric:
        states = states * states[:, :1]
    first, state, _ = grouped(states)
    replica = np.nonzero(lowest)[0]
    (drawer, drawn), counts = np.unique(np.stack([replica, state]), axis=1, return_counts=True)
    return Tracking(
        effective_sample_size=share,
        acceptance=acceptance,
        entropy=-log_probs.mean(axis=1),
        num_distinct=np.array([len(grouped(spins)[0]) for spins in samples]),
        num_lowest=np.bincount(drawer, minlength=len(samples)),
        num_lowest_together=len(first),
        agreement=_agreement(drawer, drawn, counts, len(samples)),
        flip_symmetric=flip_symmetric,
    )


def remarks(tracking: Tracking, history: xr.Dataset, num_spins: int) -> list[str]:
    """What a user should know, one line for each sign of trouble: what was seen, what it means, and the remedy.

    Args: `history` of the run, with dimensions (replica, step); columns that are missing are not judged.
    """
    return [*_lost_tracking(history, num_spins), *_disagreement(tracking)]


def unconfirmed(best_energies: Float64[np.ndarray, " r"], resolution: float) -> list[str]:
    """A line where one of several replicas alone met the lowest energy; nothing is said about a single replica."""
    lowest = best_energies.min()
    if len(best_energies) < 2 or (best_energies <= lowest + resolution).sum() > 1:
        return []
    return [
        f"Only 1 of {len(best_energies)} replicas met the best energy {lowest:.9g}: there may be lower ones; "
        "use more steps or more replicas."
    ]


def _log_weights(energies, log_probs, temperature: float, resolution: float) -> Float64[np.ndarray, "r m"]:
    excess = energies - energies.min(axis=1, keepdims=True)
    excess = np.where(excess <= resolution, 0, excess)
    return -excess / max(temperature, np.finfo(float).tiny) - log_probs


def _acceptance(log_weights: Float64[np.ndarray, " m"]) -> float:
    """Share of the proposals, all but the first state, that are accepted with probability min(1, w' / w)."""
    thresholds = np.log1p(-np.random.default_rng(0).random(len(log_weights)))
    current, *proposals = log_weights.tolist()
    accepted = 0
    for proposed, threshold in zip(proposals, thresholds.tolist(), strict=False):
        if proposed - current >= threshold:
            current = proposed
            accepted += 1
    return accepted / len(proposals) if proposals else np.nan


def _agreement(replica, state, counts: Int[np.ndarray, " k"], num_replicas: int) -> float:
    """Chance that samples of two replicas are equal, over that of two samples of one; from how often each replica drew
    each state. Both are unbiased, so that replicas agree that drew different samples of one distribution."""
    drawn = np.bincount(replica, counts, minlength=num_replicas)
    pairs = np.bincount(replica, counts * (counts - 1), minlength=num_replicas)
    several = drawn > 1
    if num_replicas < 2 or pairs.sum() < 2 * _LEAST_PAIRS:
        return np.nan
    within = (pairs[several] / (drawn * (drawn - 1))[several]).mean()
    frequency = counts / drawn[replica]
    between = (np.bincount(state, frequency) ** 2).sum() - (frequency**2).sum()
    return float(between / (num_replicas * (num_replicas - 1)) / within)


def _disagreement(tracking: Tracking) -> list[str]:
    found = tracking.num_lowest[tracking.num_lowest > 0]
    replicas, reached = len(tracking.num_lowest), len(found)
    if reached < 2:
        return []
    among = tracking.agreement * (replicas * (replicas - 1)) / (reached * (reached - 1))
    if not among < _GOOD_AGREEMENT:
        return []
    low, high = found.min(), found.max()
    each = f"{low}" if low == high else f"{low} to {high}"
    flips = " up to a flip of all spins" if tracking.flip_symmetric else ""
    return [
        f"Replicas end in different states of lowest energy (each drew {each} of the {tracking.num_lowest_together} "
        f"found{flips}): none is sure to cover them all; use more steps or samples, or optimiser='natural' where "
        "it is not used, and do not read degeneracies off this run."
    ]


def _lost_tracking(history: xr.Dataset, num_spins: int) -> list[str]:
    names = ("temperature", "effective_sample_size", "free_energy_variance")
    if not set(names) <= set(history) or not history.sizes["step"]:
        return []
    temperature, share, variance = (_typical(history[name].values) for name in names)
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = (share < _SMALL_SHARE) & (variance / temperature**2 / num_spins > _LARGE_VARIANCE)
    later = (temperature != temperature[:, :1]).cumsum(axis=1) > 0
    if later.any():
        lost &= later  # a warm-up is there to find the first distribution
    if not lost.any():
        return []
    worst = temperature[np.unravel_index(np.where(lost, share, np.inf).argmin(), share.shape)]
    hot, cold = temperature[lost].max(), temperature[lost].min()
    where = f"between T = {hot:.2g} and {cold:.2g}" if cold < hot else f"near T = {hot:.2g}"
    return [
        f"The effective sample size fell to {share[lost].min():.0%} near T = {worst:.2g} in {lost.any(axis=1).sum()} "
        f"of {len(lost)} replicas: the network lost the Boltzmann distribution there, and states may be missing; "
        f"use more steps {where}, or more samples."
    ]


def _typical(values: Float64[np.ndarray, "r steps"]) -> Float64[np.ndarray, "r stretches"]:
    """Medians over stretches of at least five steps, at most 40 of them: single steps are noisy."""
    stretches = np.array_split(values, min(_MOST_STRETCHES, max(1, values.shape[1] // 5)), axis=1)
    return np.stack([np.median(stretch, axis=1) for stretch in stretches], axis=1)
