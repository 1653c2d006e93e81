"""Optimisers beside optax's: Adam in place, and the natural gradient, steepest in the space of distributions."""

import math
from collections.abc import Callable
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float

from lehr._types import ArrayLike, matmul
from lehr.ansatz.scores import Scores
from lehr.native import adam
from lehr.shares import own_share, summed

# Where p is certain of one state all scores vanish, and only rounding tells the samples apart: without this least
# damping, parameters of order 1 would be moved by anything.
_LEAST_DAMPING = 1e-5
# Of a step that goes too far no less than this is taken.
_LEAST_SHARE = 2.0**-10
_DECAYS, _LEAST_ROOT = (0.9, 0.999), 1e-8
_ADAM = optax.scale_by_adam(*_DECAYS, eps=_LEAST_ROOT)


def descended(params: Any, updates: Any, rate: Float[ArrayLike, ""] | float) -> Any:
    """The parameters after a step of this rate against optax's updates."""
    return optax.apply_updates(params, jax.tree.map(lambda u: -jnp.asarray(rate, u.dtype) * u, updates))


class Adam(eqx.Module):
    """Adam with its usual constants; by a kernel that changes parameters and moments where they lie, else by optax.

    Networks with weights for every site have so many parameters that an update costs as much as the samples.

    Arguments: `most_norm`: a gradient of larger global norm is scaled down to it first; None for no limit.

    Source: Kingma and Ba, arXiv:1412.6980.

    >>> params, gradient = jnp.array([1.0, 1.0]), jnp.array([2.0, -4.0])
    >>> adam = Adam()
    >>> params, state = adam.step(params, gradient, optax.tree.norm(gradient), adam.init(params), 0.25)
    >>> params.tolist()  # both numbers went a whole step
    [0.75, 1.25]
    """

    most_norm: float | None = eqx.field(static=True, default=None)

    def init(self, params: Any) -> optax.ScaleByAdamState:
        """The moments before the first step."""
        return cast(optax.ScaleByAdamState, _ADAM.init(params))

    def step(
        self,
        params: Any,
        gradient: Any,
        norm: Float[Array, ""],
        state: optax.ScaleByAdamState,
        rate: Float[ArrayLike, ""] | float,
    ) -> tuple[Any, optax.ScaleByAdamState]:
        """The parameters one step down the gradient, whose global norm is `norm`, and the new moments."""
        factor = jnp.ones(()) if self.most_norm is None else jnp.minimum(1, self.most_norm / norm)
        if not adam.serves(params):
            gradient = jax.tree.map(lambda g: factor.astype(g.dtype) * g, gradient)
            updates, moments = _ADAM.update(gradient, state, params)
            return descended(params, updates, rate), cast(optax.ScaleByAdamState, moments)
        count = optax.safe_increment(state.count)
        corrections = (1 / (1 - decay**count) for decay in _DECAYS)
        rates = [rate, factor, *_DECAYS, *corrections, _LEAST_ROOT]
        params, first, second = adam.step(rates, params, state.mu, state.nu, gradient)
        return params, optax.ScaleByAdamState(count, first, second)


