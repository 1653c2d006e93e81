"""Free energies of planar spin glasses on open grids of any size: the Kac-Ward determinant."""

from typing import Any

import numpy as np
import scipy  # whose parts are loaded when they are first used
from jaxtyping import Float

from lehr._types import InputError
from lehr.exact import matching
from lehr.exact._lattice import Grid, required_open_grid
from lehr.exact.enumeration import Temperatures, checked_temperatures, shaped_like
from lehr.problem.base import Problem

# Bound of the rounding error that is let through, in units of the strongest coupling; see `_log_root`.
_MOST_ERROR = 1e-6
# Steps along +x, +y, -x, -y; direction d turned by k quarters is (d + k) % 4.
_STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
_TURNS = {0: 1.0, 1: np.exp(0.25j * np.pi), 3: np.exp(-0.25j * np.pi)}

applies = matching.applies


def free_energy(problem: Problem, temperature: Temperatures) -> float | Float[np.ndarray, " temperatures"]:
    """Free energy `-T ln sum_s exp(-H(s) / T)` of an open two-dimensional spin glass without fields, of any size.

    `Z = 2^N prod cosh(J / T) sqrt(det(1 - W))`, where W steps from one directed bond to the next with weight
    `tanh(J / T) exp(i angle / 2)` and never turns back. Total rounding error below 1e-8 of the strongest coupling
    where a value is returned. At low temperature the determinant is a small difference of large numbers: with
    couplings on [-1, 1) that ends near T = 0.1 for 10 x 10 spins and T = 0.2 for 40 x 40. There the transfer matrix
    goes on, for widths up to 20. A tenth of a second for 40 x 40 spins, some seconds for 64 x 64.

    Args:
        problem: couplings of neighbours on an open Lx x Ly grid, for which `applies` holds.
        temperature: T, positive, in units of the energy; or a sequence of them.

    Returns:
        F of the whole system, offset included; a float, or float64 [temperatures] for a sequence.

    Raises:
        InputError: where the problem has a periodic boundary, fields, other terms or no grid; for a bad temperature,
            and for one too low for double precision.

    Source: M. Kac and J. C. Ward, Phys. Rev. 88, 1332 (1952); D. Cimasoni, Commun. Math. Phys. 299, 447 (2010).

    >>> import lehr
    >>> round(free_energy(lehr.edwards_anderson(10, seed=1), 1.0) / 100, 12)
    -1.002456729552
    """
    glass = required_open_grid(problem)
    bonds = np.abs(np.concatenate([glass.down[:-1].ravel(), glass.right[:, :-1].ravel()]))
    strongest = bonds.max(initial=0)
    values = []
    for t in checked_temperatures(temperature):
        log_cosh = bonds / t + np.log1p(np.exp(-2 * bonds / t)) - np.log(2)
        log_root, error = _log_root(glass, t)
        if not t * error <= _MOST_ERROR * strongest:
            raise InputError(
                f"Argument `temperature` must be higher for the Kac-Ward determinant of {problem.name} to be accurate "
                f"in double precision, but it is {t:g}."
            )
        values.append(-t * (problem.num_spins * np.log(2) + log_cosh.sum() + log_root))
    return shaped_like(temperature, np.array(values) + float(problem.offset))


def _log_root(glass: Grid, temperature: float) -> tuple[float, float]:
    """`ln sqrt(det(1 - W))`, and an estimate of its error from above.

    The estimate is the rounding unit times the 1-norm of the inverse. Against the transfer matrix it was 100 to 1000
    times the true error, as long as it was below 0.01; beyond, both are of order 1 or more.
    """
    steps = _step_matrix(glass, temperature)
    if not steps.nnz:
        return 0.0, 0.0
    matrix = scipy.sparse.csc_array(scipy.sparse.eye_array(len(steps.indptr) - 1) - steps)
    try:
        factors = scipy.sparse.linalg.splu(matrix)
    except RuntimeError:  # exactly singular
        return 0.0, np.inf
    operator: Any = scipy.sparse.linalg.LinearOperator
    inverse = operator(
        matrix.shape, matvec=factors.solve, rmatvec=lambda vector: factors.solve(vector, "H"), dtype=np.complex128
    )
    norm: Any = scipy.sparse.linalg.onenormest(inverse)
    return float(np.log(np.abs(factors.U.diagonal())).sum() / 2), float(norm) * float(np.finfo(float).eps)


def _step_matrix(glass: Grid, temperature: float) -> "scipy.sparse.csc_array":
    """W over the directed bonds that have a coupling."""
    rows, columns = glass.down.shape
    coupling = np.zeros((rows, columns, 4))
    coupling[:-1, :, 0], coupling[1:, :, 2] = glass.down[:-1], glass.down[:-1]
    coupling[:, :-1, 1], coupling[:, 1:, 3] = glass.right[:, :-1], glass.right[:, :-1]
    x, y, direction = np.nonzero(coupling)
    number = np.full(coupling.shape, -1)
    number[x, y, direction] = np.arange(len(x))
    weight = np.tanh(-coupling[x, y, direction] / temperature)
    ahead_x, ahead_y = (np.stack([x, y]).T + _STEPS[direction]).T
    entries, places = [], []
    for turn, phase in _TURNS.items():
        following = number[ahead_x, ahead_y, (direction + turn) % 4]
        there = np.flatnonzero(following >= 0)
        entries.append(weight[there] * phase)
        places.append(np.stack([there, following[there]]))
    shape = (len(x), len(x))
    return scipy.sparse.csc_array((np.concatenate(entries), tuple(np.concatenate(places, axis=1))), shape)
