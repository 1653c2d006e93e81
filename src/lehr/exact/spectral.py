"""A certificate of pairwise problems: one eigenvalue bounds the energies of all states from below."""

import numpy as np
import scipy  # whose parts are loaded when they are first used
from jaxtyping import Float

from lehr._types import InputError, Spins
from lehr.problem.base import Problem

MOST_SPINS = 5000  # a dense matrix of 200 MB, whose lowest eigenvalue takes a minute


def applies(problem: Problem) -> bool:
    """Whether a problem has pair terms and fields only, and at most 5000 spins.

    >>> applies(Problem.from_terms(2, {(0, 1): 1.0, (0,): 0.5})), applies(Problem.from_terms(3, {(0, 1, 2): 1.0}))
    (True, False)
    """
    return problem.order <= 2 and problem.num_spins <= MOST_SPINS


def lower_bound(problem: Problem, spins: Spins) -> float:
    """A lower bound of the energies of all states, from one state t.

    With `H(s) = offset + s^T A s / 2` (fields couple to one more spin, which is held up) and the diagonal matrix
    `D_ii = -t_i sum_j A_ij t_j`, `(A + D) t = 0` and `H(s) - H(t) = s^T (A + D) s / 2`. Hence
    `H(s) >= H(t) + N / 2 min(0, lowest eigenvalue of A + D)`, N counting the additional spin.

    Args:
        problem: pair terms and fields, at most 5000 spins.
        spins: the state t[N]; the lower its energy, the better the bound. Up to the rounding of the eigenvalue, the
            bound is H(t) itself where t is certified (`certifies`).

    Returns:
        The bound, offset included.

    Raises:
        InputError: for terms of more than two spins, too many spins, or a t that is not one state of +1 and -1.

    Source: the dual of the semidefinite relaxation, at the multipliers that t makes stationary; Goemans and
    Williamson, J. ACM 42, 1115 (1995).

    >>> ring = Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 1.0, (0, 2): 1.0})  # ground energy -1
    >>> round(lower_bound(ring, np.array([1, -1, 1])), 6)
    -2.5
    """
    curvature = _curvature(problem, spins)
    return float(problem.energy(np.asarray(spins))) + len(curvature) / 2 * min(0.0, _lowest_eigenvalue(curvature))


def certifies(problem: Problem, spins: Spins) -> bool:
    """Whether a state is proved to be a ground state: `lower_bound` is its own energy.

    It holds for the planted states of `lehr.wishart`, for unfrustrated problems and for few others: False proves
    nothing. The lowest eigenvalue may fall short of 0 by its rounding error, about `N 1e-16` times the norm of the
    matrix, so a state above the ground state by less than N / 2 times that error is certified, too.

    Args:
        problem: pair terms and fields, at most 5000 spins.
        spins: the state [N].

    Raises:
        InputError: as `lower_bound`.

    >>> from lehr import wishart
    >>> from lehr.problem.wishart import wishart_planted_state
    >>> problem, planted = wishart(32, 0.5, seed=7), wishart_planted_state(32, 0.5, seed=7)
    >>> certifies(problem, planted), certifies(problem, np.ones(32))
    (True, False)
    """
    curvature = _curvature(problem, spins)
    rounding = 2 * len(curvature) * np.finfo(np.float64).eps * float(np.abs(curvature).sum(axis=1).max())
    return bool(_lowest_eigenvalue(curvature) >= -rounding)


def _lowest_eigenvalue(matrix: Float[np.ndarray, "size size"]) -> float:
    return float(scipy.linalg.eigh(matrix, eigvals_only=True, subset_by_index=[0, 0])[0])


def _curvature(problem: Problem, spins: Spins) -> Float[np.ndarray, "size size"]:
    """The matrix A + D of a state, with one more spin, the first, where there are fields."""
    state = np.asarray(spins, dtype=np.float64)
    if not applies(problem):
        raise InputError(
            f"Argument `problem` must have terms of one or two spins and at most {MOST_SPINS} spins, "
            f"but it has terms of {problem.order} and {problem.num_spins} spins."
        )
    if state.shape != (problem.num_spins,) or not (np.abs(state) == 1).all():
        raise InputError(
            f"Argument `spins` must be one state of {problem.num_spins} spins +1 or -1, "
            f"but it has shape {state.shape} or other values."
        )
    couplings = np.zeros((problem.num_spins + 1,) * 2)
    for terms in problem.terms:
        ends = np.asarray(terms.indices) + 1
        i, j = (ends[:, 0], ends[:, 1]) if terms.order == 2 else (0, ends[:, 0])
        couplings[i, j] = couplings[j, i] = terms.coefficients
    extended = np.concatenate([[1.0], state])
    if not couplings[0].any():
        couplings, extended = couplings[1:, 1:], state
    return couplings - np.diag(extended * (couplings @ extended))
