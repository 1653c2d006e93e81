"""Ground states of planar spin glasses on open grids, by minimum-weight matching of frustrated plaquettes."""

from typing import NamedTuple

import numpy as np
import scipy  # whose parts are loaded when they are first used
from jaxtyping import Bool, Float, Int, Int8

from lehr.exact._lattice import Grid, open_grid, required_open_grid
from lehr.exact._pairing import Pairs, best_pairing
from lehr.problem.base import Problem

_NEAREST = 10
# Rows of distances that are held at once, in numbers.
_BLOCK = 2**24


def applies(problem: Problem) -> bool:
    """Whether `ground_state` solves this problem: a grid with open boundaries, neighbour couplings and no fields.

    >>> import lehr
    >>> applies(lehr.edwards_anderson(4, seed=1)), applies(lehr.edwards_anderson(4, boundary="periodic", seed=1))
    (True, False)
    """
    return open_grid(problem) is not None


def ground_state(problem: Problem) -> tuple[float, Int8[np.ndarray, " num_spins"]]:
    """Ground energy and a ground state of an open two-dimensional spin glass of any size and disorder.

    The bonds that a state leaves unsatisfied are paths on the dual grid which end at frustrated plaquettes or outside;
    the ground state has the paths of least total weight, which a matching finds. Its optimality is certified
    (`lehr.exact._pairing`). Seconds for 64 x 64 spins.

    Args:
        problem: couplings of neighbours on an open Lx x Ly grid, for which `applies` holds; couplings may be 0 or
            missing.

    Returns:
        The energy, offset included, in the problem's units, and the state, N spins of +1 and -1. The state is optimal
        for couplings rounded to about 1e-16 of the largest distance on the grid.

    Raises:
        InputError: where the problem has a periodic boundary, fields, other terms or no grid.

    Source: Bieche, Maynard, Rammal and Uhry, J. Phys. A 13, 2553 (1980).

    >>> import lehr
    >>> energy, spins = ground_state(lehr.edwards_anderson(10, seed=1))
    >>> round(energy / 100, 10), spins.shape
    (-0.7865040168, (100,))
    """
    glass = required_open_grid(problem)
    dual = _dual(glass)
    frustrated = np.zeros(dual.outside + 1, np.int64)
    np.add.at(frustrated, dual.faces, (dual.coupling > 0)[:, None])
    plaquettes = _Plaquettes(dual, np.flatnonzero(frustrated[:-1] % 2))
    walls = plaquettes.walls(best_pairing(plaquettes)) if plaquettes.size else np.zeros(len(dual.coupling), bool)
    spins = _spins(glass, (dual.coupling > 0) ^ walls)
    return float(problem.energy(spins)), spins


class _Dual(NamedTuple):
    """The dual grid: bond m of the spins separates the two faces `faces[m]`, sorted; `outside` is the last face."""

    faces: Int[np.ndarray, "bonds 2"]
    coupling: Float[np.ndarray, " bonds"]
    outside: int


def _dual(glass: Grid) -> _Dual:
    """Bonds in the order of `glass.down[:-1]`, then `glass.right[:, :-1]`, in units of the strongest one."""
    rows, columns = glass.down.shape
    outside = (rows - 1) * (columns - 1)
    face = np.full((rows + 1, columns + 1), outside)
    face[1:-1, 1:-1] = np.arange(outside).reshape(rows - 1, columns - 1)
    left, right = face[1:-1, :-1].ravel(), face[1:-1, 1:].ravel()
    above, below = face[:-1, 1:-1].ravel(), face[1:, 1:-1].ravel()
    faces = np.stack([np.concatenate([left, above]), np.concatenate([right, below])], axis=1)
    coupling = np.concatenate([glass.down[:-1].ravel(), glass.right[:, :-1].ravel()])
    return _Dual(np.sort(faces, axis=1), coupling / (np.abs(coupling).max(initial=0) or 1.0), outside)


