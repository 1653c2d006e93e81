"""Max-Cut of a graph from a file in the format of the G-set.

Parting the nodes of a graph in two so that the edges between the parts weigh as much as possible is an Ising problem:
`lehr.load_problem(file, "maxcut")` makes the energy minus the cut.
"""

import tempfile
from pathlib import Path

import networkx as nx
import numpy as np

import lehr


def main(num_nodes: int = 60, num_steps: int = 1000) -> dict[str, float]:
    """Solve one random graph, and count its cut without Lehr."""
    graph = nx.random_regular_graph(3, num_nodes, seed=7)
    weights = np.random.default_rng(7).integers(1, 10, graph.number_of_edges())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "graph.txt")
        lines = [f"{u + 1} {v + 1} {w}" for (u, v), w in zip(graph.edges, weights, strict=True)]
        file.write_text("\n".join([f"{num_nodes} {len(lines)}", *lines]) + "\n")
        problem = lehr.load_problem(file, "maxcut")
    result = lehr.solve(problem, seed=0, num_steps=num_steps)

    side = dict(zip(problem.labels or range(num_nodes), result.best_spins, strict=True))
    side = {int(node) - 1 if problem.labels else node: s for node, s in side.items()}
    cut = sum(int(w) for (u, v), w in zip(graph.edges, weights, strict=True) if side[u] != side[v])
    print(f"a cut of {cut} of {weights.sum()}, energy {result.best_energy:g}")
    return {"cut": cut, "energy": result.best_energy, "optimum": -float(lehr.exact(problem).ground_energy)}


if __name__ == "__main__":
    print(f"the best cut there is: {main()['optimum']:g}")
