"""The linear ansatz by kernels: drawing, and a whole estimate of the gradient."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lehr import native
from lehr._types import ArrayLike, Key
from lehr.ansatz.dissection import ConditioningSets, pair_entries
from lehr.problem.base import Problem


class Tables(eqx.Module):
    """The structure of a pairwise problem in drawing order, for the kernels.

    The parents of position t are `parents[parents_from[t] : parents_from[t + 1]]`. Of these *entries*, which number
    the weights, `pair_entries[pairs_from[t] : pairs_from[t + 1]]` close the pair terms numbered by `pair_terms`.
    """

    sites: Int[ArrayLike, " n"]
    ends: Int[ArrayLike, " n"]
    parents_from: Int[ArrayLike, " n1"]
    parents: Int[ArrayLike, " entries"]
    pairs_from: Int[ArrayLike, " n1"]
    pair_entries: Int[ArrayLike, " pairs"]
    pair_terms: Int[ArrayLike, " pairs"]

    def serves(self, key: Key) -> bool:
        """Whether the kernels are used, and make the same random numbers as JAX for this key."""
        config: Any = jax.config  # type checkers do not see its options
        usual = str(jax.random.key_impl(key)) == "threefry2x32" and config.jax_threefry_partitionable
        return native.status().active and usual


def tables(problem: Problem, sets: ConditioningSets) -> Tables | None:
    """Tables for the kernels; None where they are not used, or where terms have more than two spins."""
    if problem.order > 2 or not native.status().active or sets.starts[-1] >= 2**31:
        return None
    entries, closes = pair_entries(problem, sets).T
    by_entry = np.argsort(entries)
    leaves = (
        sets.order.sites,
        sets.order.ends,
        sets.starts,
        np.concatenate([np.zeros(0, int), *sets.parents]),
        np.searchsorted(closes[by_entry], np.arange(problem.num_spins + 1)),
        entries[by_entry],
        by_entry,
    )
    return Tables(*(np.asarray(leaf, np.int32) for leaf in leaves))


def draw(
    tables: Tables, key: Key, weights: Float[Array, " entries1"], bias: Float[Array, " n1"], num_samples: int
) -> tuple[Float[Array, "n1 m"], Float[Array, "n1 m"]]:
    """Spins and logits, both [n + 1, M] in drawing order, as the reference draws them; weights and bias may end with
    padding."""
    shape = jax.ShapeDtypeStruct((len(tables.parents_from), num_samples), bias.dtype)
    kernel = _call("draw", bias.dtype, [shape, shape])
    spins, logits = kernel(jax.random.key_data(key), weights, bias, *_leaves(tables))
    return spins, logits


def gradient(
    tables: Tables,
    key: Key,
    num_samples: int,
    *,
    weights: Float[Array, " entries"],
    bias: Float[Array, " n"],
    scale: Float[Array, " n"],
    pairs: Float[ArrayLike, " pairs"],
    fields: Float[Array, " n"],
    inverse_temperature: Float[ArrayLike, ""],
    temperature: Float[Array, ""],
    unit: Float[Array, ""],
    normalise: bool,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Samples and the gradient of the free energy at `temperature` in units of `unit`: the lowest sample [n], energies
    without offset and ln p(s) [M], and the gradients in weights, biases and coupling scales.

    Arguments: biases, coupling scales and fields by position; `pairs`, the coefficients of the pair terms; `normalise`
    divides the advantages by their root mean square.
    """
    dtype, n = bias.dtype, len(bias)
    of_samples, of_spins = (jax.ShapeDtypeStruct((size,), dtype) for size in (num_samples, n))
    shapes = [of_spins, of_samples, of_samples, jax.ShapeDtypeStruct(weights.shape, dtype), of_spins, of_spins]
    scalars = jnp.stack([jnp.asarray(value, dtype) for value in (inverse_temperature, temperature, unit)])
    found = _call("gradient", dtype, shapes)(
        jax.random.key_data(key),
        weights,
        bias,
        scale,
        jnp.asarray(pairs, dtype),
        jnp.asarray(fields, dtype),
        scalars,
        *_leaves(tables),
        normalise=normalise,
    )
    return tuple(found)


def _call(name: str, dtype, shapes):
    bits = jnp.finfo(dtype).bits
    return jax.ffi.ffi_call(f"lehr_linear_{name}_f{bits}", shapes, vmap_method="expand_dims")


def _leaves(tables: Tables) -> list[Array]:
    return [jnp.asarray(leaf) for leaf in vars(tables).values()]
