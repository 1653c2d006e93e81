"""An average over disorder: ground-state energies of many spin glasses, trained side by side in one program."""

import numpy as np

import lehr


def main(num_instances: int = 16, side: int = 6, num_steps: int = 1000) -> dict[str, float]:
    """Mean ground-state energy per spin of Edwards-Anderson lattices, with its standard error, and the exact one."""
    problems = [lehr.edwards_anderson(side, "gaussian", seed=seed) for seed in range(num_instances)]
    results = lehr.solve(problems, seed=0, replicas=4, num_final_samples=100, num_steps=num_steps)

    energies = np.array([result.best_energy for result in results]) / side**2
    exact = np.array([lehr.exact(problem).ground_energy for problem in problems]) / side**2
    error = energies.std(ddof=1) / np.sqrt(num_instances)
    print(f"E / N = {energies.mean():.4f} +- {error:.4f} over {num_instances} instances; exact {exact.mean():.4f}")
    return {
        "mean": float(energies.mean()),
        "exact": float(exact.mean()),
        "solved": int((energies - exact < 1e-9).sum()),
    }


if __name__ == "__main__":
    print(f"{main()['solved']} of 16 in their ground state")
