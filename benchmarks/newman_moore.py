"""Does an anneal follow the exact free energy of the Newman-Moore model, and find all ground states, at any size?

`python benchmarks/newman_moore.py [--seeds 10] [--variant NAME ...] SIZE [SIZE ...]` solves L x L lattices with Lehr's
defaults, one network for each seed 0, 1, ..., and prints a table: over the seeds the smallest share of final samples in
ground states, how many of the ground states are among them, the entropy of these samples in units of that of all ground
states (not corrected for the number of samples; NaN where there is one), the mean and the worst |dF| in percent
(`lehr.reproduce.follow`), and seconds of training. `lehr reproduce b-collapse` counts the variants at L = 6.
"""

import argparse

import numpy as np

import lehr
from lehr.reproduce.collapse import DEFAULT, VARIANTS, changes_of
from lehr.reproduce.follow import Followed, follow


def main() -> None:
    """Measure the sizes and variants of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--variant", nargs="+", default=[DEFAULT], choices=list(VARIANTS))
    arguments = parser.parse_args()
    print(
        " L  variant              seeds  ground share  states found   entropy  mean dF %  worst dF %  seconds (largest)"
    )
    for size in arguments.sizes:
        problem = lehr.newman_moore(size)
        for variant in arguments.variant:
            rows = [
                follow(problem, seed, num_final_samples=5000, **changes_of(variant, size))
                for seed in range(arguments.seeds)
            ]
            of = {name: np.array([getattr(row, name) for row in rows]) for name in Followed._fields}
            share, seconds = of["ground_share"], of["train_seconds"]
            print(
                f"{size:2d}  {variant:<20} {len(rows):5d}  {share.min():.3f} {np.median(share):.3f}   "
                f"{of['found'].min():4.0f} of {rows[0].num_ground_states:<5} {of['entropy'].min():.3f}   "
                f"{of['mean_excess'].max():6.2f}     {of['worst_excess'].max():6.2f}      "
                f"{np.median(seconds):.1f} ({seconds.max():.1f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
