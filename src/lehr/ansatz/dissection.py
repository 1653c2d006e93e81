"""Nested dissection: the order in which sparse problems are drawn, and the exact conditioning set of every spin.

Drawing the spins one after the other is Cholesky elimination read backwards: the spins on which the conditional of
spin i depends exactly (the drawn spins adjacent to the connected component of undrawn spins that contains i) are the
row indices of column i of the Cholesky factor of the interaction graph. So conditioning sets, independent branches
and levels all come from one symbolic factorisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pymetis
from jaxtyping import Int

from lehr._types import InputError
from lehr.ansatz.base import SiteOrder
from lehr.problem.base import Lattice, Problem


@dataclass(frozen=True)
class ConditioningSets:
    """A drawing order with what each spin depends on.

    `order` lists the spins so that every subtree is contiguous; `parents[t]` are the *positions* of the spins in the
    exact conditioning set of position t, ascending; `above[t]` is the last of them (-1 at a root): the tree in which
    different branches are independent given what lies above.
    """

    order: SiteOrder
    parents: list[Int[np.ndarray, " _"]]
    above: Int[np.ndarray, " n"]

    @property
    def starts(self) -> Int[np.ndarray, " n1"]:
        """Number the *entries*, every position with each of its parents, one position after the other: entry
        `starts[t] + k` is that of t and `parents[t][k]`."""
        return np.cumsum([0, *map(len, self.parents)])


def pair_entries(problem: Problem, sets: ConditioningSets) -> Int[np.ndarray, "m 2"]:
    """The entry of each pair term, and the position at which it closes."""
    pairs = [np.asarray(terms.indices) for terms in problem.terms if terms.order == 2]
    indices = pairs[0] if pairs else np.zeros((0, 2), int)
    parent, child = np.sort(np.asarray(sets.order.positions, np.int64)[indices], axis=1).T
    n = problem.num_spins
    keys = np.repeat(np.arange(n), np.diff(sets.starts)) * n + np.concatenate([np.zeros(0, int), *sets.parents])
    return np.stack([np.searchsorted(keys, child * n + parent), child], axis=1)


def neighbours(problem: Problem) -> list[set[int]]:
    """Spins that share a term with each spin."""
    adjacent: list[set[int]] = [set() for _ in range(problem.num_spins)]
    for terms in problem.terms:
        for spins in np.asarray(terms.indices).tolist():
            for spin in spins:
                adjacent[spin].update(spins)
    for spin, others in enumerate(adjacent):
        others.discard(spin)
    return adjacent


def conditioning_sets(problem: Problem, sites: Sequence[int] | Int[np.ndarray, " n"]) -> ConditioningSets:
    """Exact conditioning sets of `problem` drawn in the order `sites`, by symbolic elimination from the last to the
    first.

    The returned order may interleave independent branches differently (each subtree becomes contiguous), which changes
    no conditioning set.

    >>> chain = Problem.from_terms(5, {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0, (3, 4): 1.0})
    >>> sets = conditioning_sets(chain, [2, 1, 3, 0, 4])
    >>> [sets.order.sites[p].tolist() for p in sets.parents]
    [[], [2], [1], [2], [3]]
    """
    n = problem.num_spins
    if sorted(np.asarray(sites).tolist()) != list(range(n)):
        raise InputError(f"Argument `sites` must list each of the {n} spins once, but it does not.")
    sites = np.asarray(sites)
    position = np.argsort(sites)
    adjacent = neighbours(problem)
    parents: list[set[int]] = [{p for p in position[list(adjacent[s])].tolist() if p < t} for t, s in enumerate(sites)]
    above = np.full(n, -1)
    children: list[list[int]] = [[] for _ in range(n)]
    for t in range(n - 1, -1, -1):
        if parents[t]:
            above[t] = max(parents[t])
            children[above[t]].append(t)
            parents[above[t]] |= parents[t] - {int(above[t])}

    preorder = []
    size = np.ones(n, dtype=int)
    for t in range(n - 1, -1, -1):
        if above[t] >= 0:
            size[above[t]] += size[t]
    stack = [t for t in range(n - 1, -1, -1) if above[t] < 0]
    while stack:
        t = stack.pop()
        preorder.append(t)
        stack.extend(children[t])  # children are listed last first, so the first drawn is popped first
    new = np.argsort(preorder)
    ends = np.arange(n) + size[preorder]
    return ConditioningSets(
        order=SiteOrder(sites[preorder], ends),
        parents=[np.sort(new[list(parents[t])]).astype(np.int64) for t in preorder],
        above=np.array([new[above[t]] if above[t] >= 0 else -1 for t in preorder]),
    )


def nested_dissection(problem: Problem) -> Int[np.ndarray, " n"]:
    """Drawing order by nested dissection: separators first, then the parts they leave, recursively.

    Lattices of at most two dimensions are cut by geometry, other sparse graphs by METIS; on a graph in which nearly
    all spins interact every order is equivalent and the given one is kept.

    >>> nested_dissection(Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 1.0}, lattice=Lattice((3,)))).tolist()
    [1, 2, 0]
    """
    if problem.lattice is not None and len(problem.lattice.shape) <= 2 and _is_local(problem):
        return np.array(_cut_lattice(problem.lattice))
    adjacent = neighbours(problem)
    if sum(map(len, adjacent)) > problem.num_spins**2 / 2:
        return np.arange(problem.num_spins)
    elimination, _ = pymetis.nested_dissection(adjacency=[sorted(others) for others in adjacent])
    return np.asarray(elimination)[::-1].astype(np.int64)


def _is_local(problem: Problem) -> bool:
    """Does every term fit into a box of two sites a side (across the boundary where it is periodic)?"""
    assert problem.lattice is not None
    shape = np.array(problem.lattice.shape)
    for terms in problem.terms:
        if not terms.coefficients.size:
            continue
        sites = np.stack(np.unravel_index(np.asarray(terms.indices), problem.lattice.shape))
        apart = np.abs(sites[..., :, None] - sites[..., None, :])
        if problem.lattice.boundary == "periodic":
            apart = np.minimum(apart, shape[:, None, None, None] - apart)
        if apart.max() > 1:
            return False
    return True


def _cut_lattice(lattice: Lattice) -> list[int]:
    lx, ly = (*lattice.shape, 1)[:2]
    order: list[int] = []
    # A line across each periodic direction opens the torus.
    x0 = int(lattice.boundary == "periodic" and lx > 2)
    y0 = int(lattice.boundary == "periodic" and ly > 2)
    if x0:
        order += range(ly)
    if y0:
        order += [x * ly for x in range(x0, lx)]
    boxes = [(x0, lx, y0, ly)]
    while boxes:
        x_from, x_to, y_from, y_to = boxes.pop()
        if x_from >= x_to or y_from >= y_to:
            continue
        if x_to - x_from >= y_to - y_from:
            cut = (x_from + x_to) // 2
            order += [cut * ly + y for y in range(y_from, y_to)]
            boxes += [(x_from, cut, y_from, y_to), (cut + 1, x_to, y_from, y_to)]
        else:
            cut = (y_from + y_to) // 2
            order += [x * ly + cut for x in range(x_from, x_to)]
            boxes += [(x_from, x_to, y_from, cut), (x_from, x_to, cut + 1, y_to)]
    return order
