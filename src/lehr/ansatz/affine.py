"""Affine maps, where trained numbers meet a network's values, and the taps that observe them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from lehr._types import matmul


class Affine(eqx.Module):
    """`values @ kernel + bias`, without the bias where it is None.

    The fields hold arrays, possibly with leading axes, or anything that stands for them.

    >>> Affine(jnp.array([1.0]), jnp.array([[2.0], [3.0]]))(jnp.array([[1.0, 10.0]])).tolist()
    [[33.0]]
    """

    bias: Any
    kernel: Any

    def __call__(self, values: Float[Array, "m k"]) -> Float[Array, "m d"]:
        """The map of M rows."""
        product = jnp.asarray(matmul(values, self.kernel))
        return product if self.bias is None else product + self.bias[None]


class Tap:
    """An affine map that adds `probe` [M, d] to its outputs and remembers its inputs [M, k].

    For each sample the gradient in the kernel is the outer product of its input and of the derivative in the probe (the
    *delta*), so that these two are all that the scores of a network need.
    """

    def __init__(self, affine: Affine, probe: Float[Array, "m d"]):
        self._affine, self._probe = affine, probe
        self.inputs: list[Float[Array, "m k"]] = []

    def __call__(self, values: Float[Array, "m k"]) -> Float[Array, "m d"]:
        """The map of M rows."""
        self.inputs.append(values)
        return self._affine(values) + self._probe


def is_affine(node: Any) -> bool:
    """Whether a node of a pytree is an affine map."""
    return isinstance(node, Affine)
