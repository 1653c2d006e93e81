"""Loss landscapes without noise: how much of a sampled plane is noise, and is the loss convex along the anneal?

For the Newman-Moore model of 3x3 spins, where all 512 states can be summed: `python benchmarks/landscape.py` prints two
tables, in Markdown. `python benchmarks/landscape.py seconds` times the paper's grid of 200x200 points for 5x5 spins.
"""

import sys
import time

import numpy as np

import lehr
from lehr.landscape import MOMENTS, hessian_eigenvalues, path, plane, shape, snapshots

# Paper B's network with a tenth of its steps and ten times its learning rate, and Lehr's default.
NETWORKS = {
    "paper B, VCA": {"preset": "b-vca", "num_steps": 5100, "learning_rate": 1e-3},
    "paper B, VQA": {"preset": "b-vqa", "num_steps": 5100, "learning_rate": 1e-3},
    "Lehr, VCA": {"replicas": 1},
}
SEEDS = range(3)
GRID = 31


def row(cells) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def over(values: list[float], form: str) -> str:
    """Median, and the smallest and largest."""
    return f"{np.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def noise(taken) -> None:
    """Sampled planes beside exact ones."""
    row(["network", "moment", "directions", "noise variance / exact variance", "ruggedness sampled", "exact", "share"])
    row(["---"] * 7)
    for name in NETWORKS:
        for place, moment in enumerate(MOMENTS):
            for kind in ("gaussian", "norm"):
                shares, rough, smooth, squares = [], [], [], []
                for seed in SEEDS:
                    options = {"grid": GRID, "kind": kind, "seed": seed}
                    sampled = plane(taken[name, seed][place], num_samples=100, **options)
                    exact = plane(taken[name, seed][place], exact=True, **options)
                    difference = sampled["loss"] - exact["loss"]
                    shares.append(float(difference.var() / exact["loss"].var()))
                    found = [shape(one) for one in (sampled, exact)]
                    bends = [float(one["ruggedness"] * one["range"]) for one in found]
                    rough.append(float(found[0]["ruggedness"]))
                    smooth.append(float(found[1]["ruggedness"]))
                    squares.append(1 - (bends[1] / bends[0]) ** 2)
                cells = [over(shares, ".2g"), over(rough, ".3f"), over(smooth, ".3f"), over(squares, ".0%")]
                row([name, moment, kind, *cells])


def curvature(taken) -> None:
    """Eigenvalues of the Hessian, in units of J, and the share of the way that lies in a plane."""
    row(["network", "moment", "largest", "smallest", "smallest / largest", "norm of the gradient"])
    row(["---"] * 6)
    for name in NETWORKS:
        for place, moment in enumerate(MOMENTS):
            found = [hessian_eigenvalues(taken[name, seed][place], number=2) for seed in SEEDS]
            largest, smallest = [one.largest[-1] for one in found], [one.smallest[0] for one in found]
            ratios = [low / high for low, high in zip(smallest, largest, strict=True)]
            norms = [one.gradient_norm for one in found]
            row([name, moment, *(over(values, ".2g") for values in (largest, smallest, ratios, norms))])
    for name, options in NETWORKS.items():
        moments = np.linspace(0, taken[name, 0][-1].step, 21).astype(int).tolist()
        way = snapshots(lehr.newman_moore(3), moments, seed=0, **options)
        explained = path(way, grid=3)["explained"].values
        print(f"\n{name}: {explained.sum():.0%} of the squared distances from the end lie in a plane")


def seconds() -> None:
    """Of a plane of 200x200 points with 100 samples each."""
    (end,) = snapshots(lehr.newman_moore(5), ["end"], preset="b-vca", num_steps=20, dtype="float32")
    plane(end, grid=3)
    started = time.perf_counter()
    plane(end, grid=200)
    print(f"{time.perf_counter() - started:.0f} seconds")


if __name__ == "__main__":
    if sys.argv[1:] == ["seconds"]:
        seconds()
    else:
        nets = {
            (name, seed): snapshots(lehr.newman_moore(3), MOMENTS, seed=seed, **options)
            for name, options in NETWORKS.items()
            for seed in SEEDS
        }
        curvature(nets)
        print()
        noise(nets)
