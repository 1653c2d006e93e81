"""The linear ansatz by kernels: drawing, and a whole estimate of the gradient."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lehr import native
from lehr._types import ArrayLike, Key
from lehr.ansatz.blocks import Bucket
from lehr.ansatz.dissection import ConditioningSets
from lehr.problem.base import Problem


class Tables(eqx.Module):
    """The structure of a pairwise problem in drawing order, for the kernels.

    The parents of position t are `parents[parents_from[t] : parents_from[t + 1]]`, whose weights stand at `slots` of
    the buckets' weights, flattened one after the other. Of these *entries*, `pair_entries[pairs_from[t] :
    pairs_from[t + 1]]` close the pair terms numbered by `pair_terms`.
    """

    sites: Int[ArrayLike, " n"]
    ends: Int[ArrayLike, " n"]
    parents_from: Int[ArrayLike, " n1"]
    parents: Int[ArrayLike, " entries"]
    slots: Int[ArrayLike, " entries"]
    pairs_from: Int[ArrayLike, " n1"]
    pair_entries: Int[ArrayLike, " pairs"]
    pair_terms: Int[ArrayLike, " pairs"]

    def serves(self, key: Key) -> bool:
        """Whether the kernels are used, and make the same random numbers as JAX for this key."""
        config: Any = jax.config  # type checkers do not see its options
        usual = str(jax.random.key_impl(key)) == "threefry2x32" and config.jax_threefry_partitionable
        return native.status().active and usual


def tables(problem: Problem, sets: ConditioningSets, buckets: tuple[Bucket, ...]) -> Tables | None:
    """Tables for the kernels; None where they are not used, or where terms have more than two spins."""
    if problem.order > 2 or not native.status().active:
        return None
    n, first, found = problem.num_spins, 0, []
    for bucket in buckets:
        g, c, r, slot = np.nonzero(bucket.mask)
        known = np.concatenate([bucket.boundary, bucket.rows], axis=-1)
        flat = first + np.flatnonzero(bucket.mask)
        found.append(np.stack([np.asarray(bucket.rows)[g, c, r], known[g, c, slot], flat]))
        first += bucket.mask.size
    if first >= 2**31:  # beyond what the tables can number
        return None
    child, parent, slots = np.concatenate(found, axis=1)
    order = np.lexsort((parent, child))
    child, parent, slots = child[order], parent[order], slots[order]
    pairs = _pair_positions(problem, sets)
    entries = np.searchsorted(child * n + parent, pairs[:, 1] * n + pairs[:, 0])
    by_entry, every = np.argsort(entries), np.arange(n + 1)
    leaves = (
        sets.order.sites,
        sets.order.ends,
        np.searchsorted(child, every),
        parent,
        slots,
        np.searchsorted(pairs[by_entry, 1], every),
        entries[by_entry],
        by_entry,
    )
    return Tables(*(np.asarray(leaf, np.int32) for leaf in leaves))


def _pair_positions(problem: Problem, sets: ConditioningSets) -> Int[np.ndarray, "m 2"]:
    """The two positions of each pair term, the earlier first."""
    pairs = [np.asarray(terms.indices) for terms in problem.terms if terms.order == 2]
    indices = pairs[0] if pairs else np.zeros((0, 2), int)
    return np.sort(np.asarray(sets.order.positions, np.int64)[indices], axis=1)


def draw(
    tables: Tables, key: Key, weights: tuple[Array, ...], bias: Float[Array, " n1"], num_samples: int
) -> tuple[Float[Array, "n1 m"], Float[Array, "n1 m"]]:
    """Spins and logits, both [n + 1, M] in drawing order, as the reference draws them."""
    shape = jax.ShapeDtypeStruct((len(tables.parents_from), num_samples), bias.dtype)
    kernel = _call("draw", bias.dtype, [shape, shape])
    spins, logits = kernel(jax.random.key_data(key), _flat(weights), bias, *_leaves(tables))
    return spins, logits


def gradient(
    tables: Tables,
    key: Key,
    num_samples: int,
    *,
    weights: tuple[Float[Array, "_ _ _ _"], ...],
    bias: Float[Array, " n"],
    scale: Float[Array, " n"],
    pairs: Float[ArrayLike, " pairs"],
    fields: Float[Array, " n"],
    inverse_temperature: Float[ArrayLike, ""],
    temperature: Float[Array, ""],
    unit: Float[Array, ""],
    normalise: bool,
) -> tuple[Array, Array, Array, tuple[Array, ...], Array, Array]:
    """Samples and the gradient of the free energy at `temperature` in units of `unit`: the lowest sample [n], energies
    without offset and ln p(s) [M], and the gradients in weights, biases and coupling scales.

    Arguments: biases, coupling scales and fields by position; `pairs`, the coefficients of the pair terms; `normalise`
    divides the advantages by their root mean square.
    """
    dtype, n = bias.dtype, len(bias)
    flat = _flat(weights)
    of_samples, of_spins = (jax.ShapeDtypeStruct((size,), dtype) for size in (num_samples, n))
    shapes = [of_spins, of_samples, of_samples, jax.ShapeDtypeStruct(flat.shape, dtype), of_spins, of_spins]
    scalars = jnp.stack([jnp.asarray(value, dtype) for value in (inverse_temperature, temperature, unit)])
    lowest, energy, log_prob, flat, bias, scale = _call("gradient", dtype, shapes)(
        jax.random.key_data(key),
        flat,
        bias,
        scale,
        jnp.asarray(pairs, dtype),
        jnp.asarray(fields, dtype),
        scalars,
        *_leaves(tables),
        normalise=normalise,
    )
    ends = np.cumsum([leaf.size for leaf in weights])
    parts = [part.reshape(leaf.shape) for part, leaf in zip(jnp.split(flat, ends[:-1]), weights, strict=True)]
    return lowest, energy, log_prob, tuple(parts), bias, scale


def _call(name: str, dtype, shapes):
    bits = jnp.finfo(dtype).bits
    return jax.ffi.ffi_call(f"lehr_linear_{name}_f{bits}", shapes, vmap_method="expand_dims")


def _leaves(tables: Tables) -> list[Array]:
    return [jnp.asarray(leaf) for leaf in vars(tables).values()]


def _flat(weights: tuple[Array, ...]) -> Float[Array, " _"]:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in weights])
