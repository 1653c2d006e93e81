"""Natural gradient: the steepest descent of the objective in the space of distributions, beside optax's optimisers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lehr._types import matmul
from lehr.ansatz.scores import Scores

# Where p is certain of one state all scores vanish, and only rounding tells the samples apart: without this least
# damping, parameters of order 1 would be moved by anything.
_LEAST_DAMPING = 1e-5


class NaturalGradient(eqx.Module):
    """Natural gradient from the Gram matrix of M samples (minSR), with control of its step.

    With O the centred scores [M, P] and f the centred targets beta F_loc [M], the update
    `-rate O^T (O O^T + lambda)^-1 f` is the step that changes ln p of the samples by `-rate f` as nearly as the network
    can: with rate 1 straight to the Boltzmann distribution, where f is 0. It is the gradient preconditioned by the
    Fisher matrix, but needs one M x M system instead of a P x P one, and no memory of earlier steps.

    Arguments: `damping`: lambda in units of the mean diagonal of O O^T; `clip`: targets farther than this many standard
    deviations from their mean are moved there; `most_change`: a step that would change ln p of a sample by more is
    shortened.

    Source: Amari, Neural Computation 10, 251 (1998); Chen and Heyl, arXiv:2302.01941 (minSR).

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

        `weights` [M] say how much each sample counts; they add up to 1.
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
        return scores.pull(weights * step.sum() - step), gradient_norm
