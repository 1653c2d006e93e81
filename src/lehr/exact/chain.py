"""Open chains of any length: classical thermodynamics in closed form, the transverse field by free fermions."""

import numpy as np
import scipy  # whose parts are loaded when they are first used
from jaxtyping import Float, Int8

from lehr._types import InputError
from lehr.exact.enumeration import Temperatures, checked_temperatures, shaped_like
from lehr.exact.quantum import Fields
from lehr.problem.base import Problem

_MOST_CORRELATED = 20_000


def applies(problem: Problem) -> bool:
    """Whether the problem is an open chain: couplings of spins i and i + 1 only, no fields, with or without lattice.

    >>> import lehr
    >>> applies(lehr.random_chain(8, seed=1)), applies(lehr.edwards_anderson(3, seed=1))
    (True, False)
    """
    return _couplings(problem) is not None


def ground_state(problem: Problem) -> tuple[float, Int8[np.ndarray, " num_spins"]]:
    """Ground energy `offset - sum_i |c_i|` of an open chain, and the ground state whose first spin is up.

    Raises:
        InputError: where the problem is not an open chain without fields.

    >>> import lehr
    >>> energy, spins = ground_state(lehr.random_chain(6, "pm1", seed=2))
    >>> energy, int(spins[0])
    (-5.0, 1)
    """
    satisfied = np.where(_required(problem) > 0, -1, 1)
    spins = np.cumprod(np.concatenate([[1], satisfied])).astype(np.int8)
    return float(problem.energy(spins)), spins


def free_energy(problem: Problem, temperature: Temperatures) -> float | Float[np.ndarray, " temperatures"]:
    """Free energy `offset - T (ln 2 + sum_i ln 2 cosh(c_i / T))` of an open chain, offset included.

    Args:
        problem: an open chain, for which `applies` holds.
        temperature: T, positive, in units of the energy; or a sequence of them.

    Returns:
        F of the whole chain; a float, or float64 [temperatures] for a sequence.

    Raises:
        InputError: where the problem is not an open chain without fields, or for a bad temperature.

    Source: E. Ising, Z. Phys. 31, 253 (1925).

    >>> import lehr
    >>> round(free_energy(lehr.random_chain(32, seed=1), 1.0) / 32, 10)
    -0.8136407538
    """
    strength = np.abs(_required(problem))
    temperatures = checked_temperatures(temperature)
    values = [-t * (np.log(2) + np.log1p(np.exp(-2 * strength / t)).sum()) - strength.sum() for t in temperatures]
    return shaped_like(temperature, np.array(values) + float(problem.offset))


def correlations(problem: Problem, temperature: float | int) -> Float[np.ndarray, "num_spins num_spins"]:
    """Thermal correlations `<s_i s_j>` of an open chain: the product of `-tanh(c / T)` over the bonds between i and j.

    Raises:
        InputError: where the problem is not an open chain without fields, has more than 20 000 spins, or for a bad
            temperature.

    Source: as `free_energy`.

    >>> from lehr.problem.base import Problem
    >>> correlations(Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 2.0}), 1.0).round(3).tolist()
    [[1.0, 0.762, -0.734], [0.762, 1.0, -0.964], [-0.734, -0.964, 1.0]]
    """
    bonds = np.tanh(-_required(problem) / checked_temperatures(temperature)[0])
    size = problem.num_spins
    if size > _MOST_CORRELATED:
        raise InputError(f"Argument `problem` must have at most {_MOST_CORRELATED} spins, but it has {size}.")
    result = np.eye(size)
    for first in range(size - 1):
        result[first, first + 1 :] = result[first + 1 :, first] = np.cumprod(bonds[first:])
    return result


def field_energy(problem: Problem, field: Fields) -> float | Float[np.ndarray, " fields"]:
    """Ground energy of `H - field * sum_i sigma^x_i` for an open chain, offset included.

    Minus the sum of the singular values of the bidiagonal matrix with the field on the diagonal and the couplings
    beside it: the modes of free fermions after a Jordan-Wigner transformation. Signs of couplings and field do not
    matter on an open chain. A second for thousands of spins.

    Args:
        problem: an open chain, for which `applies` holds.
        field: transverse field, in units of the energy, or a sequence of them; 0 gives the classical ground energy.

    Returns:
        A float, or float64 [fields] for a sequence.

    Raises:
        InputError: where the problem is not an open chain without fields, or a field is not finite.

    Source: P. Pfeuty, Ann. Phys. 57, 79 (1970); E. Lieb, T. Schultz and D. Mattis, Ann. Phys. 16, 407 (1961).

    >>> import lehr
    >>> round(field_energy(lehr.random_chain(32, seed=1), 0.5) / 32, 10)
    -0.6282449284
    """
    couplings = _required(problem)
    if not np.isfinite(field).all():
        raise InputError(f"Argument `field` must be finite, but it is {field!r}.")
    # The eigenvalues of this tridiagonal matrix with zero diagonal are plus and minus the singular values.
    beside = np.empty(2 * problem.num_spins - 1)
    beside[1::2] = couplings
    found = []
    for gamma in np.atleast_1d(field):
        beside[0::2] = gamma
        modes = scipy.linalg.eigvalsh_tridiagonal(np.zeros(2 * problem.num_spins), beside)
        found.append(-np.abs(modes).sum() / 2)
    return shaped_like(field, np.array(found) + float(problem.offset))


def _couplings(problem: Problem) -> Float[np.ndarray, " bonds"] | None:
    """c_i of the bond between spins i and i + 1, 0 where there is none; None where there are other terms."""
    couplings = np.zeros(problem.num_spins - 1)
    for terms in problem.terms:
        kept = np.flatnonzero(terms.coefficients)
        indices = np.asarray(terms.indices)[kept]
        if not kept.size:
            continue
        if terms.order != 2 or (indices[:, 1] - indices[:, 0] != 1).any():
            return None
        couplings[indices[:, 0]] = np.asarray(terms.coefficients)[kept]
    return couplings


def _required(problem: Problem) -> Float[np.ndarray, " bonds"]:
    couplings = _couplings(problem)
    if couplings is None:
        raise InputError(
            f"Argument `problem` must have couplings of spins i and i + 1 only, but {problem.name} has other terms."
        )
    return couplings
