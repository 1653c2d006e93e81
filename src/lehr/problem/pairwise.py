"""The common ground of every pairwise format: fields, couplings, Max-Cut weights and labels."""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from lehr._types import InputError
from lehr.problem.base import Problem


def pairwise_problem(
    argument: str,
    linear: np.ndarray,
    pairs: np.ndarray,
    couplings: np.ndarray,
    offset: float,
    *,
    bits: bool = False,
    labels: Sequence[Hashable] | None = None,
    name: str = "problem",
) -> Problem:
    """Problem `offset + sum_i linear[i] v_i + sum_m couplings[m] v_i v_j`, where v is a spin, or a bit if `bits`.

    `pairs[m, 2]` must be distinct. A field of zero is no field, but a coupling of zero is kept. `argument` is what the
    caller calls the input; errors name it.
    """
    if linear.size == 0:
        raise InputError(f"Argument `{argument}` must have at least one variable, but it has none.")
    if not (np.isfinite(linear).all() and np.isfinite(couplings).all() and math.isfinite(offset)):
        raise InputError(f"Argument `{argument}` must hold finite numbers, but some are NaN, infinite or too large.")
    if bits:
        linear, couplings, offset = _from_bits(argument, linear, pairs, couplings, offset)
    fields = np.flatnonzero(linear)
    terms = [(fields[:, None], linear[fields])] if fields.size else []
    if len(pairs):
        terms.append((pairs, couplings))
    return Problem(linear.size, terms, offset=offset, labels=plain_labels(labels), name=name)


def _from_bits(argument, linear, pairs, couplings, offset) -> tuple[np.ndarray, np.ndarray, float]:
    """Fields, couplings and offset of the spins, from those of the bits `x = (1 + s) / 2`."""
    pairs = np.sort(pairs, axis=1)
    by_spins = np.lexsort(pairs.T[::-1])  # one order of summation: a model has the same bits from memory and from file
    pairs, quarter = pairs[by_spins], couplings / 4
    with np.errstate(over="ignore"):
        fields = linear / 2
        for end in pairs.T:
            fields = fields + np.bincount(end, quarter[by_spins], linear.size)
    offset = exact_sum(argument, [offset, *(linear / 2).tolist(), *quarter.tolist()])
    if not np.isfinite(fields).all():
        raise InputError(
            f"Argument `{argument}` overflows double precision as spins; divide its numbers by a power of 2."
        )
    return fields, quarter, offset


def exact_sum(argument: str, numbers: Iterable[float]) -> float:
    """The sum of finite numbers, rounded once."""
    try:
        return math.fsum(numbers)
    except OverflowError:
        raise InputError(
            f"Argument `{argument}` sums to more than double precision holds; divide its numbers by a power of 2."
        ) from None


def fields_and_couplings(problem: Problem, target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fields[N], pairs[m, 2] and couplings[m] of a problem of order 1 and 2; `target` is where they are wanted."""
    if problem.order > 2:
        raise InputError(
            f"Argument `problem` must have order 1 or 2 for {target}, but its order is {problem.order}; "
            f"use `to_polynomial`, or save it as .json."
        )
    fields = np.zeros(problem.num_spins)
    pairs, couplings = np.zeros((0, 2), np.int32), np.zeros(0)
    for terms in problem.terms:
        if terms.order == 1:
            fields[terms.indices[:, 0]] = terms.coefficients
        else:
            pairs, couplings = np.asarray(terms.indices), np.asarray(terms.coefficients)
    return fields, pairs, couplings


def maxcut_couplings(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Couplings `w / 2` and offset `-W / 2`, so that the energy of a state is exactly minus its cut."""
    couplings = weights / 2
    if (2 * couplings != weights).any():
        raise InputError("Argument `weights` must be 0 or at least 1e-300, but one is too small to be halved exactly.")
    return couplings, 0.0 - exact_sum("weights", couplings.tolist())


def maxcut_weights(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Pairs[m, 2] and weights[m] of a problem whose energy is minus a cut; `InputError` for any other."""
    fields, pairs, couplings = fields_and_couplings(problem, "Max-Cut")
    if fields.any() or float(problem.offset) != 0.0 - exact_sum("problem", couplings.tolist()):
        raise InputError(
            "Argument `problem` must have no fields and the offset -W/2 to be a Max-Cut, but it has others; "
            "save it as .json, which holds everything."
        )
    with np.errstate(over="ignore"):
        weights = 2 * couplings
    if not np.isfinite(weights).all():
        raise InputError("Argument `problem` has couplings too large to be doubled; save it as .json.")
    return pairs, weights


def plain_labels(labels: Sequence[Hashable] | None) -> tuple[Hashable, ...] | None:
    """Labels with NumPy scalars as Python's own; None for 0, 1, ..., N-1, which is what no labels means."""
    if labels is None:
        return None
    labels = tuple(map(plain_label, labels))
    if all(type(label) is int and label == number for number, label in enumerate(labels)):
        return None
    return labels


def plain_label(label: Hashable) -> Hashable:
    """The label with NumPy scalars as the equal Python number or string, inside tuples too."""
    if type(label) is tuple:
        return tuple(map(plain_label, label))
    if isinstance(label, np.integer | np.floating | np.str_):
        return label.item()
    return label


def names(problem: Problem) -> Sequence[Hashable]:
    """The labels, or 0, 1, ..., N-1 where there are none."""
    return range(problem.num_spins) if problem.labels is None else problem.labels


def real_numbers(argument: str, values: Any) -> np.ndarray:
    """A sequence of real numbers (Python's, NumPy's, fractions) as float64."""
    try:
        values = np.asarray(values)
        if values.ndim != 1 or values.dtype.kind not in "biufO":
            raise TypeError
        if values.dtype.kind == "O" and any(isinstance(value, str | bytes | None) for value in values):
            raise TypeError
        return values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"Argument `{argument}` must hold real numbers, but it holds something else.") from None


def real_number(argument: str, value: Any) -> float:
    """One finite real number."""
    number = float(real_numbers(argument, [value])[0])
    if not math.isfinite(number):
        raise InputError(f"Argument `{argument}` must hold finite numbers, but it holds {number}.")
    return number
