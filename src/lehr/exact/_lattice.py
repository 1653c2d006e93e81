"""A pairwise problem on a grid as arrays: what couples each site to its neighbours."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lehr._types import InputError
from lehr.problem.base import Problem


class Grid(NamedTuple):
    """Coefficients of a problem on an Lx x Ly grid, 0 where there is no term.

    `down[x, y]` couples (x, y) with (x + 1, y) and `right[x, y]` couples (x, y) with (x, y + 1); in the last row and
    column they couple with the first ones, around the torus. Signs are the problem's (`lehr._types`).
    """

    down: Float[np.ndarray, "lx ly"]
    right: Float[np.ndarray, "lx ly"]
    field: Float[np.ndarray, "lx ly"]

    @property
    def wraps(self) -> tuple[bool, bool]:
        """Whether a bond goes around the torus along x, and along y."""
        return bool(self.down[-1].any()), bool(self.right[:, -1].any())


def grid(problem: Problem) -> Grid | None:
    """Fields and neighbour couplings of a problem on a lattice of one or two dimensions (a chain is 1 x N).

    None where the problem has no such lattice, or a term other than a field or a coupling of neighbours. Terms with
    coefficient 0 are no terms. The two bonds around a side of 2 are one bond, in row or column 0.

    >>> import lehr
    >>> glass = grid(lehr.edwards_anderson((3, 4), "pm1", seed=3))
    >>> glass.down.shape, glass.wraps, bool(glass.field.any())
    ((3, 4), (False, False), False)
    """
    if problem.lattice is None or not 1 <= len(problem.lattice.shape) <= 2 or problem.offset.ndim:
        return None
    shape = problem.lattice.shape if len(problem.lattice.shape) == 2 else (1, *problem.lattice.shape)
    down, right, field = (np.zeros(shape) for _ in range(3))
    for terms in problem.terms:
        kept = np.flatnonzero(terms.coefficients)
        indices, coefficients = np.asarray(terms.indices)[kept], np.asarray(terms.coefficients)[kept]
        if not kept.size:
            continue
        if terms.order == 1:
            field.ravel()[indices[:, 0]] = coefficients
        elif terms.order != 2 or not _place(down, right, indices, coefficients):
            return None
    return Grid(down, right, field)


def open_grid(problem: Problem) -> Grid | None:
    """The grid of a problem with open boundaries and no fields; None where it has no such grid."""
    glass = grid(problem)
    return None if glass is None or any(glass.wraps) or glass.field.any() else glass


def required_open_grid(problem: Problem) -> Grid:
    """As `open_grid`. Errors: `InputError` where there is none."""
    glass = open_grid(problem)
    if glass is None:
        raise InputError(
            "Argument `problem` must have couplings of neighbours on a grid with open boundaries and nothing else, "
            f"but {problem.name} has other terms or no such grid."
        )
    return glass


def _place(down: np.ndarray, right: np.ndarray, indices: np.ndarray, coefficients: np.ndarray) -> bool:
    """Write couplings into the arrays; False where a pair is not one of neighbours."""
    sides = down.shape
    first, second = (np.stack(np.unravel_index(end, sides), axis=-1) for end in indices.T)
    step = second - first  # indices are sorted: the first site comes first in row-major order
    for axis, bonds in ((0, down), (1, right)):
        across = step[:, 1 - axis] == 0
        ahead = across & (step[:, axis] == 1)
        around = across & (sides[axis] > 2) & (step[:, axis] == sides[axis] - 1)
        bonds[tuple(first[ahead].T)] = coefficients[ahead]
        bonds[tuple(second[around].T)] = coefficients[around]
        step[ahead | around] = 0  # two different sites are never this far apart: a mark that the pair is placed
    return not step.any()
