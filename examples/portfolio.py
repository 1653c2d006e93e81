"""A portfolio: k of n assets with much return and little risk.

minimise  risk x^T S x - m^T x + penalty (sum_i x_i - k)^2  over bits x, a QUBO; the penalty keeps the number.
"""

import itertools

import numpy as np

import lehr


def main(num_assets: int = 16, budget: int = 5, num_steps: int = 1000) -> dict[str, float]:
    """Choose among random assets; the best choice is known by trying all of that size."""
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(num_assets, 4))
    covariance = factors @ factors.T / 4 + np.diag(rng.uniform(0.1, 0.5, num_assets))
    returns = rng.uniform(0.0, 1.0, num_assets)
    value = covariance - np.diag(returns)
    penalty = 2.0 * np.abs(value).sum(0).max()
    Q = value + penalty * (np.ones((num_assets, num_assets)) - 2 * budget * np.eye(num_assets))
    problem = lehr.from_qubo(Q, offset=penalty * budget**2)
    result = lehr.solve(problem, seed=0, num_steps=num_steps)

    chosen = np.flatnonzero(result.best_spins > 0)
    best = min(itertools.combinations(range(num_assets), budget), key=lambda c: value[np.ix_(c, c)].sum())
    print(f"chosen {chosen.tolist()}: return {returns[chosen].sum():.2f}")
    return {
        "value": float(value[np.ix_(chosen, chosen)].sum()),
        "best": float(value[np.ix_(best, best)].sum()),
        "number": len(chosen),
        "energy": result.best_energy,
    }


if __name__ == "__main__":
    found = main()
    print(f"risk minus return {found['value']:.4f}; the best there is: {found['best']:.4f}")
