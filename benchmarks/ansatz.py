"""Which ansatz finds the ground state per second? The measurement behind `ansatz="auto"`.

`python benchmarks/ansatz.py` trains each ansatz on the same instances with Lehr's own settings for it and prints, for
each, the steps' cost and how many of its networks met the ground state.
"""

import json
from pathlib import Path

import numpy as np

import lehr

ORACLES = json.loads((Path(__file__).parent.parent / "tests/data/oracles.json").read_text())
INSTANCES = (
    (lehr.edwards_anderson(10, seed=1), ORACLES["EA"]["10"]["1"] * 100, ("linear", "rnn2d")),
    (lehr.sherrington_kirkpatrick(100, seed=1), ORACLES["SK"]["1"] * 100, ("linear", "dilated")),
    (lehr.newman_moore(5), -12.5, ("linear", "rnn2d", "dilated")),
    (lehr.newman_moore(8), -32.0, ("linear", "rnn2d")),
)


def main() -> None:
    """Print one line for each instance and ansatz."""
    for problem, ground, names in INSTANCES:
        for name in names:
            result = lehr.solve(problem, ansatz=name, seed=0, replicas=2, num_final_samples=100)
            lowest = result.history.energy_min.min("step").values
            met = int(np.sum(lowest < ground + 1e-4 * abs(ground)))
            share = float((result.energies < ground + 1e-6 * abs(ground)).mean())
            per_step = 1e3 * result.seconds["train"] / result.gradient_steps
            print(
                f"{problem.name:<28} {name:<8} {per_step:6.1f} ms per step, "
                f"{result.seconds['train']:5.1f} s, ground state met by {met} of {len(lowest)} networks, "
                f"{share:.0%} of the final samples, mean residual per spin "
                f"{(result.mean_energy - ground) / problem.num_spins:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
