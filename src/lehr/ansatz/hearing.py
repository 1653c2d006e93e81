"""What a site hears of the Hamiltonian: the terms it is in and the products of terms that tell it about its spin."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lehr._types import ArrayLike, is_traced, namespace
from lehr.ansatz.base import SiteOrder, check_interactions
from lehr.ansatz.products import Sites, products_heard
from lehr.problem.base import Problem

# Beyond this, exp overflows in single precision, and probabilities are 0 and 1 to 34 digits.
_LARGEST_EVIDENCE = 80.0


class Kind(eqx.Module):
    """Products of one kind: the terms of each, the logit that it tells, its effective coefficient, and the features of
    a slot: complete and open products apart (2), complete ones (1), or none (0), where places are no roles."""

    sets: Int[ArrayLike, "p s"]
    evidence: Float[ArrayLike, " p1"]
    effective: Float[ArrayLike, " p1"]
    features: int = eqx.field(static=True)

    def told(self, coefficients: Float[ArrayLike, " m1"], inverse_temperature: Float[ArrayLike, ""]) -> "Kind":
        """The same for other coefficients (behind the last, a zero) and another temperature."""
        new = _evidence(self.sets, coefficients, inverse_temperature)
        return eqx.tree_at(lambda kind: (kind.evidence, kind.effective), self, new)


class Hearing(eqx.Module):
    """What each site hears of the problem at an inverse temperature beta, from the spins drawn before.

    A site hears its *fields*, for each kind of products (`lehr.ansatz.products`: terms, pairs, constraints) the sum of
    what those tell that close at it: `2 K prod s`, the other spins of the product, with
    `tanh K = prod_m tanh(-beta c_m)` over its terms; for a term alone that is `-2 beta c prod s`. Their sum as the
    logit of ln p(+1)/p(-1) is exact to second order at high temperature, and exact where every spin closes terms with
    independent signs.

    And it hears *features*: every product by itself, `c prod s` of the spins drawn so far in units of the
    root-mean-square coefficient, for terms also while they are open. The effective coefficient c of a product is that
    of its weakest term with the sign of K reversed: `K = -beta c` as the temperature goes to zero. Products have slots
    by role: on a lattice, those whose terms lie at the same displacements have the same slot at every site, so that
    weights which all sites share mean the same everywhere. A kind in more than 32 roles is heard in the field only,
    and where a spin is in more than 32 terms, there are no other products than these.

    Sources: TwoBo, arXiv:2402.16579, for closing pairwise terms; K is the check-node rule of decoding, Gallager 1962.
    """

    sites: tuple[Sites, ...]
    kinds: tuple[Kind, ...]
    interactions: tuple[Int[ArrayLike, "_ _"], ...]

    @property
    def num_features(self) -> int:
        """Number of features of each site."""
        return sum(kind.features * site.numbers.shape[-1] for kind, site in zip(self.kinds, self.sites, strict=True))

    def told(self, problem: Problem, inverse_temperature: Float[ArrayLike, ""]) -> "Hearing":
        """The same for other coefficients on the same interactions, and another temperature.

        Errors: `InputError` where other spins interact than in the problem it was built for.
        """
        check_interactions(self.interactions, problem)
        parts = [terms.coefficients for terms in problem.terms]
        # What is known is computed on the host: compiling would take longer.
        xp = jnp if any(map(is_traced, (*parts, inverse_temperature, self.kinds[0].sets))) else np
        coefficients, beta = xp.concatenate([*parts, np.zeros(1)]), xp.asarray(inverse_temperature)
        kinds = tuple(kind.told(coefficients, beta) for kind in self.kinds)
        return eqx.tree_at(lambda h: h.kinds, self, kinds)

    def listen(
        self, site: tuple[Sites, ...], spins: Float[Array, "slots m"]
    ) -> tuple[Float[Array, "f m"], Float[Array, "kinds m"]]:
        """Features and fields of one site, from the spins by slot; slot 0 is no spin."""
        features, fields = [jnp.zeros((0, spins.shape[1]), spins.dtype)], []
        for kind, heard in zip(self.kinds, site, strict=True):
            known = jnp.where(jnp.asarray(heard.others)[..., None] > 0, spins[heard.others], 1).prod(axis=1)
            closed = jnp.where(jnp.asarray(heard.closing)[:, None], known, 0)
            evidence, effective = (
                jnp.asarray(values, spins.dtype)[heard.numbers][:, None] for values in (kind.evidence, kind.effective)
            )
            fields.append((evidence * closed).sum(0))
            features.extend([effective * closed, effective * (known - closed)][: kind.features])
        return jnp.concatenate(features), jnp.stack(fields)


def hear(problem: Problem, order: SiteOrder, hears: str = "constraints") -> Hearing:
    """What the sites of a problem hear when they are drawn in an order, at beta = 1: terms, pairs and constraints, or
    these up to the kind that `hears` names.

    >>> import jax
    >>> from lehr.ansatz.order import raster
    >>> hearing = hear(Problem.from_terms(3, {(0, 1): 2.0, (0, 1, 2): -1.0}), raster((3,)))
    >>> last = jax.tree.map(lambda table: table[2], hearing.sites)
    >>> hearing.listen(last, jnp.array([[0.0], [1.0], [-1.0], [0.0]]))[1].tolist()
    [[-2.0]]
    """
    heard = products_heard(problem, order, hears)
    kinds = []
    for place, (sets, _, by_role) in enumerate(heard):
        unknown = np.zeros(len(sets) + 1)
        kinds.append(Kind(sets, unknown, unknown, features=(2 if place == 0 else 1) if by_role else 0))
    interactions = tuple(np.asarray(terms.indices) for terms in problem.terms)
    return Hearing(tuple(sites for _, sites, _ in heard), tuple(kinds), interactions).told(problem, np.ones(()))


def _evidence(
    sets: Int[ArrayLike, "p s"], coefficients: Float[ArrayLike, " m1"], inverse_temperature: Float[ArrayLike, ""]
) -> tuple[Float[ArrayLike, " p1"], Float[ArrayLike, " p1"]]:
    """2 K of each product, and its effective coefficient in units of the root-mean-square one; behind the last, 0."""
    xp, num_terms = namespace(coefficients), coefficients.size - 1
    unit = xp.sqrt((coefficients**2).sum() / max(1, num_terms))
    present, members = sets < num_terms, coefficients[sets]
    sign = xp.where(present, -xp.sign(members), 1).prod(axis=1)
    effective = -sign * xp.where(present, xp.abs(members), xp.inf).min(axis=1)
    if sets.shape[1] == 1:
        evidence = -2 * inverse_temperature * members[:, 0]
    else:
        reluctance = _dual(2 * inverse_temperature * xp.abs(members))
        evidence = sign * _dual(xp.where(present, reluctance, 0).sum(axis=1))
    return xp.append(evidence, 0), xp.append(effective / xp.where(unit > 0, unit, 1), 0)


def _dual(logit: Float[ArrayLike, "..."]) -> Float[ArrayLike, "..."]:
    """-ln tanh(logit / 2), its own inverse: products of tanh(logit / 2) are sums of it.

    >>> _dual(_dual(np.array([0.25, 1.0, 40.0]))).round(3).tolist()
    [0.25, 1.0, 40.0]
    """
    xp = namespace(logit)
    logit = xp.minimum(logit, _LARGEST_EVIDENCE)
    with np.errstate(divide="ignore"):  # infinity is the dual of 0
        # Each where it is accurate: one where tanh is small, the other where it is nearly 1.
        return xp.where(logit < 1, -xp.log(xp.tanh(logit / 2)), -xp.log1p(-2 / (xp.exp(logit) + 1)))
