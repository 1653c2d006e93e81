"""Adam by a kernel: parameters and moments are read once and changed in place."""

from typing import Any

import jax
import jax.numpy as jnp

from lehr import native


def serves(params: Any) -> bool:
    """Whether the kernel is used, and all parameters are of its one type."""
    types = {leaf.dtype for leaf in jax.tree.leaves(params)}
    return native.status().active and types in ({jnp.dtype("float32")}, {jnp.dtype("float64")})


def step(rates: list[Any], params: Any, first: Any, second: Any, gradient: Any) -> tuple[Any, Any, Any]:
    """Parameters and moments after one step; `rates` are the rate, the factor by which the gradient is clipped, the
    two decays, the two corrections of the moments, and what is added to the root of the second."""
    leaves, structure = jax.tree.flatten(params)
    changed = [*leaves, *jax.tree.leaves(first), *jax.tree.leaves(second)]
    dtype = leaves[0].dtype
    kernel = jax.ffi.ffi_call(
        f"lehr_adam_f{jnp.finfo(dtype).bits}",
        [jax.ShapeDtypeStruct(leaf.shape, dtype) for leaf in changed],
        input_output_aliases={1 + place: place for place in range(len(changed))},
        vmap_method="broadcast_all",
    )
    found = kernel(jnp.stack([jnp.asarray(rate, dtype) for rate in rates]), *changed, *jax.tree.leaves(gradient))
    parts = (found[part * len(leaves) : (part + 1) * len(leaves)] for part in range(3))
    params, first, second = (jax.tree.unflatten(structure, part) for part in parts)
    return params, first, second
