"""The terms of a problem as flat arrays, in the order in which a Markov chain touches them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, UInt32

from lehr.problem.base import Problem


class Tables(NamedTuple):
    """Which terms each spin is in: pairs by neighbour, larger terms by number; fields enter the costs only.

    Spin i has the neighbours `pair_spins[pair_start[i]:pair_start[i + 1]]` with `pair_coefficients`, and is in the
    larger terms `spin_terms[spin_start[i]:spin_start[i + 1]]`; term m holds the spins
    `term_spins[term_start[m]:term_start[m + 1]]` and has the coefficient `coefficients[m]`.
    """

    fields: Float64[np.ndarray, " n"]
    couplings: Float64[np.ndarray, "d d"]
    pair_start: Int32[np.ndarray, " n+1"]
    pair_spins: UInt32[np.ndarray, " p"]
    pair_coefficients: Float64[np.ndarray, " p"]
    spin_start: Int32[np.ndarray, " n+1"]
    spin_terms: UInt32[np.ndarray, " e"]
    term_start: Int32[np.ndarray, " m+1"]
    term_spins: UInt32[np.ndarray, " e"]
    coefficients: Float64[np.ndarray, " m"]


def tables_of(problem: Problem) -> Tables:
    """The tables of a problem; its offset is left out.

    >>> tables = tables_of(Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5, (2,): 0.1}))
    >>> tables.pair_spins[tables.pair_start[1] : tables.pair_start[2]].tolist()
    [0, 2]
    """
    n = problem.num_spins
    fields = np.zeros(n)
    pairs, pair_values = np.zeros((0, 2), np.int32), np.zeros(0)
    larger: list[np.ndarray] = []
    coefficients: list[np.ndarray] = []
    for terms in problem.terms:
        indices, values = np.asarray(terms.indices, np.int32), np.asarray(terms.coefficients, np.float64)
        if terms.order == 1:
            fields[indices[:, 0]] = values
        elif terms.order == 2:
            pairs, pair_values = indices, values
        else:
            larger += list(indices)
            coefficients.append(values)
    one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
    by_spin = np.lexsort((other, one))
    sizes = np.array([len(term) for term in larger], np.int64)
    term_spins = np.concatenate([*larger, np.zeros(0, np.int32)]).astype(np.uint32)
    term_numbers = np.repeat(np.arange(len(larger)), sizes)
    entries = np.argsort(term_spins, kind="stable")
    return Tables(
        fields=fields,
        couplings=np.zeros((0, 0)) if problem.coupling_matrix is None else np.array(problem.coupling_matrix),
        pair_start=_starts(np.bincount(one, minlength=n)),
        pair_spins=other[by_spin].astype(np.uint32),
        pair_coefficients=np.concatenate([pair_values, pair_values])[by_spin],
        spin_start=_starts(np.bincount(term_spins, minlength=n)),
        spin_terms=term_numbers[entries].astype(np.uint32),
        term_start=_starts(sizes),
        term_spins=term_spins,
        coefficients=np.concatenate([*coefficients, np.zeros(0)]),
    )


def _starts(sizes: np.ndarray) -> Int32[np.ndarray, " k"]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
