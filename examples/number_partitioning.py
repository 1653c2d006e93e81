"""Number partitioning: two heaps of numbers with sums as equal as can be.

With s = +1 for one heap and -1 for the other, the difference of the sums is D = sum_i a_i s_i, and D squared is a
problem of all pairs.
"""

import numpy as np

import lehr


def main(num_numbers: int = 20, num_steps: int = 1000) -> dict[str, float]:
    """Part random numbers; the smallest difference is known by trying all."""
    numbers = np.random.default_rng(1).integers(1, 2**12, num_numbers)
    couplings = {(i, j): 2.0 * numbers[i] * numbers[j] for i in range(num_numbers) for j in range(i)}
    problem = lehr.from_ising({}, couplings, offset=float((numbers**2).sum()))
    result = lehr.solve(problem, seed=0, num_steps=num_steps)

    signs = dict(zip(problem.labels or range(num_numbers), result.best_spins, strict=True))
    difference = abs(sum(int(number) * int(signs[i]) for i, number in enumerate(numbers)))
    smallest = round(float(lehr.exact(problem).ground_energy) ** 0.5)
    print(f"heaps of {(numbers.sum() + difference) // 2} and {(numbers.sum() - difference) // 2}")
    return {"difference": difference, "energy": result.best_energy, "smallest": smallest}


if __name__ == "__main__":
    found = main()
    print(f"a difference of {found['difference']}, where {found['smallest']} is the smallest there is")
