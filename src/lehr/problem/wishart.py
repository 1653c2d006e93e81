"""The Wishart planted ensemble: dense problems whose ground state is known and hard to find."""

import numpy as np
from jaxtyping import Float, Int8

from lehr._types import InputError
from lehr.problem._arguments import MOST_DENSE_SPINS, checked_count, checked_seed
from lehr.problem.base import Problem


def wishart(num_spins: int, alpha: float, *, seed: int) -> Problem:
    """Wishart planted problem of N spins, `H = -1/2 sum_{i != j} J_ij s_i s_j` with `J = -W W^T / N` of rank M.

    W[N, M] is `diag(t) (N I - 1 1^T) Z / sqrt(N (N - 1))` with Z of +1 and -1 at random. Its columns are orthogonal
    to the planted state t, a random gauge of all-ones (`wishart_planted_state`), and therefore
    `H(s) - ground_energy = |W^T s|^2 / (2 N) >= 0`, which is 0 at s = t and s = -t.

    Args:
        num_spins: N, 2 to 20 000.
        alpha: M / N, positive; M is `alpha * N` rounded to the nearest whole number (halves to even), at least 1.
            Small alpha is hard.
        seed: seed of Z and t, 0 to 2**32 - 1.

    Returns:
        The problem; it stores the terms `c = -J` (signs: `lehr._types`). `ground_energy = -sum W^2 / (2 N)`
        and `ground_spins` are t.

    Raises:
        InputError: for too few or too many spins, an alpha that gives no column, or a seed out of range.

    Source: Hamze et al., Phys. Rev. E 101, 052102 (2020), arXiv:1906.00275; used by Hibat-Allah et al., Nat. Mach.
    Intell. 3, 952 (2021), arXiv:2101.10154, Fig. 6, whose instances have t = 1 and other random numbers.

    >>> problem = wishart(32, 0.5, seed=7)
    >>> problem.name
    'Wishart 32 alpha 0.5 seed 7'
    >>> planted = wishart_planted_state(32, 0.5, seed=7)
    >>> abs(float(problem.energy(planted) - problem.ground_energy)) < 1e-12
    True
    """
    projected, gauge = _draw(num_spins, alpha, seed)
    # Whole numbers up to this line: the planted state is orthogonal to every column exactly, not to rounding.
    overlaps = projected @ projected.T
    scale = num_spins**2 * (num_spins - 1)
    i, j = np.triu_indices(num_spins, 1)
    return Problem(
        num_spins,
        [(np.stack([i, j], axis=1), overlaps[i, j] * gauge[i] * gauge[j] / scale)],
        ground_energy=-float(np.trace(overlaps)) / (2 * scale),
        ground_spins=gauge,
        name=f"Wishart {num_spins} alpha {alpha:g} seed {seed}",
    )


def wishart_planted_state(num_spins: int, alpha: float, *, seed: int) -> Int8[np.ndarray, " num_spins"]:
    """Planted ground state t of `wishart` with the same arguments, N spins of +1 and -1; -t is the other one.

    >>> wishart_planted_state(6, 0.5, seed=7).tolist()
    [-1, -1, 1, -1, -1, -1]
    """
    return _draw(num_spins, alpha, seed)[1]


def _draw(
    num_spins: int, alpha: float, seed: int
) -> tuple[Float[np.ndarray, "num_spins columns"], Int8[np.ndarray, " num_spins"]]:
    """`(N I - 1 1^T) Z`, whole numbers in float64 (whose products BLAS multiplies without rounding), and the gauge."""
    num_spins, seed = checked_count("num_spins", num_spins, 2, MOST_DENSE_SPINS), checked_seed(seed)
    columns = round(alpha * num_spins) if np.isfinite(alpha * num_spins) else 0
    if columns < 1:
        raise InputError(
            f"Argument `alpha` must be finite and give alpha * num_spins >= 1 columns after rounding, "
            f"but it is {alpha} for {num_spins} spins."
        )
    if columns * num_spins > MOST_DENSE_SPINS**2:
        raise InputError(
            f"Argument `alpha` must be at most {MOST_DENSE_SPINS**2 // num_spins / num_spins:g} for {num_spins} spins, "
            f"so that the Wishart matrix fits in memory, but it is {alpha}."
        )
    generator = np.random.default_rng(seed)
    signs = 2.0 * generator.integers(0, 2, (num_spins, columns)) - 1
    gauge = (2 * generator.integers(0, 2, num_spins) - 1).astype(np.int8)
    return num_spins * signs - signs.sum(axis=0, keepdims=True), gauge
