"""3-SAT as a problem with terms of three bits (a HUBO), without any auxiliary variable.

A clause such as (a or not b or c) is broken where (1 - a) b (1 - c) = 1; the energy is the number of broken clauses.
"""

import dimod
import numpy as np

import lehr


def main(num_variables: int = 20, num_clauses: int = 80, num_steps: int = 500) -> dict[str, float]:
    """Satisfy random clauses that a hidden assignment satisfies."""
    rng = np.random.default_rng(3)
    hidden = rng.integers(0, 2, num_variables)
    clauses = []
    while len(clauses) < num_clauses:
        variables, wanted = rng.choice(num_variables, 3, replace=False), rng.integers(0, 2, 3)
        if (hidden[variables] == wanted).any():
            clauses.append((variables.tolist(), wanted.tolist()))
    problem = lehr.from_polynomial(broken_clauses(clauses), labels=range(num_variables))
    result = lehr.solve(problem, seed=0, num_steps=num_steps)

    bits = (result.best_spins + 1) // 2
    broken = sum(all(bits[v] != w for v, w in zip(*clause, strict=True)) for clause in clauses)
    print(f"{broken} of {num_clauses} clauses broken, energy {result.best_energy:g}")
    return {"broken": broken, "energy": result.best_energy}


def broken_clauses(clauses: list[tuple[list[int], list[int]]]) -> dimod.BinaryPolynomial:
    """Their number as a polynomial of bits: for each clause the product of 1 - x where 1 is wanted, of x elsewhere."""
    energy: dict[frozenset, float] = {}
    for variables, wanted in clauses:
        product = {frozenset(): 1.0}
        for variable, want in zip(variables, wanted, strict=True):
            longer = {term | {variable}: -c if want else c for term, c in product.items()}
            product = {**product, **longer} if want else longer
        for term, c in product.items():
            energy[term] = energy.get(term, 0.0) + c
    return dimod.BinaryPolynomial(energy, "BINARY")


if __name__ == "__main__":
    main()
