"""Scores, the gradients of ln p of single samples, in forms that never hold more than they must."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lehr._types import matmul
from lehr.ansatz.affine import Affine
from lehr.shares import gathered


class Scores(eqx.Module):
    """The matrix O[M, P] of `d ln p(s_m) / d theta` for M samples and P parameters, known by its products.

    Where the samples are divided (`lehr.shares`) each device has its own rows.
    """

    @abc.abstractmethod
    def gram(self) -> Float[Array, "m m"]:
        """O O^T of the samples of all devices, shape [M, M]."""

    @abc.abstractmethod
    def pull(self, weights: Float[Array, " m"]) -> Any:
        """O^T weights of the samples of this device, a pytree like the parameters."""


class Jacobian(Scores):
    """The matrix itself: a pytree like the parameters, whose leaves have a leading axis of samples.

    >>> scores = Jacobian({"a": jnp.array([1.0, 2.0]), "b": jnp.array([[1.0], [-1.0]])})
    >>> scores.gram().tolist(), scores.pull(jnp.array([1.0, 1.0]))["a"].tolist()
    ([[2.0, 1.0], [1.0, 5.0]], 3.0)
    """

    leaves: Any

    def gram(self) -> Float[Array, "m m"]:
        """O O^T of the samples of all devices, shape [M, M]."""
        rows = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(self.leaves)]
        return gathered(jnp.asarray(sum(matmul(row, gathered(row).T) for row in rows)))

    def pull(self, weights: Float[Array, " m"]) -> Any:
        """O^T weights of the samples of this device, a pytree like the parameters."""
        return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, axes=1), self.leaves)


class OuterProducts(Scores):
    """Scores of a network of affine maps that is applied at N sites, by what its taps saw.

    The score in the kernel of an affine map is, for each sample, the sum over the sites of the outer products of
    `inputs` [N, M, k] and `deltas` [N, M, d]; in its bias that of the deltas. With `shared=False` each site has its own
    maps: then the Gram matrix is a sum over the sites of products of two small Gram matrices, and no Jacobian is made.
    `maps` is the pytree of the affine maps, as `structure` and whether each has a bias.
    """

    inputs: tuple[Float[Array, "n m _"], ...]
    deltas: tuple[Float[Array, "n m _"], ...]
    structure: Any = eqx.field(static=True)
    biased: tuple[bool, ...] = eqx.field(static=True)
    shared: bool = eqx.field(static=True)

    def gram(self) -> Float[Array, "m m"]:
        """O O^T of the samples of all devices, shape [M, M]."""
        if self.shared:
            return Jacobian(self._summed(self.deltas, "m")).gram()

        own = self.inputs, self.deltas
        everyone = gathered(own, axis=1)

        def add_site(total, site):
            for inputs, deltas, all_inputs, all_deltas, biased in zip(*site, self.biased, strict=True):
                total = total + (matmul(inputs, all_inputs.T) + biased) * matmul(deltas, all_deltas.T)
            return total, None

        start = jnp.zeros((own[0][0].shape[1], everyone[0][0].shape[1]), own[0][0].dtype)
        return gathered(jax.lax.scan(add_site, start, (*own, *everyone))[0])

    def pull(self, weights: Float[Array, " m"]) -> Any:
        """O^T weights of the samples of this device, a pytree like the parameters."""
        weighted = tuple(deltas * weights[None, :, None] for deltas in self.deltas)
        return self._summed(weighted, "" if self.shared else "t")

    def _summed(self, all_deltas: tuple[Float[Array, "n m _"], ...], kept: str) -> Any:
        """Outer products summed over the sites t and the samples m, but for the axis that is kept."""
        affines = [
            Affine(
                jnp.einsum(f"tmd->{kept}d", deltas) if biased else None,
                jnp.einsum(f"tmk,tmd->{kept}kd", inputs, deltas, precision=jax.lax.Precision.HIGHEST),
            )
            for inputs, deltas, biased in zip(self.inputs, all_deltas, self.biased, strict=True)
        ]
        return jax.tree.unflatten(self.structure, affines)
