"""Layout of exact conditioning sets as blocks of dense arithmetic.

A separator of length l, drawn spin by spin, shares nearly all of its parents: the boundary of its component. So runs
of spins in the tree become *blocks*: one small matrix product with the boundary, then a triangular recursion inside.
Blocks at one depth of the tree are independent and are drawn together; depths of similar shape are padded to one
shape and scanned, so that the compiled program does not grow with the number of spins.
"""

from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Int

from lehr._types import ArrayLike
from lehr.ansatz.dissection import ConditioningSets
from lehr.problem.base import Problem

_LONGEST_RUN = 48
# Cost model for merging depths: multiply-adds that one compiled bucket, and one sequential step, are worth.
_BUCKET_COST = 20_000
_STEP_COST = 1_000


class Closing(eqx.Module):
    """Terms of one order k >= 3 that close at each spin of a bucket: `terms[G, C, l, T]` numbers them (the number of
    all such terms where padded) and `others[G, C, l, T, k - 1]` are the local slots of their other spins."""

    terms: Int[ArrayLike, "g c l t"]
    others: Int[ArrayLike, "g c l t k"]


class Bucket(eqx.Module):
    """G depths of C independent blocks each, padded to l spins and p boundary spins.

    `rows[G, C, l]` are positions (n where padded) and `boundary[G, C, p]` likewise. A block's local slots are its p
    boundary spins followed by its l own spins; `entries[G, C, l, p + l]` numbers spin and slot where the slot is
    in the spin's exact conditioning set (`ConditioningSets.starts`; the number of all entries where it is not).
    """

    rows: Int[ArrayLike, "g c l"]
    boundary: Int[ArrayLike, "g c p"]
    entries: Int[ArrayLike, "g c l k"]
    closing: tuple[Closing, ...]


class _Block(NamedTuple):
    rows: list[int]
    boundary: list[int]


class _Shape(NamedTuple):
    blocks: int
    rows: int
    boundary: int

    def join(self, other: "_Shape") -> "_Shape":
        return _Shape(*map(max, self, other))

    @property
    def cost(self) -> int:
        return self.rows * (_STEP_COST + self.blocks * (self.rows + self.boundary))


def block_layout(problem: Problem, sets: ConditioningSets) -> tuple[Bucket, ...]:
    """Buckets of blocks for a problem and its conditioning sets, in the order in which they must be drawn."""
    depths = _blocks_by_depth(sets)
    return tuple(_bucket(problem, sets, depths[start:stop]) for start, stop in _merge(depths))


def _blocks_by_depth(sets: ConditioningSets) -> list[list[_Block]]:
    """Runs of single children in the tree, cut to a bounded length, grouped by their depth in the tree of runs."""
    n = len(sets.above)
    num_children = np.bincount(sets.above[sets.above >= 0], minlength=n)
    run_of = np.zeros(n, dtype=int)
    runs: list[list[int]] = []
    depth: list[int] = []
    for t in range(n):
        up = sets.above[t]
        if up >= 0 and num_children[up] == 1 and len(runs[run_of[up]]) < _LONGEST_RUN:
            run_of[t] = run_of[up]
            runs[run_of[t]].append(t)
        else:
            run_of[t] = len(runs)
            runs.append([t])
            depth.append(depth[run_of[up]] + 1 if up >= 0 else 0)
    by_depth: list[list[_Block]] = [[] for _ in range(max(depth) + 1)]
    for rows, level in zip(runs, depth, strict=True):
        boundary = {p for t in rows for p in sets.parents[t].tolist()} - set(rows)
        by_depth[level].append(_Block(rows, sorted(boundary)))
    return by_depth


def _merge(depths: list[list[_Block]]) -> list[tuple[int, int]]:
    """Ranges of consecutive depths that share one padded shape at the least total cost (dynamic programming)."""
    shapes = [
        _Shape(len(blocks), max(len(b.rows) for b in blocks), max(len(b.boundary) for b in blocks)) for blocks in depths
    ]
    best = [0.0] + [np.inf] * len(shapes)
    start_of = [0] * (len(shapes) + 1)
    for stop in range(1, len(shapes) + 1):
        shape = shapes[stop - 1]
        for start in range(stop - 1, -1, -1):
            shape = shape.join(shapes[start])
            cost = best[start] + _BUCKET_COST + (stop - start) * shape.cost
            if cost < best[stop]:
                best[stop], start_of[stop] = cost, start
    ranges = []
    stop = len(shapes)
    while stop:
        ranges.append((start_of[stop], stop))
        stop = start_of[stop]
    return ranges[::-1]


def _bucket(problem: Problem, sets: ConditioningSets, depths: list[list[_Block]]) -> Bucket:
    n = problem.num_spins
    shape = (len(depths), max(map(len, depths)))
    num_rows = max(len(b.rows) for blocks in depths for b in blocks)
    num_boundary = max(1, *(len(b.boundary) for blocks in depths for b in blocks))
    rows = np.full((*shape, num_rows), n, dtype=np.int32)
    boundary = np.full((*shape, num_boundary), n, dtype=np.int32)
    starts = sets.starts
    entries = np.full((*shape, num_rows, num_boundary + num_rows), starts[-1], dtype=np.int32)
    where = np.full((n, 3), -1)  # bucket coordinates of each position drawn here
    for g, blocks in enumerate(depths):
        for c, block in enumerate(blocks):
            rows[g, c, : len(block.rows)] = block.rows
            boundary[g, c, : len(block.boundary)] = block.boundary
            slot = _slots(block, num_boundary)
            for r, t in enumerate(block.rows):
                entries[g, c, r, [slot[p] for p in sets.parents[t].tolist()]] = np.arange(starts[t], starts[t + 1])
                where[t] = g, c, r

    slots = {(g, c): _slots(block, num_boundary) for g, blocks in enumerate(depths) for c, block in enumerate(blocks)}
    position = np.asarray(sets.order.positions)
    closing = []
    for terms in problem.terms:
        if terms.order > 2:
            at = np.sort(position[np.asarray(terms.indices)], axis=1)
            here = [(m, *where[t].tolist()) for m, t in enumerate(at[:, -1]) if where[t, 0] >= 0]
            closing.append(_closing(here, at, slots, rows.shape))
    return Bucket(rows, boundary, entries, tuple(closing))


def _slots(block: _Block, num_boundary: int) -> dict[int, int]:
    """Local slot of every position that a block knows."""
    slots = {p: slot for slot, p in enumerate(block.boundary)}
    return slots | {t: num_boundary + r for r, t in enumerate(block.rows)}


def _closing(here: list[tuple[int, ...]], at: np.ndarray, slots: dict, shape: tuple[int, ...]) -> Closing:
    count = np.zeros(shape, dtype=int)
    for _, *cell in here:
        count[tuple(cell)] += 1
    terms = np.full((*shape, int(count.max())), len(at), dtype=np.int32)
    others = np.zeros((*terms.shape, at.shape[1] - 1), dtype=np.int32)
    count[...] = 0
    for m, g, c, r in here:
        entry = (g, c, r, count[g, c, r])
        terms[entry] = m
        others[entry] = [slots[g, c][p] for p in at[m, :-1].tolist()]
        count[g, c, r] += 1
    return Closing(terms, others)
