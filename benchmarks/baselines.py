"""Are Lehr's Markov chains as fast and as good as other samplers? Annealing against dwave-samplers and OpenJij.

`python benchmarks/baselines.py` prints, for each problem, spin updates per second on one thread and the residual energy
per spin of the last and of the best visited states (the others report the last only), at the same geometric range of
temperatures and the same sweeps, medians of five runs taken in turn. OpenJij (`pip install openjij`) is left out where
it is not installed. All of them sweep in the order of the spins; Lehr also keeps every run's best state.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from dwave.samplers import SimulatedAnnealingSampler

import lehr
from lehr.baseline import walkers
from lehr.exact.choose import exact
from lehr.settings import default_range

SWEEPS, READS, ROUNDS = 1000, 50, 5


def ours(problem: lehr.Problem, seed: int) -> tuple[float, float, float]:
    """Seconds, mean last and mean best energy."""
    result = lehr.solve(problem, "sa", num_steps=SWEEPS, replicas=READS, seed=seed)
    return result.seconds["train"], result.mean_energy, float(result.replica_best_energies.mean())


def dwaves(problem: lehr.Problem, seed: int) -> tuple[float, float, float]:
    """The same by dwave-samplers."""
    hot, cold = default_range(problem)
    bqm = lehr.to_bqm(problem)
    options = {"num_reads": READS, "num_sweeps": SWEEPS, "beta_range": (1 / hot, 1 / cold), "seed": seed}
    started = time.perf_counter()
    energies = SimulatedAnnealingSampler().sample(bqm, **options).record.energy
    return time.perf_counter() - started, float(energies.mean()), np.nan


def openjijs(problem: lehr.Problem, seed: int) -> tuple[float, float, float]:
    """The same by OpenJij, one call for each read: reads of one call with a seed are identical."""
    from openjij import SASampler

    hot, cold = default_range(problem)
    fields = {int(i): 0.0 for i in range(problem.num_spins)}
    couplings = dict(lehr.to_ising(problem)[1])
    started = time.perf_counter()
    energies = []
    for read in range(READS):
        options = {"num_reads": 1, "num_sweeps": SWEEPS, "beta_min": 1 / hot, "beta_max": 1 / cold}
        found = SASampler().sample_ising(fields, couplings, seed=seed * READS + read, **options)
        energies.append(found.first.energy)
    return time.perf_counter() - started, float(np.mean(energies)), np.nan


SAMPLERS: dict[str, Callable[[lehr.Problem, int], tuple[float, float, float]]] = {
    "Lehr": ours,
    "dwave-samplers": dwaves,
}
if find_spec("openjij"):
    SAMPLERS["OpenJij"] = openjijs


def main() -> None:
    """Print the table."""
    walkers.num_threads = lambda: 1
    problems = [
        lehr.edwards_anderson(10, seed=1),
        lehr.edwards_anderson(40, seed=1),
        lehr.wishart(32, 0.5, seed=1),
        lehr.sherrington_kirkpatrick(100, seed=1),
    ]
    for problem in problems:
        ground = -71.91293888651 if "SK" in problem.name else exact(problem).ground_energy
        ours(problem, 0)  # compiles
        rounds = {name: [] for name in SAMPLERS}
        for seed in range(ROUNDS):
            for name, sampler in SAMPLERS.items():
                rounds[name].append(sampler(problem, seed))
        print(problem.name)
        for name, values in rounds.items():
            seconds, last, best = np.median(values, axis=0)
            updates = problem.num_spins * SWEEPS * READS / seconds / 1e6
            residuals = [(energy - ground) / problem.num_spins for energy in (last, best)]
            print(f"  {name:<15} {updates:6.1f} M updates/s   last {residuals[0]:.4f}   best {residuals[1]:.4f}")


if __name__ == "__main__":
    main()
