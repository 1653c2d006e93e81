"""Principal components: the few directions in which samples differ most."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from lehr._types import InputError


class Principal(NamedTuple):
    """`positions` [M, K] of M samples along the first K principal axes, `axes` [K, N], orthonormal, and the `shares`
    [K] of the variance that lie along them, NaN where all samples are equal."""

    positions: Float64[np.ndarray, "m k"]
    axes: Float64[np.ndarray, "k n"]
    shares: Float64[np.ndarray, " k"]


def principal_components(samples: ArrayLike, num_components: int = 2, *, weights: ArrayLike | None = None) -> Principal:
    """Samples along their principal axes.

    Args: `samples` [M, N], of spins or any numbers; `num_components` K, from 1 to N; `weights` [M], how often each
        sample was drawn, once by default.
    Returns: `Principal`. The largest component of each axis is positive, so that pictures do not depend on the
        library's choice of sign; axes of equal shares remain arbitrary among themselves.
    Errors: `InputError` for other shapes, numbers that are not finite, and weights that are negative or all zero.

    Source: K. Pearson, Philosophical Magazine 2, 559 (1901); by the singular values of the centred samples.

    >>> found = principal_components([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], 3)
    >>> found.shares.round(3).tolist()
    [0.333, 0.333, 0.333]
    """
    values = np.asarray(samples, np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise InputError(f"Argument `samples` must hold finite numbers [M, N], but its shape is {values.shape}.")
    if not 1 <= num_components <= values.shape[1]:
        raise InputError(
            f"Argument `num_components` must lie between 1 and {values.shape[1]}, but it is {num_components}."
        )
    counts = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    if counts.shape != values.shape[:1] or not (np.isfinite(counts) & (counts >= 0)).all() or not counts.any():
        raise InputError("Argument `weights` must hold a number of each sample, none negative and not all zero.")
    shares = counts / counts.sum()
    centred = values - shares @ values
    _, singular, axes = np.linalg.svd(np.sqrt(shares)[:, None] * centred, full_matrices=True)
    axes = axes[:num_components]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.where(largest < 0, -1.0, 1.0)
    variances = np.zeros(values.shape[1])
    variances[: len(singular)] = singular**2
    total = variances.sum()
    nothing = total <= 1e-20 * max(1.0, float((values**2).max()))
    explained = np.full(num_components, np.nan) if nothing else variances[:num_components] / total
    return Principal(centred @ axes.T, axes, explained)
