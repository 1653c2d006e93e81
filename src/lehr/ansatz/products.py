"""Products of terms that tell a site about its spin, found from the list of terms and the order of drawing alone.

Up to constants, `exp(-beta H) = prod_m (1 - tanh(beta c_m) prod_{i in m} s_i)`. Multiplied out and summed over the
spins drawn after position t, this keeps the sets S of terms in whose product every later spin cancels (`s s = 1`).
Those in which the spin of t remains tell it: alone, S adds `2 K prod(the drawn spins that remain)` to the logit of
ln p(+1)/p(-1), with `tanh K = prod_{m in S} tanh(-beta c_m)`. Three kinds are found here:

* *terms* that close at t, |S| = 1;
* *pairs*, |S| = 2: two terms that close together at a later spin are one constraint on the others, which tells the last
  of these. By the cumulant expansion of the partition function of the undrawn spins, these and the terms are all that
  there is to second order in beta: two terms correlate only if their undrawn spins are the same;
* *constraints*, for sites that hear neither: linear algebra over GF(2) knows which spins are determined by those drawn
  before where every term could be satisfied, however many terms that takes.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Int

from lehr._types import ArrayLike, InputError
from lehr.ansatz.base import SiteOrder
from lehr.gf2 import Echelon, eliminate
from lehr.problem.base import Problem

KINDS = ("terms", "pairs", "constraints")

# Slots by role, and terms of one spin, up to which products of terms are heard: they grow with its square.
MOST_ROLES = 32


class Sites(eqx.Module):
    """The products of one kind that each site hears, by position: their numbers, the slots 1 + position of their other
    spins that are drawn before (0 elsewhere), and whether these are all of them, so that the product *closes* here."""

    numbers: Int[ArrayLike, "*n f"]
    others: Int[ArrayLike, "*n f k"]
    closing: Bool[ArrayLike, "*n f"]


class Products(NamedTuple):
    """All products of one kind: the terms of each (their numbers by order, as in the problem; padded with the number of
    all terms), who hears them, and whether the places of the tables are slots by role."""

    sets: Int[np.ndarray, "p s"]
    sites: Sites
    by_role: bool


class _Heard(NamedTuple):
    """The site at `position` hears product `number`, of which it knows the spins at the positions `drawn`."""

    position: int
    number: int
    pattern: tuple
    drawn: list[int]
    closes: bool


def products_heard(problem: Problem, order: SiteOrder, hears: str = "constraints") -> list[Products]:
    """What the sites of a problem hear when they are drawn in an order: the terms, and the pairs and the constraints
    where there are any. Where a spin is in more than 32 terms, pairs are too many, and the terms are all.

    `hears` is the last of the `KINDS` that they hear. Errors: `InputError` where it is none of them.

    >>> chain = Problem.from_terms(3, {(0, 1): 1.0, (1, 2): -0.5})
    >>> [heard.sets.tolist() for heard in products_heard(chain, SiteOrder.sequential([0, 2, 1]))]
    [[[0], [1]], [[0, 1]]]
    """
    if hears not in KINDS:
        raise InputError(f"Argument `hears` must be one of {', '.join(KINDS)}, but it is {hears!r}.")
    finder = _Finder(problem, order)
    kinds = [finder.terms()]
    sparse = max(Counter(itertools.chain(*finder.placed)).values(), default=0) <= MOST_ROLES
    if sparse and hears != "terms":
        kinds.append(finder.pairs())
    if sparse and hears == "constraints":
        heard = {each.position for _, all_heard in kinds for each in all_heard if each.closes}
        kinds.append(finder.constraints(heard))
    return [_tables(problem, sets, heard) for place, (sets, heard) in enumerate(kinds) if sets or place == 0]


class _Finder:
    """The terms by the positions of their spins, and what they look like from each of these."""

    def __init__(self, problem: Problem, order: SiteOrder):
        members = [spins for terms in problem.terms for spins in np.asarray(terms.indices)]
        positions = np.asarray(order.positions)
        self.placed = [frozenset(positions[spins].tolist()) for spins in members]
        self.shape = None if problem.lattice is None else problem.lattice.shape
        if self.shape is not None:
            self.sites = np.stack(np.unravel_index(np.asarray(order.sites), self.shape), axis=1)

    def terms(self) -> tuple[list[tuple[int, ...]], list[_Heard]]:
        """Every term, heard at each of its spins; it closes at the last."""
        heard = [
            _Heard(t, number, self._pattern(t, (number,)), [p for p in term if p < t], t == max(term))
            for number, term in enumerate(self.placed)
            for t in term
        ]
        return [(number,) for number in range(len(self.placed))], heard

    def pairs(self) -> tuple[list[tuple[int, ...]], list[_Heard]]:
        """Every two terms that close at the same spin: it cancels, and the last of the others is told."""
        closing: dict[int, list[int]] = {}
        for number, term in enumerate(self.placed):
            closing.setdefault(max(term), []).append(number)
        sets = [pair for numbers in closing.values() for pair in itertools.combinations(numbers, 2)]
        return sets, [self._product(number, pair) for number, pair in enumerate(sets)]

    def constraints(self, heard: set[int]) -> tuple[list[tuple[int, ...]], list[_Heard]]:
        """One product for each position that is determined by earlier ones and not among the `heard`."""
        tops = [max(term) for term in self.placed]
        rows = [sum(1 << p for p in term) for term in self.placed]
        echelon = eliminate(rows, [1 << number for number in range(len(rows))], len(rows))
        sets = [_few_terms(echelon, t, tops) for t in sorted(set(echelon.pivots) - heard)]
        return sets, [self._product(number, terms) for number, terms in enumerate(sets)]

    def _product(self, number: int, terms: tuple[int, ...]) -> _Heard:
        """A product of terms, heard at the last spin that remains."""
        remaining: frozenset[int] = frozenset()
        for term in terms:
            remaining ^= self.placed[term]
        t = max(remaining)
        # All constraints have one role: what they tell is the same whatever they are made of.
        pattern = self._pattern(t, terms) if len(terms) < 3 else ()
        return _Heard(t, number, pattern, sorted(remaining - {t}), True)

    def _pattern(self, t: int, terms: Iterable[int]) -> tuple:
        """Where on the lattice (taken as a torus) the spins of some terms are, seen from position t; without a lattice,
        how many they are."""
        if self.shape is None:
            return tuple(sorted(len(self.placed[term]) for term in terms))
        away = ((self.sites[sorted(self.placed[term])] - self.sites[t]) % self.shape for term in terms)
        return tuple(sorted(tuple(sorted(map(tuple, each.tolist()))) for each in away))


def _few_terms(echelon: Echelon, t: int, tops: list[int]) -> tuple[int, ...]:
    """Few terms whose product determines position t: adding what says nothing about t and later spins, one set after
    the other, as long as that makes the sum shorter."""
    # A term that closes before t may be left out for the same reason.
    beyond = sum(1 << number for number, top in enumerate(tops) if top > t)
    lower = [row for column, row in echelon.pivots.items() if column < t]
    others = {row & beyond for row in (*lower, *echelon.residues)}
    chosen = echelon.pivots[t] & beyond
    while True:
        shortest = min((chosen ^ other for other in others), key=int.bit_count, default=chosen)
        if shortest.bit_count() >= chosen.bit_count():
            break
        chosen = shortest
    return tuple(number for number in range(len(tops)) if chosen >> number & 1)


def _tables(problem: Problem, sets: list[tuple[int, ...]], heard: list[_Heard]) -> Products:
    """The products of one kind as arrays. A role is a pattern, and the how-manieth of this pattern at its site."""
    alike, present, roles, places = Counter(), Counter(), [], []
    for each in heard:
        roles.append((each.pattern, alike[each.position, each.pattern]))
        places.append(present[each.position])
        alike[each.position, each.pattern] += 1
        present[each.position] += 1
    names = {role: slot for slot, role in enumerate(sorted(set(roles)))}
    by_role = len(names) <= MOST_ROLES
    if by_role:
        places = [names[role] for role in roles]
    n, width = problem.num_spins, len(names) if by_role else 1 + max(places)
    sites = Sites(
        numbers=np.full((n, width), len(sets), np.int32),
        others=np.zeros((n, width, max((len(each.drawn) for each in heard), default=0)), np.int32),
        closing=np.zeros((n, width), bool),
    )
    for place, each in zip(places, heard, strict=True):
        sites.numbers[each.position, place] = each.number
        sites.others[each.position, place, : len(each.drawn)] = 1 + np.array(each.drawn, int)
        sites.closing[each.position, place] = each.closes
    padded = np.full((len(sets), max(map(len, sets), default=1)), problem.num_terms, np.int32)
    for row, terms in zip(padded, sets, strict=True):
        row[: len(terms)] = terms
    return Products(padded, sites, by_role)
