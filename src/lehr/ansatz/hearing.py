"""What a site hears of the Hamiltonian: the terms that it is in, as far as their spins are drawn."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lehr._types import ArrayLike, InputError, is_traced
from lehr.ansatz.base import SiteOrder
from lehr.problem.base import Problem

# Sites in more terms than this hear their field only, not every term.
_MOST_ROLES = 32


class Sites(eqx.Module):
    """The terms of each site, by position: their numbers, the slots 1 + position of their other spins that are drawn
    before (0 elsewhere), and whether these are all of them, so that the term *closes* at the site."""

    terms: Int[ArrayLike, "*n f"]
    others: Int[ArrayLike, "*n f k"]
    closing: Bool[ArrayLike, "*n f"]


class Hearing(eqx.Module):
    """The coefficients of the problem, the inverse temperature beta, and the terms of each site.

    A site hears two things. Its *field*, `-2 beta sum c prod s` over the terms that close at it (without its own spin):
    as the logit of ln p(+1)/p(-1) it is exact to first order at high temperature, and exact where every spin closes
    terms with independent signs. And every *term*, `c prod s` of the spins drawn so far in units of the
    root-mean-square coefficient, closed and open ones apart, in slots by role: on a lattice, terms at the same
    displacement have the same slot at every site, so that weights which all sites share mean the same everywhere.
    Sites in more than 32 roles hear their field only.

    Sources: TwoBo, arXiv:2402.16579, for pairs; here for terms of any order.
    """

    sites: Sites
    coefficients: Float[ArrayLike, " m1"]
    inverse_temperature: Float[ArrayLike, ""]
    interactions: tuple[Int[ArrayLike, "_ _"], ...]
    num_features: int = eqx.field(static=True)

    def told(self, problem: Problem, inverse_temperature: Float[Array, ""]) -> "Hearing":
        """The same for other coefficients on the same interactions.

        Errors: `InputError` where other spins interact than in the problem it was built for.
        """
        theirs = [terms.indices for terms in problem.terms]
        if len(theirs) != len(self.interactions) or not all(map(_equal_as_far_as_known, self.interactions, theirs)):
            raise InputError("Argument `ansatz` must be built for the interactions of the problem, but it is not.")
        return eqx.tree_at(
            lambda h: (h.coefficients, h.inverse_temperature), self, (_coefficients(problem), inverse_temperature)
        )

    def listen(self, site: Sites, spins: Float[Array, "slots m"]) -> tuple[Float[Array, "f m"], Float[Array, " m"]]:
        """Features and field of one site, from the spins by slot; slot 0 is no spin."""
        coefficients = jnp.asarray(self.coefficients, spins.dtype)
        beta = jnp.asarray(self.inverse_temperature, spins.dtype)
        drawn = jnp.where(jnp.asarray(site.others)[..., None] > 0, spins[site.others], 1)
        value = coefficients[site.terms][:, None] * drawn.prod(axis=1)
        closed = jnp.where(jnp.asarray(site.closing)[:, None], value, 0)
        field = -2 * beta * closed.sum(0)
        if not self.num_features:
            return jnp.zeros((0, spins.shape[1]), spins.dtype), field
        unit = jnp.sqrt((coefficients**2).sum() / max(1, coefficients.shape[0] - 1))
        return jnp.concatenate([closed, value - closed]) / jnp.where(unit > 0, unit, 1), field


def hear(problem: Problem, order: SiteOrder) -> Hearing:
    """What the sites of a problem hear when they are drawn in an order.

    >>> from lehr.ansatz.order import raster
    >>> hearing = hear(Problem.from_terms(3, {(0, 1): 2.0, (0, 1, 2): -1.0}), raster((3,)))
    >>> last = Sites(*(table[2] for table in (hearing.sites.terms, hearing.sites.others, hearing.sites.closing)))
    >>> hearing.listen(last, jnp.array([[0.0], [1.0], [-1.0], [0.0]]))[1].tolist()
    [-2.0]
    """
    roles = _roles(problem)
    names = sorted({role for site in roles for role in site})
    by_role = len(names) <= _MOST_ROLES and all(len(set(site)) == len(site) for site in roles)
    width = len(names) if by_role else max(map(len, roles), default=0)
    widest = max((terms.order for terms in problem.terms), default=1)
    n = problem.num_spins
    numbers = np.full((n, width), problem.num_terms, np.int32)
    others = np.zeros((n, width, max(1, widest - 1)), np.int32)
    closing = np.zeros((n, width), bool)
    positions = np.asarray(order.positions)
    members = [spins for terms in problem.terms for spins in np.asarray(terms.indices)]
    for spin, site in enumerate(roles):
        t = positions[spin]
        for place, (role, number) in enumerate(site.items()):
            slot = names.index(role) if by_role else place
            rest = positions[members[number][members[number] != spin]]
            drawn = rest[rest < t]
            numbers[t, slot] = number
            others[t, slot, : len(drawn)] = 1 + drawn
            closing[t, slot] = len(drawn) == len(rest)
    return Hearing(
        sites=Sites(numbers, others, closing),
        coefficients=_coefficients(problem),
        inverse_temperature=np.ones(()),
        interactions=tuple(np.asarray(terms.indices) for terms in problem.terms),
        num_features=2 * width if by_role else 0,
    )


def _coefficients(problem: Problem) -> Float[ArrayLike, " m1"]:
    """All coefficients, by order, with the zero to which padding points."""
    parts = [jnp.asarray(terms.coefficients) for terms in problem.terms]
    return jnp.concatenate([*parts, jnp.zeros(1, parts[0].dtype if parts else float)])


def _roles(problem: Problem) -> list[dict[tuple, int]]:
    """For every spin, the terms that it is in, each under its role: where on the lattice the other spins are, seen from
    this one; elsewhere, the how-manieth term of its order it is."""
    shape = None if problem.lattice is None else problem.lattice.shape
    roles: list[dict[tuple, int]] = [{} for _ in range(problem.num_spins)]
    number = 0
    for terms in problem.terms:
        for spins in np.asarray(terms.indices):
            for spin in spins.tolist():
                away = _displacements(spin, spins, shape)
                same = sum(role[:2] == (terms.order, away) for role in roles[spin])
                roles[spin][terms.order, away, same] = number
            number += 1
    return roles


def _displacements(spin: int, spins: np.ndarray, shape: tuple[int, ...] | None) -> tuple[tuple[int, ...], ...]:
    """The other spins of a term, seen from one of them on the torus of this shape; () where there is no lattice."""
    if shape is None:
        return ()
    sites = np.stack(np.unravel_index(spins[spins != spin], shape), axis=1) - np.stack(np.unravel_index(spin, shape))
    return tuple(sorted(map(tuple, (sites % shape).tolist())))


def _equal_as_far_as_known(one: ArrayLike, other: ArrayLike) -> bool:
    """Equality of tables; of those that are traced only the shapes are known."""
    return one.shape == other.shape and (is_traced(one) or is_traced(other) or np.array_equal(one, other))
