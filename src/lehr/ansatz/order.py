"""Site orders: in which sequence an ansatz draws the spins, and which neighbours were drawn before."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from lehr._types import ArrayLike, InputError
from lehr.ansatz.base import SiteOrder
from lehr.problem.base import Problem


def raster(shape: tuple[int, ...]) -> SiteOrder:
    """Row by row, every row in the same direction: for shape (Lx, Ly), row x holds the sites (x, 0) ... (x, Ly - 1).

    The spins are drawn as they are numbered (site (x, y) is spin `x * Ly + y`, see `lehr.problem.base.Lattice`).

    >>> raster((2, 3)).sites.tolist()
    [0, 1, 2, 3, 4, 5]
    """
    return SiteOrder.sequential(np.arange(np.prod(shape)))


def zigzag(shape: tuple[int, int]) -> SiteOrder:
    """Row by row in boustrophedon: even rows x run from y = 0 upwards, odd rows from y = Ly - 1 downwards.

    Source: paper A, 2D ansatz.

    >>> zigzag((2, 3)).sites.tolist()
    [0, 1, 2, 5, 4, 3]
    """
    return _boustrophedon(np.arange(np.prod(shape)).reshape(shape))


def closing_zigzag(problem: Problem, shape: tuple[int, int]) -> SiteOrder:
    """Of zigzag order, its mirror images and its transposes, the one in which most sites are the last of some term.

    Such a site is told its spin by the term, the others must be learnt: on a lattice of three-spin terms the direction
    decides. Plain zigzag where it is as good as any.

    >>> closing_zigzag(Problem.from_terms(4, {(0, 1, 2): 1.0, (1, 3): -1.0}), (2, 2)).sites.tolist()
    [0, 1, 3, 2]
    """
    grid = np.arange(np.prod(shape)).reshape(shape)
    mirrored = (seen[::x, ::y] for seen in (grid, grid.T) for x in (1, -1) for y in (1, -1))
    return max(map(_boustrophedon, mirrored), key=lambda order: _num_closing(problem, order))


def _boustrophedon(grid: Int[np.ndarray, "rows columns"]) -> SiteOrder:
    sites = grid.copy()
    sites[1::2] = sites[1::2, ::-1]
    return SiteOrder.sequential(sites.ravel())


def _num_closing(problem: Problem, order: SiteOrder) -> int:
    """Number of sites that are the last of a term."""
    positions = np.asarray(order.positions)
    return len(set().union(*(positions[terms.indices].max(axis=1).tolist() for terms in problem.terms)))


def given(num_spins: int, sites: Sequence[int] | ArrayLike | None = None) -> SiteOrder:
    """The order that draws spin `sites[t]` at position t; None draws the spins as they are numbered.

    Errors: `InputError` unless `sites` holds each of the `num_spins` spins once.

    >>> given(3, [2, 0, 1]).sites.tolist()
    [2, 0, 1]
    """
    sites = np.arange(num_spins) if sites is None else np.asarray(sites)
    if sites.shape != (num_spins,) or not np.array_equal(np.sort(sites), np.arange(num_spins)):
        raise InputError(
            f"Argument `order` must name each of the {num_spins} spins once, but it is {sites.tolist()!r:.80}."
        )
    return SiteOrder.sequential(sites)


def earlier_neighbours(order: SiteOrder, shape: tuple[int, ...]) -> Int[np.ndarray, "n axes"]:
    """For each position t and lattice axis, 1 + the position of the neighbour along that axis drawn before t, else 0.

    Of two such neighbours (none in raster and zigzag order) the one drawn last counts. Open boundaries.

    >>> earlier_neighbours(zigzag((2, 3)), (2, 3)).tolist()
    [[0, 0], [0, 1], [0, 2], [3, 0], [2, 4], [1, 5]]
    """
    drawn = np.asarray(order.positions).reshape(shape)
    columns = []
    for axis in range(len(shape)):
        latest = np.zeros_like(drawn)
        here, there = (tuple(slice(a, b) if k == axis else slice(None) for k in range(len(shape)))
                       for a, b in ((1, None), (None, -1)))  # fmt: skip
        for site, neighbour in ((here, there), (there, here)):
            earlier = np.where(drawn[neighbour] < drawn[site], drawn[neighbour] + 1, 0)
            latest[site] = np.maximum(latest[site], earlier)
        columns.append(latest.ravel()[order.sites])
    return np.stack(columns, axis=1).astype(np.int32)
