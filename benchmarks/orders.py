"""In which order should the linear ansatz draw the spins of a lattice?

`python benchmarks/orders.py [SIDE]` (20 by default) prints for four orders how many weights the exact conditioning sets
have, how many spins a conditional depends on at most, and how many networks met the exact ground state with Lehr's
default settings: four networks each for the Edwards-Anderson lattices of seeds 1 to 12.
"""

import sys

import numpy as np
import pymetis

import lehr
from lehr.ansatz.dissection import conditioning_sets, nested_dissection


def orders(problem: lehr.Problem) -> dict[str, np.ndarray]:
    """Sites in drawing order."""
    n = problem.num_spins
    adjacency = [[] for _ in range(n)]
    for i, j in np.asarray(problem.terms[-1].indices):
        adjacency[i].append(int(j))
        adjacency[j].append(int(i))
    return {
        "dissection by geometry": nested_dissection(problem),
        "dissection by METIS": np.asarray(pymetis.nested_dissection(adjacency=adjacency)[0])[::-1].astype(np.int64),
        "row by row": np.arange(n),
        "at random": np.random.default_rng(0).permutation(n),
    }


def main(side: int) -> None:
    """Print the table."""
    problems = [lehr.edwards_anderson(side, seed=seed) for seed in range(1, 13)]
    ground = np.array([float(lehr.exact(problem).ground_energy) for problem in problems])
    for name, sites in orders(problems[0]).items():
        sets = conditioning_sets(problems[0], sites)
        results = lehr.solve(problems, ansatz=lehr.Linear(problems[0], sites), seed=0, num_final_samples=64)
        lowest = np.array([result.replica_best_energies for result in results])
        hits = lowest < ground[:, None] + 1e-9 * side**2
        above = (lowest - ground[:, None]).mean() / side**2
        size = f"{sets.starts[-1]:>7} weights, {max(map(len, sets.parents)):>4} parents at most"
        found = f"{hits.sum()} of {hits.size} networks, {hits.any(1).sum()} of 12 instances"
        seconds = results[0].seconds["train"]
        print(f"{name:<24} {size}, {found}, {above:.1e} J per spin above, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
