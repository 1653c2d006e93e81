"""The loss of a network: from samples, as the training sees it, and without noise, from all 2^N states."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from lehr._types import InputError, Key
from lehr.ansatz.base import Ansatz
from lehr.exact.enumeration import spins_of
from lehr.objective import local_values
from lehr.problem.base import Problem
from lehr.schedule import Controls

# All states of more spins than this take minutes for each point of a plane.
MOST_SPINS = 16
# States that are evaluated together: a gradient keeps their whole forward pass.
_TOGETHER = 1024


def sampled_loss(
    problem: Problem, ansatz: Ansatz, controls: Controls, key: Key, num_samples: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The loss from M samples, and its standard error: F = <H> + T <ln p>, or with the transverse term.

    In the units of H, without the problem's offset. `ansatz` must have been shown the problem at these controls
    (`lehr.anneal.informed_at`). A single sample has no error: NaN.

    Source: paper B, equations 6 and 7.
    """
    spins, log_prob = ansatz.sample(key, num_samples)
    local = local_values(problem, ansatz, spins, log_prob, controls).free_energy
    return local.mean(), jnp.sqrt(local.var(ddof=1) / num_samples)


def exact_loss(problem: Problem, ansatz: Ansatz, controls: Controls) -> Float[Array, ""]:
    """The loss that samples estimate, by enumeration; differentiable in the parameters.

    In the units of H, without the problem's offset; `ansatz` as in `sampled_loss`. Errors: `InputError` for more than
    16 spins.

    Source: sums over all states of paper B, equations 6 and 7, with psi = sqrt(p).
    """
    check_enumerable(problem)
    num_spins = problem.num_spins
    dtype = jnp.result_type(*jax.tree.leaves(ansatz.params))
    states = jnp.asarray(spins_of(np.arange(2**num_spins), num_spins), dtype)
    portions = states.reshape(-1, min(_TOGETHER, len(states)), num_spins)
    # The transverse term needs both states of a flip and is summed below, where ln p of all states is known.
    thermal = Controls(controls.temperature, None)

    @jax.checkpoint
    def of_portion(spins: Array) -> tuple[Array, Array]:
        log_prob = ansatz.log_prob(spins)
        return log_prob.sum(1), local_values(problem, ansatz, spins, log_prob, thermal).free_energy

    log_prob, local = (values.ravel() for values in jax.lax.map(of_portion, portions))
    probability = jnp.exp(log_prob)
    # States that p has given up weigh nothing, however large -ln p is.
    loss = jnp.where(probability > 0, probability * local, 0).sum()
    if controls.field is not None:
        amplitude = jnp.exp(log_prob / 2)
        numbers = np.arange(2**num_spins)
        for spin in range(num_spins):
            loss = loss - controls.field * (amplitude @ amplitude[numbers ^ (1 << spin)])
    return loss


def doubled(tree: PyTree) -> PyTree:
    """Real numbers in double precision, all else as it is."""

    def one(leaf: Any) -> Any:
        real = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(np.float64) if real else leaf

    return jax.tree.map(one, tree)


def check_enumerable(problem: Problem) -> None:
    """Errors: `InputError` for more spins than can be enumerated at every point."""
    if problem.num_spins > MOST_SPINS:
        raise InputError(
            f"Argument `problem` must have at most {MOST_SPINS} spins for the exact loss, "
            f"but it has {problem.num_spins}."
        )