class NaturalGradient(eqx.Module):
    """Natural gradient from the Gram matrix of M samples (minSR), with control of its step.

    With O the centred scores [M, P] and f the centred targets beta F_loc [M], the update
    `-rate O^T (O O^T + lambda)^-1 f` is the step that changes ln p of the samples by `-rate f` as nearly as the network
    can: with rate 1 straight to the Boltzmann distribution, where f is 0. It is the gradient preconditioned by the
    Fisher matrix, but needs one M x M system instead of a P x P one, and no memory of earlier steps.

    Arguments: `damping`: lambda in units of the mean diagonal of O O^T; `clip`: targets farther than this many standard
    deviations from their mean are moved there; `most_change`: a step that would change ln p of a sample by more is
    shortened; `most_divergence`: a step after which the Kullback-Leibler divergence of the new distribution from that
    of the samples is larger, in nats, is halved until it is not, at most ten times. What a step changes is foreseen to
    first order, and for the samples alone: a network that has almost settled in a few states can leave all of them in
    one step. Seeing that costs one more evaluation of the samples, and one for each halving.

    Source: Amari, Neural Computation 10, 251 (1998); Chen and Heyl, arXiv:2302.01941 (minSR); Schulman et al.,
    arXiv:1502.05477, appendix C (steps halved by the divergence).

    >>> from lehr.ansatz.scores import Jacobian
    >>> scores = Jacobian({"bias": jnp.array([[1.0], [-1.0]])})  # two samples, ln p = const + bias * s
    >>> half = jnp.array([0.5, 0.5])
    >>> updates, _ = NaturalGradient(damping=0.0).updates(scores, jnp.array([0.25, -0.25]), half, 1.0)
    >>> round(float(updates["bias"][0]), 4)
    -0.25
    """

    damping: float = eqx.field(static=True, default=1e-2)
    clip: float = eqx.field(static=True, default=3.0)
    most_change: float = eqx.field(static=True, default=1.0)
    most_divergence: float = eqx.field(static=True, default=0.25)

    def init(self, params: Any) -> tuple[()]:
        """The state before the first step, as of an optax optimiser: there is nothing to remember."""
        return ()

    def updates(
        self,
        scores: Scores,
        target: Float[Array, " m"],
        weights: Float[Array, " m"],
        rate: Float[Array, ""] | float,
    ) -> tuple[Any, Float[Array, ""]]:
        """What to add to the parameters, and the norm of the plain gradient of the mean target.

        `weights` [M] say how much each sample counts; they add up to 1. Where the samples are divided (`lehr.shares`)
        both are those of all.
        """
        root = jnp.sqrt(weights)
        gram = scores.gram()
        # Centring leaves rounding of this size, which no eigenvalue may fall below: samples may all agree.
        least = 10 * jnp.finfo(gram.dtype).eps * (weights @ jnp.diag(gram)) + _LEAST_DAMPING
        row = matmul(gram, weights)
        gram = root[:, None] * root[None] * (gram - row[:, None] - row[None] + weights @ row)
        centred = target - weights @ target
        gradient_norm = jnp.sqrt(jnp.maximum(root * centred @ matmul(gram, root * centred), 0))
        reach = self.clip * jnp.sqrt(weights @ centred**2)
        centred = jnp.clip(centred, -reach, reach)
        ridge = self.damping * jnp.maximum(jnp.trace(gram), 0) / len(root) + least
        solution = jax.scipy.linalg.solve(
            gram + ridge * jnp.eye(len(root), dtype=gram.dtype), root * centred, assume_a="pos"
        )
        change = jnp.abs(rate * matmul(gram, solution) / root).max()
        shortened = rate / jnp.maximum(1, change / self.most_change)
        step = shortened * root * solution
        return summed(scores.pull(own_share(weights * step.sum() - step))), gradient_norm

    def moved(self, params: Any, updates: Any, divergence: Callable[[Any], Float[Array, ""]]) -> Any:
        """The parameters after the updates, or after such a part of them that `divergence(params)`, the divergence of
        these parameters' distribution from that of the samples, is not too large."""

        def after(share):
            return optax.apply_updates(params, jax.tree.map(lambda u: share.astype(u.dtype) * u, updates))

        def halved(step):
            share = step[0] / 2
            return share, divergence(after(share)).astype(share.dtype)

        def too_far(step):
            share, far = step
            return (share > _LEAST_SHARE) & ~(far <= self.most_divergence)  # what is not a number is too far

        if math.isinf(self.most_divergence):
            return after(jnp.ones(()))
        share, _ = lax.while_loop(too_far, halved, (jnp.asarray(2.0), jnp.asarray(math.inf)))
        return after(share)
