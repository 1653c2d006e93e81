"""Shapes, conventions and the one page of signs.

Signs and units, valid everywhere in Lehr
-----------------------------------------
* A spin is ``s = +1`` or ``s = -1``; a bit is ``x = (1 + s) / 2``, so ``x = 1`` is spin up (dimod's convention).
* Energies are **minimised**, and every coefficient enters with a plus sign:
  ``H(s) = offset + sum_m c_m prod_{i in m} s_i``.
* The physics papers write ``H = -sum J_ij s_i s_j - sum h_i s_i``. Only the constructors of the named families take
  couplings in that sign, and each says so; they store ``c = -J``.
* The transverse field adds ``-Gamma sum_i sigma^x_i`` with ``Gamma >= 0``, so ``psi(s) = sqrt(p(s))`` is the
  ground-state ansatz (all amplitudes non-negative).
* Temperature ``T`` and field ``Gamma`` are in the units of ``H`` (Boltzmann's constant is 1). The variational free
  energy is ``F = <H> - T S`` with ``S = -sum_s p(s) ln p(s)`` in nats.
* ``Problem.energy`` of a NumPy array is computed in float64 on the host; of a JAX array, in that array's precision.

Axes: ``R`` replicas, ``M`` samples, ``N`` spins, always in this order. Spins are listed in the order of the problem
(the order of its labels), whatever order an ansatz draws them in.
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Num, PRNGKeyArray

ArrayLike: TypeAlias = Array | np.ndarray
Spins: TypeAlias = Num[ArrayLike, "*batch num_spins"]
Energy: TypeAlias = Float[ArrayLike, "*batch"]
LogProb: TypeAlias = Float[Array, "num_samples num_spins"]
Key: TypeAlias = PRNGKeyArray


class InputError(ValueError):
    """A mistake in what the caller handed over; its message is one line that names the argument and the remedy."""


def is_traced(value: Any) -> bool:
    """Whether only the shape of `value` is known, because a program is being compiled."""
    return isinstance(value, Tracer)


def namespace(array: ArrayLike) -> Any:
    """`jax.numpy` for a JAX array, `numpy` for everything else."""
    return jnp if isinstance(array, jax.Array) else np


def as_real_spins(spins: Spins) -> ArrayLike:
    """Spins as floating-point numbers: float64 for NumPy input, at least float32 for JAX input."""
    if isinstance(spins, jax.Array):
        return spins if jnp.issubdtype(spins.dtype, jnp.floating) else spins.astype(jnp.float32)
    return np.asarray(spins, dtype=np.float64)


def sum_by_index(values: ArrayLike, index: ArrayLike, size: int) -> ArrayLike:
    """Sum `values[..., m]` into `result[..., size]`, where entry m goes to `index[m]`."""
    xp = namespace(values)
    total = xp.zeros((*values.shape[:-1], size), values.dtype)
    if xp is jnp:
        return total.at[..., index].add(values)
    where: Any = (..., np.asarray(index))
    np.add.at(total, where, values)
    return total


def matmul(left: ArrayLike, right: ArrayLike) -> ArrayLike:
    """Matrix product in full precision on every device (accelerators round float32 inputs by default)."""
    if namespace(left) is jnp:
        return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
    return np.matmul(left, right)


def bits_from_spins(spins: Spins) -> ArrayLike:
    """Bits `x = (1 + s) / 2` of spins `s`, as int8.

    >>> bits_from_spins(np.array([1, -1, 1]))
    array([1, 0, 1], dtype=int8)
    """
    xp = namespace(spins)
    return (xp.asarray(spins) > 0).astype(xp.int8)
