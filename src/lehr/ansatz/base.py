"""The ansatz: a normalised distribution p(s) that can be sampled exactly, one conditional per spin."""

import abc
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lehr._types import ArrayLike, InputError, Key, LogProb, is_traced
from lehr.ansatz.scores import Jacobian, Scores
from lehr.problem.base import Problem


class SiteOrder(eqx.Module):
    """In which order an ansatz draws the spins, and what depends on what.

    `sites[t]` is the spin drawn at position t. Given the spins drawn before, everything that depends on the one drawn
    at t lies in the positions `t ... ends[t] - 1` (the rest of the sequence in general; a subtree where the order has
    branches). `positions` is the inverse of `sites`: the position at which each spin is drawn.

    >>> SiteOrder.sequential([2, 0, 1]).positions.tolist()
    [1, 2, 0]
    """

    sites: Int[ArrayLike, " n"]
    ends: Int[ArrayLike, " n"]
    positions: Int[ArrayLike, " n"]

    def __init__(self, sites: Sequence[int] | ArrayLike, ends: Sequence[int] | ArrayLike):
        self.sites = np.asarray(sites, dtype=np.int32)
        self.ends = np.asarray(ends, dtype=np.int32)
        if not np.array_equal(np.sort(self.sites), np.arange(self.sites.size)):
            raise InputError("Argument `sites` must be a permutation of the spins, but it is not.")
        self.positions = np.argsort(self.sites).astype(np.int32)

    @classmethod
    def sequential(cls, sites: Sequence[int] | ArrayLike) -> "SiteOrder":
        """One sequence: each spin may depend on all spins drawn before it."""
        return cls(sites, np.full(len(sites), len(sites)))

    def by_spin(self, values: Float[Array, "n m"]) -> Float[Array, "m n"]:
        """Values by position, a row for each, in the order of the spins, a row for each sample."""
        # Rows are moved, not columns: on the way back XLA would add up columns number by number.
        return values[jnp.asarray(self.positions)].T


class Estimate(NamedTuple):
    """One batch of samples and what it says of the free energy: the lowest sample, the energies H (without offset) and
    ln p(s) of all, and the gradient in the parameters."""

    lowest: Float[Array, " n"]
    energy: Float[Array, " m"]
    log_prob: Float[Array, " m"]
    gradient: Any


class Ansatz(eqx.Module):
    """A normalised autoregressive distribution `p(s) = prod_i p(s_i | s_before)`.

    Sub-classes are final. `params` is the pytree of trainable arrays and the only thing an optimiser touches; all other
    arrays are tables. `order` says in which order spins are drawn. An ansatz passes through `jax.jit` as a pytree, so
    its methods may rely on the shapes of its tables but not on their values.
    """

    params: eqx.AbstractVar[Any]
    order: eqx.AbstractVar[SiteOrder]

    @abc.abstractmethod
    def fresh_params(self, key: Key) -> Any:
        """New random parameters in JAX's current default precision; `params` has the same structure."""

    @abc.abstractmethod
    def informed(self, problem: Problem, inverse_temperature: Float[Array, ""]) -> "Ansatz":
        """The ansatz with the Hamiltonian and the temperature shown to it; one that does not look returns itself.

        Errors: `InputError` where it was built for other interactions.
        """

    @abc.abstractmethod
    def sample(self, key: Key, num_samples: int) -> tuple[Float[Array, "num_samples n"], LogProb]:
        """Draw independent samples: (spins[num_samples, N], log_prob[num_samples, N]), one conditional per spin.

        The log-probabilities are those of the very pass that drew the sample and are differentiable in `params`;
        the spins are constants.
        """

    @abc.abstractmethod
    def log_prob(self, spins: Float[Array, "num_samples n"]) -> LogProb:
        """ln p(s_i | spins drawn before), shape [num_samples, N] in the problem's spin order; the sum is ln p(s)."""

    @abc.abstractmethod
    def flip_log_ratio(self, spins: Float[Array, "num_samples n"]) -> Float[Array, "num_samples n"]:
        """ln p(s with spin i flipped) - ln p(s) for every i, shape [num_samples, N]. Not differentiated."""

    def scores(self, spins: Float[Array, "num_samples n"]) -> Scores:
        """d ln p(s) / d theta of every sample; here sample by sample."""

        def log_prob(params, one):
            return with_params(self, params).log_prob(one[None]).sum()

        return Jacobian(jax.vmap(jax.grad(log_prob), in_axes=(None, 0))(self.params, spins))

    def sample_scored(self, key: Key, num_samples: int) -> tuple[Float[Array, "num_samples n"], LogProb, Scores]:
        """`sample`, and the `scores` of what it drew; here from two passes."""
        spins, log_prob = self.sample(key, num_samples)
        return spins, log_prob, self.scores(spins)

    def thermal_estimate(
        self,
        key: Key,
        num_samples: int,
        temperature: Float[Array, ""],
        unit: Float[Array, ""],
        *,
        normalise: bool,
    ) -> Estimate | None:
        """Samples and the gradient of the free energy at `temperature` of the problem that the ansatz was shown, all in
        one, where a kernel does that; None where `lehr.objective` has to. Advantages are in units of `unit`, and if
        `normalise` is true then divided by their root mean square."""
        return None

    @property
    def side_by_side(self) -> bool:
        """Whether several networks are faster side by side (`jax.vmap`) than one after the other, on a CPU."""
        return True

    @property
    def divides_samples(self) -> bool:
        """Whether `sample` draws only the share of its device (`lehr.shares`); else a network stays on one device."""
        return False

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def with_params(ansatz: Ansatz, params: Any) -> Ansatz:
    """The ansatz with other trainable parameters."""
    return eqx.tree_at(lambda a: a.params, ansatz, params)


def check_fits(ansatz: Ansatz, problem: Problem) -> None:
    """Errors: `InputError` where `ansatz` is none, or was built for another problem."""
    if not isinstance(ansatz, Ansatz):
        raise InputError(f"Argument `ansatz` must be a name or an Ansatz, but it is {ansatz!r}.")
    num_sites = ansatz.order.sites.shape[0]
    if num_sites != problem.num_spins:
        raise InputError(
            f"Argument `ansatz` must have as many spins as the problem, {problem.num_spins}, but it has {num_sites}."
        )
    ansatz.informed(problem, jnp.ones(()))


def check_interactions(interactions: Sequence[ArrayLike], problem: Problem) -> None:
    """Errors: `InputError` where in `problem` others interact than the spins of these terms, indices[m, k] by order.

    Of tables that are traced only the shapes are known.
    """
    theirs = [terms.indices for terms in problem.terms]
    if len(theirs) != len(interactions) or not all(map(_equal_as_far_as_known, interactions, theirs)):
        raise InputError("Argument `ansatz` must be built for the interactions of the problem, but it is not.")


def _equal_as_far_as_known(one: ArrayLike, other: ArrayLike) -> bool:
    return one.shape == other.shape and (is_traced(one) or is_traced(other) or np.array_equal(one, other))
