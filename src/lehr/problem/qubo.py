"""QUBO and Ising models in and out, as mappings or matrices.

A QUBO counts in bits, `x = (1 + s) / 2`: conversion is exact up to rounding. Ising h/J is exact. A field of zero is no
field; a coupling of zero stays, except that a dense matrix cannot tell it from no coupling.
"""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import scipy  # whose parts are loaded when they are first used

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.problem.pairwise import exact_sum, fields_and_couplings, names, pairwise_problem, real_number, real_numbers


def from_qubo(Q: Any, offset: float = 0.0) -> Problem:
    """Problem with the energies `sum_{u,v} Q[u, v] x_u x_v + offset` of a QUBO, bits `x = (1 + s) / 2`.

    Args: `Q`, a mapping {(u, v): number}, a square NumPy matrix or a SciPy sparse matrix; (u, v) and (v, u) are summed,
    the diagonal is linear. A sparse matrix or a mapping may hold a coupling of zero, which is kept.
    Returns: the problem; the labels of a mapping are its variables in the order in which they first occur.
    Errors: `InputError` where `Q` is empty, not square, has a key that is no pair, or a number that is not finite.

    >>> from_qubo({("a", "a"): -1.0, ("a", "b"): 2.0}).energy(np.array([[1, 1], [1, -1]])).tolist()
    [1.0, -1.0]
    """
    if isinstance(Q, Mapping):
        position: dict[Hashable, int] = {}
        rows, columns, values = _pairs_of_mapping("Q", Q, position)
        size, labels = len(position), list(position)
    else:
        rows, columns, values = _entries_of_matrix("Q", Q)
        size, labels = Q.shape[0], None
    diagonal = rows == columns
    linear = np.bincount(rows[diagonal], values[diagonal], size)
    pairs, couplings = _summed(rows[~diagonal], columns[~diagonal], values[~diagonal], size)
    return pairwise_problem("Q", linear, pairs, couplings, real_number("offset", offset), bits=True, labels=labels)


def to_qubo(problem: Problem) -> tuple[dict[tuple[Hashable, Hashable], float], float]:
    """QUBO `(Q, offset)` with the energies of a problem: `sum Q[u, v] x_u x_v + offset`, bits `x = (1 + s) / 2`.

    Args: `problem`, of order 1 or 2.
    Returns: `Q`, with a diagonal entry for every spin (in order) and one entry for each coupling, and the offset.
    Errors: `InputError` where the order is above 2 or the numbers overflow.

    >>> to_qubo(from_ising([0.0, 0.0], {(0, 1): 1.0}))
    ({(0, 0): -2.0, (1, 1): -2.0, (0, 1): 4.0}, 1.0)
    """
    fields, pairs, couplings = fields_and_couplings(problem, "a QUBO")
    with np.errstate(over="ignore", invalid="ignore"):
        linear = 2 * fields
        for end in pairs.T:
            linear = linear - 2 * np.bincount(end, couplings, problem.num_spins)
        quadratic = 4 * couplings
    if not (np.isfinite(linear).all() and np.isfinite(quadratic).all()):
        raise InputError("Argument `problem` overflows double precision as bits; divide its numbers by a power of 2.")
    offset = exact_sum("problem", [float(problem.offset), *(-fields).tolist(), *couplings.tolist()])
    label = names(problem)
    Q = {(v, v): bias for v, bias in zip(label, linear.tolist(), strict=True)}
    for (i, j), bias in zip(pairs.tolist(), quadratic.tolist(), strict=True):
        Q[label[i], label[j]] = bias
    return Q, offset


