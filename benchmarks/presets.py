"""What the papers' own settings cost and find on one instance each.

`python benchmarks/presets.py [PRESET ...]` runs each preset in full, on one published or planted instance, and prints
one line. Some take many minutes.
"""

import json
import sys
from pathlib import Path

import lehr

ORACLES = json.loads((Path(__file__).parent.parent / "tests/data/oracles.json").read_text())


def _chain() -> tuple[lehr.Problem, float]:
    problem = lehr.random_chain(32, seed=1)
    return problem, float(problem.ground_energy)


def _lattice(side: int) -> tuple[lehr.Problem, float]:
    return lehr.edwards_anderson(side, seed=1), ORACLES["EA"][str(side)]["1"] * side**2


def _wishart() -> tuple[lehr.Problem, float]:
    problem = lehr.wishart(32, 0.5, seed=1)
    return problem, float(problem.ground_energy)


INSTANCES = {
    "a-wishart-vca": _wishart,
    "a-chain-vca": _chain,
    "a-ea10-vca": lambda: _lattice(10),
    "b-vca": lambda: (lehr.newman_moore(5), -12.5),
    "a-sk-vca": lambda: (lehr.sherrington_kirkpatrick(100, seed=1), ORACLES["SK"]["1"] * 100),
    "b-vqa": lambda: (lehr.newman_moore(3), -4.5),
    "a-chain-vqa": _chain,
    "a-ea10-vqa": lambda: _lattice(10),
    "a-ea10-rvqa": lambda: _lattice(10),
    "a-ea10-cqo": lambda: _lattice(10),
    "a-ea40-vca": lambda: _lattice(40),
}


def main(names: list[str]) -> None:
    """Run the presets and print what they found and what it took."""
    for name in names:
        problem, ground = INSTANCES[name]()
        result = lehr.solve(problem, preset=name, seed=0, history_every=100)
        residual = (result.mean_energy - ground) / problem.num_spins
        best = result.best_energy - ground
        seconds = " ".join(f"{part} {value:.0f} s" for part, value in result.seconds.items())
        per_step = 1e3 * result.seconds["train"] / result.gradient_steps
        print(
            f"{name:<14} {problem.name:<32} residual per spin {residual:.2e}, best above ground {abs(best):.1e}, "
            f"{result.gradient_steps} steps of {per_step:.1f} ms, {seconds}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:] or list(INSTANCES))
