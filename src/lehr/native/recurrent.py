"""Recurrent networks by kernels: the pass forwards, its gradient, scores of single samples, and flips."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lehr import native
from lehr._types import ArrayLike
from lehr.ansatz.cells import ACTIVATIONS, GRU, Cell, Tensorised, Vanilla
from lehr.ansatz.scan import Network

# In the order of the kernels.
_KINDS = (Vanilla, Tensorised, GRU)
_ACTIVATIONS = tuple(ACTIVATIONS[name] for name in ("elu", "relu", "sigmoid", "softplus", "tanh"))


class Forward(NamedTuple):
    """A pass over the sites: states, spins (both with their slot 0) and conditional log-probabilities by position;
    and what its gradient needs besides: the derivatives of ln p in the logits, what the sites took in, and the fields
    that they heard."""

    states: Float[Array, "slots m d"]
    spins: Float[Array, "n_plus_1 m"]
    log_prob: Float[Array, "n m"]
    scores: Float[Array, "n m"]
    inputs: Float[Array, "n m k"]
    fields: Float[Array, "n kinds m"]


def serve(cell: Cell, dtype: Any) -> bool:
    """Whether there are kernels for networks of this cell, and they are used."""
    first = cell.layers[0]
    return (
        native.status().active
        and jnp.dtype(dtype) in (np.float32, np.float64)
        and type(first) in _KINDS
        and first.activation in _ACTIVATIONS
        and all((type(layer), layer.activation) == (type(first), first.activation) for layer in cell.layers)
    )


def forward(network: Network, feed: Float[Array, "n m"], *, draw: bool) -> Forward:
    """The pass that draws spins by the uniform numbers in `feed`, or that evaluates the spins in it."""
    num_sites, num_samples = feed.shape
    cell, inputs = network.cell, network.cell.layers[0].num_inputs
    kinds = 0 if network.hearing is None else len(network.hearing.kinds)
    shapes = [
        (1 + num_sites * cell.depth, num_samples, cell.hidden),
        (1 + num_sites, num_samples),
        (num_sites, num_samples),
        (num_sites, num_samples),
        (num_sites, num_samples, inputs),
        (num_sites, kinds, num_samples),
    ]
    call = _call("forward", feed.dtype, [jax.ShapeDtypeStruct(shape, feed.dtype) for shape in shapes])
    return Forward(*call(feed, *_arguments(network, feed.dtype), **_attributes(network), draw=draw))


def gradient(network: Network, passed: Forward, weights: Float[Array, "n m"]) -> Any:
    """The gradient of the sum of `weights` times the conditional log-probabilities, a pytree like the parameters."""
    return _backward(network, passed, weights, ())


def scores(network: Network, passed: Forward) -> Any:
    """d ln p(s) / d theta of every sample, a pytree like the parameters with a leading axis of samples.

    The sites must share the parameters.
    """
    num_samples = passed.spins.shape[1]
    return _backward(network, passed, jnp.ones_like(passed.log_prob), (num_samples,))


def flip_log_ratio(network: Network, spins: Float[Array, "n m"], ends: Int[ArrayLike, " n"]) -> Float[Array, "n m"]:
    """ln p(s with one spin flipped) - ln p(s), all by position, where the conditionals at `ends[t]` and later do not
    depend on spin t."""
    passed = forward(network, spins, draw=False)
    call = _call("flips", spins.dtype, jax.ShapeDtypeStruct(spins.shape, spins.dtype))
    ends = jnp.asarray(ends, jnp.int32)
    own = (passed.spins, passed.states, passed.log_prob, ends)
    return call(*own, *_arguments(network, spins.dtype), **_attributes(network))


def _backward(network: Network, passed: Forward, weights: Float[Array, "n m"], leading: tuple[int, ...]) -> Any:
    leaves, structure = jax.tree.flatten(network.params)
    shapes = [jax.ShapeDtypeStruct((*leading, *leaf.shape), leaf.dtype) for leaf in leaves]
    own = (weights, passed.states, passed.scores, passed.inputs, passed.fields)
    call = _call("backward", weights.dtype, shapes)
    found = call(*own, *_arguments(network, weights.dtype), **_attributes(network), by_sample=bool(leading))
    return structure.unflatten(found)


def _call(name: str, dtype: Any, shapes: Any):
    bits = jnp.finfo(dtype).bits
    return jax.ffi.ffi_call(f"lehr_recurrent_{name}_f{bits}", shapes, vmap_method="sequential")


def _arguments(network: Network, dtype: Any) -> list[Array]:
    """The tables, what is heard of each kind of products, and the parameters."""
    arguments = [jnp.asarray(network.state_slots, jnp.int32), jnp.asarray(network.spin_slots, jnp.int32)]
    if network.hearing is not None:
        for kind, sites in zip(network.hearing.kinds, network.hearing.sites, strict=True):
            arguments += [jnp.asarray(sites.numbers), jnp.asarray(sites.others), jnp.asarray(sites.closing)]
            arguments += [jnp.asarray(kind.evidence, dtype), jnp.asarray(kind.effective, dtype)]
    return [*arguments, *jax.tree.leaves(network.params)]


def _attributes(network: Network) -> dict[str, Any]:
    cell, hearing = network.cell, network.hearing
    return {
        "kind": _KINDS.index(type(cell.layers[0])),
        "activation": _ACTIVATIONS.index(cell.layers[0].activation),
        "depth": cell.depth,
        "hidden": cell.hidden,
        "features": np.array([] if hearing is None else [kind.features for kind in hearing.kinds], np.int64),
        "shared": network.shared,
    }