def from_ising(h: Any, J: Any, offset: float = 0.0) -> Problem:
    """Problem `sum_i h_i s_i + sum_{i<j} J_ij s_i s_j + offset` in dimod's sign (the papers' couplings are minus J).

    Args: `h`, a mapping {v: field} or a sequence of N fields; `J`, a mapping {(u, v): coupling}, (u, v) and (v, u)
    summed, or a strictly upper triangular NumPy or SciPy matrix (others count pairs once or twice: nobody knows).
    Returns: the problem; spins in the order of `h`, then as they first occur in `J`.
    Errors: `InputError` for a coupling of a spin with itself, a spin outside a sequence `h`, a matrix of another shape,
    or a number that is not finite.

    >>> from_ising([0.5, 0.0], {(0, 1): -1.0}, 2.0).energy(np.array([1, -1])).tolist()
    3.5
    """
    position: dict[Hashable, int]
    if isinstance(h, Mapping):
        position = {v: number for number, v in enumerate(h)}
        fields = real_numbers("h", list(h.values()))
    else:
        fields = real_numbers("h", h)
        position = {number: number for number in range(fields.size)}
    if isinstance(J, Mapping):
        rows, columns, values = _pairs_of_mapping("J", J, position)
        if not isinstance(h, Mapping) and len(position) > fields.size:
            raise InputError(
                f"Argument `J` must couple spins 0 to {fields.size - 1}, the positions in `h`, "
                f"but it names {list(position)[fields.size]!r}; give `h` as a mapping to use labels."
            )
        if (rows == columns).any():
            raise InputError("Argument `J` must couple different spins, but it couples a spin with itself.")
    else:
        rows, columns, values = _entries_of_matrix("J", J)
        if J.shape[0] != fields.size or isinstance(h, Mapping):
            raise InputError(f"Argument `h` must be a sequence of {J.shape[0]} fields, as many as `J` has rows.")
        if (rows >= columns).any():
            raise InputError(
                "Argument `J` must be zero on and below the diagonal; np.triu(J, 1) counts each pair once."
            )
    pairs, couplings = _summed(rows, columns, values, len(position))
    fields = np.concatenate([fields, np.zeros(len(position) - fields.size)])
    return pairwise_problem("h, J", fields, pairs, couplings, real_number("offset", offset), labels=list(position))


def to_ising(problem: Problem) -> tuple[dict[Hashable, float], dict[tuple[Hashable, Hashable], float], float]:
    """Ising `(h, J, offset)` with exactly the terms of a problem of order 1 or 2, in dimod's sign.

    Args: `problem`. Returns: a field for every spin, in order; a coupling for every pair; the offset.
    Errors: `InputError` where the order is above 2.

    >>> to_ising(from_ising([0.5, 0.0], {(0, 1): -1.0}, 2.0))
    ({0: 0.5, 1: 0.0}, {(0, 1): -1.0}, 2.0)
    """
    fields, pairs, couplings = fields_and_couplings(problem, "Ising h/J")
    label = names(problem)
    J = {(label[i], label[j]): c for (i, j), c in zip(pairs.tolist(), couplings.tolist(), strict=True)}
    return dict(zip(label, fields.tolist(), strict=True)), J, float(problem.offset)


def _pairs_of_mapping(
    argument: str, mapping: Mapping, position: dict[Hashable, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of {(u, v): value}; new variables are added to `position`."""
    pairs = []
    for key in mapping:
        if not isinstance(key, tuple) or len(key) != 2:
            raise InputError(f"Argument `{argument}` must have pairs (u, v) as keys, but one is {key!r}.")
        pairs.append([position.setdefault(v, len(position)) for v in key])
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return rows, columns, real_numbers(argument, list(mapping.values()))


def _entries_of_matrix(argument: str, matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values: the stored entries of a sparse matrix, the entries other than zero of a dense one."""
    sparse = scipy.sparse.issparse(matrix)
    if not sparse and not isinstance(matrix, np.ndarray):
        raise InputError(
            f"Argument `{argument}` must be a mapping {{(u, v): number}}, a NumPy or a SciPy matrix, "
            f"but it is a {type(matrix).__name__}."
        )
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"Argument `{argument}` must be a square matrix, but its shape is {matrix.shape}.")
    if sparse:
        entries = scipy.sparse.coo_array(matrix)
        rows, columns, values = entries.row, entries.col, entries.data
    else:
        rows, columns = np.nonzero(matrix)
        values = matrix[rows, columns]
    return rows.astype(np.int64), columns.astype(np.int64), real_numbers(argument, values)


def _summed(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct pairs[m, 2] with (u, v) and (v, u) summed."""
    keys = np.minimum(rows, columns) * size + np.maximum(rows, columns)
    keys, group = np.unique(keys, return_inverse=True)
    return np.stack(np.divmod(keys, max(size, 1)), axis=1), np.bincount(group, values, keys.size)
