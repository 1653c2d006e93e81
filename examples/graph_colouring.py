"""Graph colouring as a QUBO with constraints.

Bit (v, c) says that node v has colour c. Every node has one colour, (1 - sum_c x_vc)^2 = 0, and the ends of an edge
have different ones, sum_c x_uc x_vc = 0: both are added as penalties, so that energy 0 means a colouring.
"""

import networkx as nx

import lehr


def main(num_colours: int = 3, num_steps: int = 1000) -> dict[str, float]:
    """Colour the Petersen graph, which takes three colours."""
    graph = nx.petersen_graph()
    Q: dict[tuple, float] = {}
    for node in graph:
        bits = [(node, colour) for colour in range(num_colours)]
        for i, bit in enumerate(bits):
            Q[bit, bit] = -1.0
            Q.update({(bit, other): 2.0 for other in bits[:i]})
    for u, v in graph.edges:
        Q.update({((u, colour), (v, colour)): 1.0 for colour in range(num_colours)})
    problem = lehr.from_qubo(Q, offset=float(graph.number_of_nodes()))
    result = lehr.solve(problem, seed=0, num_steps=num_steps)

    chosen = [bit for bit, s in zip(problem.labels, result.best_spins, strict=True) if s > 0]
    colours = dict(chosen)
    broken = sum(u in colours and colours[u] == colours.get(v) for u, v in graph.edges)
    print(f"colours {colours}")
    return {
        "energy": result.best_energy,
        "coloured": len(colours) if len(chosen) == len(colours) else 0,
        "broken": broken,
    }


if __name__ == "__main__":
    found = main()
    print(f"{found['coloured']} nodes with one colour, {found['broken']} edges with two ends of the same")
