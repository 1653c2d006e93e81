"""Curvature: leading eigenvalues of the Hessian of the exact loss, by Lanczos iteration."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Float64

from lehr._types import InputError
from lehr.anneal import informed_at
from lehr.ansatz.base import Ansatz, with_params
from lehr.landscape.loss import check_enumerable, doubled, exact_loss
from lehr.landscape.snapshot import Snapshot
from lehr.problem.base import Problem
from lehr.schedule import Controls

# Distance in the space of the parameters over which gradients are compared: long beside rounding, short beside bends.
_STEP = 1e-4


class Curvature(NamedTuple):
    """The largest and the smallest eigenvalues of the Hessian, each in rising order, and the norm of the gradient, in
    the units of H. One eigenvalue below zero means that the loss is not convex there."""

    largest: Float64[np.ndarray, " k"]
    smallest: Float64[np.ndarray, " k"]
    gradient_norm: float


def hessian_eigenvalues(snapshot: Snapshot, number: int = 3, *, tolerance: float = 1e-3, seed: int = 0) -> Curvature:
    """The `number` largest and as many smallest eigenvalues of the Hessian of the exact loss in the parameters.

    In float64, from products of the Hessian with vectors, which are central differences of exact gradients over a
    distance of 1e-4: networks have backward passes of their own, which cannot be differentiated again. Eigenvalues
    below about 1e-7 of the largest are not resolved. `tolerance` is that of the iteration, relative to an eigenvalue;
    `seed` that of the first vector.

    Returns: `Curvature`. Errors: `InputError` for more than 16 spins, or more eigenvalues than the parameters have.

    Source: Lanczos iteration with restarts (ARPACK through `scipy.sparse.linalg.eigsh`); at the Boltzmann distribution
    the Hessian is T times the Fisher information.

    >>> from lehr.landscape.snapshot import snapshots
    >>> (end,) = snapshots(Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5}), ["end"], num_steps=20, replicas=1)
    >>> found = hessian_eigenvalues(end, number=2)
    >>> bool(found.smallest[0] <= found.largest[-1]), found.largest.shape
    (True, (2,))
    """
    import scipy.sparse.linalg  # takes a second to import

    check_enumerable(snapshot.problem)
    size = snapshot.flat.size
    if not isinstance(number, int) or not 1 <= number < size / 2:
        raise InputError(
            f"Argument `number` must be an integer from 1 to below half of the {size} parameters, but it is {number!r}."
        )
    with jax.enable_x64(True):
        problem, ansatz, controls = doubled((snapshot.problem.bare(), snapshot.ansatz, snapshot.controls))
        row = ravel_pytree(ansatz.params)[0]

        def gradient(row: Array) -> np.ndarray:
            return np.asarray(_gradient(problem, ansatz, controls, row))

        def product(vector: np.ndarray) -> np.ndarray:
            length = float(np.linalg.norm(vector)) or 1.0
            step = jnp.asarray(_STEP / length * np.ravel(vector), np.float64)
            return (gradient(row + step) - gradient(row - step)) * (length / (2 * _STEP))

        operators: Any = scipy.sparse.linalg
        ends = operators.eigsh(
            operators.LinearOperator((size, size), matvec=product, dtype=np.float64),
            k=2 * number, which="BE", v0=np.random.default_rng(seed).normal(size=size), tol=tolerance,
            ncv=min(size, 6 * number + 8), return_eigenvectors=False,
        )  # fmt: skip
        norm = float(np.linalg.norm(gradient(row)))
    ends = np.sort(ends)
    return Curvature(ends[number:], ends[:number], norm)


@eqx.filter_jit
def _gradient(
    problem: Problem, ansatz: Ansatz, controls: Controls, row: Float[Array, " parameters"]
) -> Float[Array, " parameters"]:
    informed, _ = informed_at(controls, problem, ansatz)
    restored = ravel_pytree(informed.params)[1]
    return jax.grad(lambda row: exact_loss(problem, with_params(informed, restored(row)), controls))(row)