class _Plaquettes:
    """The frustrated plaquettes as points to be paired; each can leave for the outside instead.

    A pair gains `exit[a] + exit[b] - distance(a, b)` over two paths to the outside. Distances are those of paths
    within the grid: a path across the outside is two exits and gains nothing, and among nearest neighbours it would
    crowd out pairs that do.
    """

    def __init__(self, dual: _Dual, where: Int[np.ndarray, " size"]):
        self.size, self.where, self.dual = len(where), where, dual
        cheapest = np.lexsort((np.abs(dual.coupling), *dual.faces.T))
        # A corner plaquette has two bonds to the outside, and sparse matrices would add them up.
        keys = dual.faces @ [dual.outside + 1, 1]
        self.keys, first = np.unique(keys[cheapest], return_index=True)
        self.bonds = cheapest[first]
        self.graph = self._graph(self.bonds)
        self.inside = self._graph(self.bonds[dual.faces[self.bonds, 1] < dual.outside])
        exits, self.way_out = scipy.sparse.csgraph.dijkstra(
            self.graph, directed=False, indices=dual.outside, return_predecessors=True
        )
        self.exit = exits[where]
        self.reach, self.known, self.distances = -1.0, np.empty((0, 2), np.int64), np.empty(0)

    def _graph(self, bonds: Int[np.ndarray, " kept"]) -> "scipy.sparse.csr_array":
        size = self.dual.outside + 1
        return scipy.sparse.csr_array(
            (np.abs(self.dual.coupling[bonds]), tuple(self.dual.faces[bonds].T)), (size, size)
        )

    def _blocks(self, sources: Int[np.ndarray, " sources"], limit: float, predecessors: bool = False):
        """Slices of `sources` with their distances to all faces, and the predecessors on the way."""
        rows = max(1, _BLOCK // (self.dual.outside + 1))
        for start in range(0, len(sources), rows):
            part = slice(start, start + rows)
            yield (
                part,
                scipy.sparse.csgraph.dijkstra(
                    self.inside,
                    directed=False,
                    indices=sources[part],
                    limit=limit,
                    return_predecessors=predecessors,
                ),
            )

    def _look(self, reach: float) -> None:
        """Find all pairs with a positive gain that are at most `reach` apart."""
        farthest = 2 * float(self.exit.max())  # beyond it two exits are better
        if min(reach, farthest) <= self.reach:
            return
        self.reach = min(1.25 * reach, farthest)
        known, distances = [], []
        for part, block in self._blocks(self.where, self.reach):
            apart = block[:, self.where]
            first, second = np.nonzero(apart < self.exit[part, None] + self.exit)
            later = first + part.start < second
            first, second = first[later], second[later]
            known.append(np.stack([first + part.start, second], axis=1))
            distances.append(apart[first, second])
        self.known, self.distances = np.concatenate(known), np.concatenate(distances)

    def _select(self, chosen: Bool[np.ndarray, " known"]) -> Pairs:
        pairs = self.known[chosen]
        return pairs, self.exit[pairs].sum(axis=1) - self.distances[chosen]

    def nearest(self) -> Pairs:
        """For each point its `_NEAREST` nearest ones, or all that are no farther than its way out."""
        reach = float(np.median(np.abs(self.dual.coupling)))
        while True:
            self._look(reach)
            neighbours = np.bincount(self.known.ravel(), minlength=self.size)
            if ((neighbours >= _NEAREST) | (2 * self.exit <= self.reach)).all() or self.reach >= 2 * self.exit.max():
                break
            reach = 1.5 * self.reach + 1e-3 * self.exit.max()
        ends = self.known.T.ravel()
        by_end = np.lexsort((np.tile(self.distances, 2), ends))
        rank = np.empty(len(ends), np.int64)
        rank[by_end] = np.arange(len(ends)) - np.searchsorted(ends[by_end], ends[by_end])
        return self._select(rank.reshape(2, -1).min(axis=0) < _NEAREST)

    def better_than(self, prices: Float[np.ndarray, " size"]) -> Pairs:
        """All pairs that gain more than the two prices: those closer than the sum of two radii `exit - price`."""
        radius = self.exit - prices
        self._look(2 * float(radius.max()))
        return self._select(self.distances < radius[self.known].sum(axis=1))

    def walls(self, pairs: Int[np.ndarray, "matched 2"]) -> Bool[np.ndarray, " bonds"]:
        """Bonds on an odd number of the paths between the pairs and from all others to the outside."""
        odd = np.zeros(len(self.dual.coupling), np.int64)
        alone = np.setdiff1d(np.arange(self.size), pairs)
        self._walk(odd, np.broadcast_to(self.way_out, (len(alone), len(self.way_out))), self.where[alone])
        for part, (_, back) in self._blocks(self.where[pairs[:, 0]], np.inf, predecessors=True):
            self._walk(odd, back, self.where[pairs[part, 1]])
        return odd % 2 == 1

    def _walk(
        self, odd: Int[np.ndarray, " bonds"], back: Int[np.ndarray, "paths faces"], face: Int[np.ndarray, " paths"]
    ) -> None:
        """Count in `odd` the bonds that are crossed on the way back from `face` to the start of each path."""
        path = np.arange(len(face))
        while path.size:
            before = back[path, face]
            going = before >= 0  # a negative predecessor marks the start
            path, face, before = path[going], face[going], before[going].astype(np.int64)
            crossed = np.minimum(face, before) * (self.dual.outside + 1) + np.maximum(face, before)
            np.add.at(odd, self.bonds[np.searchsorted(self.keys, crossed)], 1)
            face = before


def _spins(glass: Grid, antiparallel: Bool[np.ndarray, " bonds"]) -> Int8[np.ndarray, " num_spins"]:
    """The state with the first spin up whose neighbours differ exactly at the given bonds."""
    rows, columns = glass.down.shape
    product = np.where(antiparallel, -1, 1).astype(np.int8)
    down, right = product[: (rows - 1) * columns].reshape(rows - 1, columns), product[(rows - 1) * columns :]
    spins = np.ones((rows, columns), np.int8)
    spins[1:, 0] = np.cumprod(down[:, 0])
    spins[:, 1:] = spins[:, :1] * np.cumprod(right.reshape(rows, columns - 1), axis=1)
    if not (spins[1:] * spins[:-1] == down).all():
        raise RuntimeError("The walls do not close around the plaquettes; please report the problem.")
    return spins.ravel()
