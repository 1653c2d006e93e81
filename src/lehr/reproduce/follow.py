"""One anneal beside the exact answers: does it follow the free energy, and which ground states does it find?"""

import math
from typing import Any, NamedTuple

import numpy as np

from lehr.exact.choose import Reference, exact
from lehr.metrics import coverage
from lehr.problem.base import Problem
from lehr.result import Result
from lehr.solve import DivergenceError, solve

# Deviations are averaged over so many steps before their signs are dropped: those of single steps are noisy.
STEPS_TOGETHER = 10


class Ended(NamedTuple):
    """The final samples beside all ground states: the number of these, the share of the samples in them, how many of
    them are among the samples, the entropy of these samples in units of that of all ground states (NaN where there is
    one), and the share of the samples in the state of all spins down."""

    num_ground_states: float
    ground_share: float
    found: float
    entropy: float
    trivial_share: float


def ended(result: Result, reference: Reference) -> Ended:
    """Where a run ended; `reference` counts the ground states."""
    assert reference.num_ground_states is not None
    covered = coverage(
        result.samples, result.energies, reference.ground_energy, reference.num_ground_states,
        resolution=result.problem.resolution,
    )  # fmt: skip
    return Ended(
        num_ground_states=reference.num_ground_states,
        ground_share=covered.fraction,
        found=covered.found,
        entropy=math.nan if covered.relative_entropy is None else covered.relative_entropy,
        trivial_share=float((result.samples == -1).all(axis=-1).mean()),
    )


class Followed(NamedTuple):
    """One anneal beside the exact answers: the share of the final samples in ground states, how many of the ground
    states are among them, the entropy of these samples in units of that of all ground states (NaN where there is one),
    the share of the samples in the state of all spins down; after the warm-up, of (F - F_exact) / |F_exact|
    averaged over ten steps the mean and the largest size in percent, and the temperature of the largest; seconds of
    training, and whether training diverged."""

    num_ground_states: float
    ground_share: float
    found: float
    entropy: float
    trivial_share: float
    mean_excess: float
    worst_excess: float
    worst_temperature: float
    train_seconds: float
    diverged: float


def follow(problem: Problem, seed: int, **options: Any) -> Followed:
    """One network with one seed, and what became of it; one that diverged found nothing, and has no free energy.

    Arguments: a problem whose ground states and free energies `lehr.exact` knows; `options` as in `lehr.solve`.
    """
    reference = exact(problem)
    assert reference.num_ground_states is not None
    try:
        result = solve(problem, seed=seed, replicas=1, **options)
    except DivergenceError:
        return Followed(reference.num_ground_states, 0, 0, 0, 0, *[math.nan] * 4, diverged=1)
    # The warm-up is there to find the first distribution: only then is there something to follow.
    history = result.history.isel(replica=0, step=slice(result.spec["settings"]["num_warmup_steps"], None))
    temperature, free_energy = history["temperature"].values, history["free_energy"].values
    excess = _deviation(problem, temperature, free_energy)
    worst = int(excess.argmax())
    return Followed(
        **ended(result, reference)._asdict(),
        mean_excess=float(excess.mean()),
        worst_excess=float(excess[worst]),
        worst_temperature=float(_averaged(temperature)[worst]),
        train_seconds=result.seconds["train"],
        diverged=0,
    )


def _deviation(problem: Problem, temperature: np.ndarray, free_energy: np.ndarray) -> np.ndarray:
    """The relative deviation (F - F_exact) / |F_exact|, averaged over ten steps, without its sign, in percent."""
    different, place = np.unique(temperature, return_inverse=True)
    values = exact(problem, temperatures=different.tolist()).free_energies
    expected = np.array([values[at][0] for at in different.tolist()])[place]
    return np.abs(_averaged(100 * (free_energy - expected) / np.abs(expected)))


def _averaged(values: np.ndarray) -> np.ndarray:
    width = min(STEPS_TOGETHER, len(values))
    return np.convolve(values, np.ones(width) / width, "valid")
