"""Maximum-weight matching of points on few pairs, with a certificate that no pair left out can improve it.

The dual linear program gives each point a price; where the prices of two points add up to the gain of their pair, for
all pairs, the sum of the prices bounds every matching from above. Taking a pair costs at least its prices minus its
gain, so a pair whose cost is above the slack (bound minus the matching found) is in no better matching. The pairs
below it are few, and the matching on them is the matching on all. A fixed number of nearest neighbours is no such
guarantee: on 40x40 spin glasses, eight of them miss the optimum now and then.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import scipy  # whose parts are loaded when they are first used
from jaxtyping import Bool, Float, Int
from rustworkx import PyGraph, max_weight_matching

# Gains become whole numbers of this many bits: finer than float64 of the largest, far below Rust's 128 bits.
_GAIN_BITS = 60
# Cuts go on while a round of them still lowers the bound by this share of what all rounds did.
_WORTH_CUTTING = 0.02

Pairs = tuple[Int[np.ndarray, "m 2"], Float[np.ndarray, " m"]]


@runtime_checkable
class Points(Protocol):
    """Points to be paired, and the gain of each pair."""

    size: int

    def nearest(self) -> Pairs:
        """Pairs [m, 2] and gains to begin with; any selection will do."""
        ...

    def better_than(self, prices: Float[np.ndarray, " size"]) -> Pairs:
        """All pairs whose gain is positive and larger than the sum of the prices of the two points."""
        ...


def best_pairing(points: Points) -> Int[np.ndarray, "matched 2"]:
    """Disjoint pairs of points with the largest sum of gains that any disjoint pairs of these points have.

    Source: J. Edmonds, J. Res. NBS 69B, 125 (1965), for the odd-set inequalities; W. Cook and A. Rohe, INFORMS J.
    Comput. 11, 138 (1999), for pricing a sparse subgraph.
    """
    graph = _Graph(points.size)
    graph.add(*points.nearest())
    prices, bound = graph.prices(cuts=True)
    while graph.add(*points.better_than(prices)):
        prices, bound = graph.prices(cuts=False)
    while True:
        matched = graph.matching()
        rounding = 1e-12 * (abs(bound) + 1e-300)
        slack = max(bound - graph.gains[matched].sum(), 0.0) + rounding
        if not graph.add(*points.better_than(prices - slack / 2)):
            return graph.pairs[matched]


class _Graph:
    """Pairs a < b, sorted and distinct, and the odd sets of points found so far."""

    def __init__(self, size: int):
        self.size = size
        self.pairs = np.empty((0, 2), np.int64)
        self.gains = np.empty(0)
        self.odd_sets: list[Bool[np.ndarray, " size"]] = []

    def add(self, pairs: Int[np.ndarray, "m 2"], gains: Float[np.ndarray, " m"]) -> int:
        """Add the pairs that are not there yet; how many were new."""
        before = len(self.gains)
        pairs = np.concatenate([self.pairs, np.sort(pairs, axis=1)])
        _, first = np.unique(pairs @ [self.size, 1], return_index=True)
        self.pairs, self.gains = pairs[first], np.concatenate([self.gains, gains])[first]
        return len(self.gains) - before

    def matching(self) -> Int[np.ndarray, " matched"]:
        """Which pairs the maximum-weight matching of this graph takes."""
        if not self.gains.size:
            return np.empty(0, np.int64)
        whole = np.rint(self.gains * (2.0**_GAIN_BITS / self.gains.max())).astype(np.int64)
        network = PyGraph(multigraph=False)
        network.add_nodes_from(range(self.size))
        network.extend_from_weighted_edge_list(list(zip(*self.pairs.T.tolist(), whole.tolist(), strict=True)))
        chosen = np.sort(np.array(list(max_weight_matching(network, weight_fn=int))), axis=1)
        return np.searchsorted(self.pairs @ [self.size, 1], np.sort(chosen @ [self.size, 1]))

    def prices(self, cuts: bool) -> tuple[Float[np.ndarray, " size"], float]:
        """Prices of the points, and the upper bound of all matchings of this graph that they give.

        With `cuts`, odd sets are added to the known ones while they tighten the bound.
        """
        if not self.gains.size:
            return np.zeros(self.size), 0.0
        bounds = []
        while True:
            rows, limits = self._inequalities()
            program = scipy.optimize.linprog(-self.gains, rows, limits, method="highs-ds")
            if program.status != 0:
                break
            bounds.append(-program.fun)
            stalls = len(bounds) > 1 and bounds[-2] - bounds[-1] <= _WORTH_CUTTING * (bounds[0] - bounds[-1])
            if not cuts or stalls or not self._cut(program.x):
                break
        duals = np.zeros(len(limits)) if program.status != 0 else np.maximum(-program.ineqlin.marginals, 0)
        # The solver's duals hold to its tolerance only: raising prices to cover what is missing makes them exact.
        missing = np.maximum(self.gains - rows.T @ duals, 0)
        np.maximum.at(raised := np.zeros(self.size), self.pairs[:, 0], missing)
        return duals[: self.size] + raised, float(limits @ duals + raised.sum())

    def _inequalities(self) -> tuple["scipy.sparse.csr_array", Float[np.ndarray, " rows"]]:
        """Each point is in at most one pair, and an odd set of k points holds at most (k - 1) / 2 pairs."""
        count = len(self.gains)
        ends = (self.pairs.T.ravel(), np.tile(np.arange(count), 2))
        rows = [scipy.sparse.coo_array((np.ones(2 * count), ends), (self.size, count))]
        for members in self.odd_sets:
            rows.append(scipy.sparse.coo_array(np.where(members[self.pairs].all(axis=1), 1.0, 0.0)[None, :]))
        limits = [1.0] * self.size + [(members.sum() - 1) / 2 for members in self.odd_sets]
        return scipy.sparse.csr_array(scipy.sparse.vstack(rows)), np.array(limits)

    def _cut(self, taken: Float[np.ndarray, " m"]) -> bool:
        """Add the odd sets whose inequality a fractional matching violates; whether there were any.

        Only the connected components of its fractional pairs are tried. A set that is missed costs tightness of the
        bound, and with it time, never correctness.
        """
        fractional = self.pairs[np.abs(taken - np.rint(taken)) > 1e-6]
        ends = (np.ones(len(fractional)), tuple(fractional.T))
        links = scipy.sparse.coo_array(ends, (self.size, self.size))
        _, component = scipy.sparse.csgraph.connected_components(links, directed=False)
        sizes = np.bincount(component)
        within = component[self.pairs[:, 0]] == component[self.pairs[:, 1]]
        load = np.bincount(component[self.pairs[within, 0]], taken[within], len(sizes))
        violated = np.flatnonzero((sizes > 1) & (sizes % 2 == 1) & (load > (sizes - 1) / 2 + 1e-6))
        self.odd_sets += [component == number for number in violated]
        return violated.size > 0
