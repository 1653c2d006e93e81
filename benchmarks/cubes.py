"""Spin glasses in three dimensions, where nothing exact helps: the defaults beside SA and tempering in the same seconds.

`python benchmarks/cubes.py [--seeds 3] [SIDE ...]` prints one line for each Edwards-Anderson cube with Gaussian
couplings and periodic boundaries: the lowest energy that any method met, and how far above it, per spin, `lehr.solve`
with its defaults ended, and simulated annealing and parallel tempering given the seconds that its training took
(`lehr.compare`: reads side by side, a ladder of lengths, the lowest energy of all).
"""

import argparse

import lehr


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Cubes: the defaults beside annealing and tempering.")
    parser.add_argument("sides", nargs="*", type=int, metavar="SIDE")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for side in arguments.sides or (6, 8, 10):
        for seed in range(1, arguments.seeds + 1):
            problem = lehr.edwards_anderson((side,) * 3, "gaussian", boundary="periodic", seed=seed)
            result = lehr.solve(problem)
            seconds = result.seconds["train"]
            others = lehr.compare(problem, ["sa", "pt"], seconds=seconds)
            lowest = {method: min(min(r.energies) for r in others.of(method)) for method in others.methods}
            found = {"vca": result.best_energy, **lowest}
            best = min(found.values())
            gaps = "  ".join(f"{name} +{(energy - best) / side**3:.2e}" for name, energy in found.items())
            print(f"{side}^3 seed {seed}: {best:.9g}  {gaps}  in {seconds:.0f} s each", flush=True)


if __name__ == "__main__":
    main()
