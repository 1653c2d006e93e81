"""Does neural annealing follow the exact free energy of the Newman-Moore model, and does it find all ground states?

`python benchmarks/newman_moore.py [--seeds 10] [--variant NAME ...] SIZE [SIZE ...]` solves L x L lattices with Lehr's
defaults, one network for each seed 0, 1, ..., and prints a table: over the seeds the smallest share of final samples in
ground states, how many of the ground states are among them, the entropy of these samples in units of that of all ground
states (not corrected for the number of samples), the mean and the worst excess of the free energy over the exact one of
that lattice along the anneal in percent (means over ten steps), and seconds of training.

The variants leave one ingredient out. The ground states of this model solve linear equations over GF(2): what a network
hears as constraints is that elimination, so that `untrained`, the start of a network at the final temperature, must be
read beside every other line.
"""

import argparse
from typing import Any, NamedTuple

import numpy as np

import lehr
from lehr.exact.choose import Reference
from lehr.metrics import coverage

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "untrained": {"num_steps": 1, "cold": True},
    "pairs only": {"ansatz_options": {"hears": "pairs"}},
    "terms only": {"ansatz_options": {"hears": "terms"}},
    "deaf": {"ansatz_options": {"informed": False}},
    "adam": {"optimiser": "adam", "num_steps": 1000},
    "adam, terms": {"optimiser": "adam", "num_steps": 1000, "ansatz_options": {"hears": "terms"}},
    "adam, deaf": {"optimiser": "adam", "num_steps": 1000, "ansatz_options": {"informed": False}},
    "linear ramp": {"ramp": "linear"},
    "raster": {"ansatz_options": {"order": "raster"}},
}


class Row(NamedTuple):
    """One seed of one variant."""

    ground_share: float
    num_states: int
    entropy: float
    mean_excess: float
    worst_excess: float
    seconds: float


def measure(problem: lehr.Problem, reference: Reference, seed: int, *, cold: bool = False, **options: Any) -> Row:
    """Solve with one seed, and compare with the exact answers."""
    if cold:
        stop = lehr.solve(problem, seed=0, num_steps=1, num_final_samples=1).temperature
        options = {**options, "temperature": (stop, stop)}
    result = lehr.solve(problem, seed=seed, replicas=1, num_final_samples=5000, **options)
    covered = coverage(
        result.samples, result.energies, reference.ground_energy, reference.num_ground_states,
        resolution=problem.resolution,
    )  # fmt: skip
    temperature, free_energy = (result.history[name].values[0] for name in ("temperature", "free_energy"))
    exact = _free_energies(problem, temperature)
    excess = 100 * (free_energy - exact) / np.abs(exact)
    smooth = np.convolve(excess, np.ones(10) / 10, "valid") if len(excess) >= 10 else excess
    return Row(
        ground_share=covered.fraction,
        num_states=covered.found,
        entropy=1.0 if covered.relative_entropy is None else covered.relative_entropy,
        mean_excess=float(smooth.mean()),
        worst_excess=float(smooth.max()),
        seconds=result.seconds["train"],
    )


def _free_energies(problem: lehr.Problem, temperatures: np.ndarray) -> np.ndarray:
    wanted = [float(temperature) for temperature in np.unique(temperatures)]
    values = lehr.exact(problem, temperatures=wanted).free_energies
    return np.array([values[float(temperature)][0] for temperature in temperatures])


def main() -> None:
    """Measure the sizes and variants of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--variant", nargs="+", default=["default"], choices=list(VARIANTS))
    arguments = parser.parse_args()
    print(" L  variant      seeds  ground share  states found   entropy  mean dF %  worst dF %  seconds (largest)")
    for size in arguments.sizes:
        problem = lehr.newman_moore(size)
        reference = lehr.exact(problem)
        for variant in arguments.variant:
            rows = [measure(problem, reference, seed, **VARIANTS[variant]) for seed in range(arguments.seeds)]
            share, states, entropy, mean, worst, seconds = (np.array(column) for column in zip(*rows, strict=True))
            print(
                f"{size:2d}  {variant:<12} {len(rows):5d}  {share.min():.3f} {np.median(share):.3f}   "
                f"{states.min():4d} of {reference.num_ground_states:<5d} {entropy.min():.3f}   "
                f"{mean.max():6.2f}     {worst.max():6.2f}      {np.median(seconds):.1f} ({seconds.max():.1f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
