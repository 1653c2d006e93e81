"""The objective: energy, entropy and transverse field, and the one estimator of its gradient."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from lehr._types import ArrayLike, Key, LogProb, matmul, namespace
from lehr.ansatz.base import Ansatz, SiteOrder
from lehr.problem.base import Problem
from lehr.schedule import Controls
from lehr.shares import gathered, num_shares, own_share


class LocalValues(eqx.Module):
    """Local values of M samples: what each sample contributes to the objective.

    `energy[M]` is H(s) without the problem's constant offset; `transverse[M]` is -Gamma sum_i sqrt(p(s^i) / p(s)), 0
    without a field; `free_energy[M]` is F_loc = H + transverse + T ln p, of which the objective is the mean;
    `site_cost[M, N]` is the causal part of F_loc (all but the transverse term), spin by spin: the energy of the terms
    that close at the spin plus T ln p(s_i | ...). `weights[M]` say how much each sample counts in a mean: 1/M where the
    samples were drawn from p. Where the samples are divided (`lehr.shares`) these are those of all, on every device.
    """

    energy: Float[Array, " m"]
    transverse: Float[Array, " m"]
    free_energy: Float[Array, " m"]
    site_cost: Float[Array, "m n"]
    weights: Float[Array, " m"]


def local_values(
    problem: Problem,
    ansatz: Ansatz,
    spins: Float[Array, "m n"],
    log_prob: LogProb,
    controls: Controls,
    flip_probability: float = 0.0,
) -> LocalValues:
    """Local energy, transverse term and free energy of samples with known log-probabilities.

    With a field and a `flip_probability` mu the samples are taken as drawn from the mixture q of p and of p with one
    random spin flipped, `q(s) / p(s) = 1 - mu + mu mean_i p(s^i) / p(s)`, and weighted by p / q, at most 1 / (1 - mu).

    Source: paper A, F_loc(s) = H(s) - Gamma sum_i exp((ln p(s^i) - ln p(s)) / 2) + T ln p(s).
    """
    site_cost = closing_energy(problem, ansatz.order, spins)
    energy = site_cost.sum(1)
    if controls.temperature is not None:
        site_cost = site_cost + controls.temperature * log_prob
    transverse, ratio = jnp.zeros_like(energy), jnp.ones_like(energy)
    if controls.field is not None:
        flips = ansatz.flip_log_ratio(spins)
        transverse = -controls.field * jnp.exp(flips / 2).sum(1)
        if flip_probability:
            ratio = 1 / (1 - flip_probability + flip_probability * jnp.exp(flips).mean(1))
    energy, transverse, site_cost, ratio = gathered((energy, transverse, site_cost, ratio))
    return LocalValues(energy, transverse, site_cost.sum(1) + transverse, site_cost, ratio / ratio.sum())


def flipped_at_random(key: Key, spins: Float[Array, "m n"], probability: float) -> Float[Array, "m n"]:
    """Each sample with one random spin flipped, with this probability."""
    num_samples, num_spins = spins.shape[0] * num_shares(), spins.shape[1]
    whether, where = jax.random.split(key)
    flip = own_share(jax.random.uniform(whether, (num_samples,))) < probability
    site = own_share(jax.random.randint(where, (num_samples,), 0, num_spins))
    return jnp.where(flip[:, None] & (site[:, None] == jnp.arange(num_spins)[None]), -spins, spins)


def effective_sample_size(log_weights: Float[ArrayLike, "*runs m"]) -> Float[ArrayLike, "*runs"]:
    """The share of M weighted samples that are left in effect, `(sum w)^2 / (M sum w^2)`, from 1/M to 1.

    Source: A. Kong, J. S. Liu, W. H. Wong, J. Am. Stat. Assoc. 89, 278 (1994).

    >>> effective_sample_size(jnp.log(jnp.array([[1.0, 1.0], [3.0, 1.0]]))).round(3)
    Array([1. , 0.8], dtype=float32)
    """
    weights = namespace(log_weights).exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    return weights.sum(axis=-1) ** 2 / (weights**2).sum(axis=-1) / weights.shape[-1]


def closing_energy(problem: Problem, order: SiteOrder, spins: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """Energy of the terms that close at each spin, i.e. whose last drawn spin it is; without the offset."""
    positions = jnp.asarray(order.positions)
    columns = spins.T
    total = jnp.zeros_like(columns)
    for terms in problem.terms:
        if terms.order == 2 and problem.coupling_matrix is not None:
            earlier = positions[None, :] < positions[:, None]
            couplings = jnp.where(earlier, jnp.asarray(problem.coupling_matrix, spins.dtype), 0)
            total = total + columns * matmul(couplings, columns)
            continue
        indices = jnp.asarray(terms.indices)
        last = jnp.argmax(positions[indices], axis=1)
        closing = jnp.take_along_axis(indices, last[:, None], axis=1)[:, 0]
        product = columns[indices[:, 0]]
        for k in range(1, terms.order):
            product = product * columns[indices[:, k]]
        total = total.at[closing].add(product * jnp.asarray(terms.coefficients, spins.dtype)[:, None])
    return total.T


def advantages(values: LocalValues, order: SiteOrder) -> Float[Array, "m n"]:
    """What each conditional is to blame for: the weight of the score d ln p(s_i | ...) / d theta.

    The cost of the spins that are drawn at or after spin i and can depend on it (its subtree), plus the whole
    transverse term, which is not causal, minus the mean of the *other* samples. The estimator
    `mean_m sum_i advantage[m, i] d ln p(s_i | ...)` of the gradient of the objective is unbiased: costs that do not
    depend on s_i, and the leave-one-out baseline, have zero mean under the score.
    """
    cost = values.site_cost.T[jnp.asarray(order.sites)]
    # XLA's own cumulative sum takes six times as long on a CPU.
    before = jnp.pad(lax.associative_scan(jnp.add, cost), ((1, 0), (0, 0)))
    to_go = before[jnp.asarray(order.ends)] - before[:-1]
    total = order.by_spin(to_go) + values.transverse[:, None]
    num_samples = total.shape[0]
    return (total - total.mean(0, keepdims=True)) * (num_samples / max(num_samples - 1, 1))
