"""The samples of one network on several devices: each device draws its share, and all know what all have drawn.

Under `jax.shard_map` over the axis `SAMPLES`, and nowhere else, these functions do anything. Random numbers are made
for all samples and each device keeps its own, so that the states are those that one device draws. What is computed of
each sample alone is done by the device that drew it; then all gather the samples, and means, baselines and the step
itself are the same everywhere.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

SAMPLES = "lehr_samples"


def num_shares() -> int:
    """Among how many devices the samples are divided here, 1 for all.

    >>> num_shares()
    1
    """
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.shape[SAMPLES] if SAMPLES in mesh.manual_axes else 1


def own_share(values: Array, axis: int = 0) -> Array:
    """Of values for all samples along `axis` those of this device; the last share is filled up with the last value."""
    if (shares := num_shares()) == 1:
        return values
    size = -(-values.shape[axis] // shares)
    fill = [(0, size * shares - length if at == axis else 0) for at, length in enumerate(values.shape)]
    values = jnp.pad(values, fill, mode="edge")
    return lax.dynamic_slice_in_dim(values, lax.axis_index(SAMPLES) * size, size, axis)


def gathered(tree: Any, axis: int = 0) -> Any:
    """The arrays of all devices, joined along the axis of their samples."""
    return tree if num_shares() == 1 else lax.all_gather(tree, SAMPLES, axis=axis, tiled=True)


def summed(tree: Any) -> Any:
    """The sum of what the devices have."""
    return tree if num_shares() == 1 else lax.psum(tree, SAMPLES)
