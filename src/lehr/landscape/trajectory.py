"""Trajectories: the way of the parameters through an anneal, on the plane that holds most of it."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PyTree

from lehr._types import InputError
from lehr.landscape.scan import plane
from lehr.landscape.snapshot import Snapshot


def path(
    snapshots: Sequence[Snapshot],
    *,
    grid: int = 31,
    margin: float = 0.2,
    seed: int = 0,
    num_samples: int | None = None,
    exact: bool = False,
    report: Callable[[int, int], Any] = lambda done, total: None,
) -> xr.Dataset:
    """The way from the first snapshot to the last, projected on its two principal components, and the loss around it.

    Arguments: at least three `snapshots` of one run; `grid` points along both axes; `margin` around the path, relative
    to its extent; the others as in `lehr.landscape.plane`. The loss is that of the last snapshot's controls
    everywhere (`Snapshot.at` gives it others).

    Returns: `lehr.landscape.plane` around the last snapshot along unit vectors, so that alpha and beta are distances,
    with `x` and `y` of each snapshot by `moment`, and `explained`, the share of the squared distances from the end that
    each of the two components holds. Two components hold much of any smooth path, of a random walk in many dimensions
    too. Errors: `InputError` where the parameters of the snapshots are not of one kind, or do not move in a plane.

    Source: H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, NeurIPS 2018, arXiv:1712.09913, section 7.

    >>> from lehr.landscape.snapshot import snapshots
    >>> from lehr.problem.base import Problem
    >>> chain = Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5})
    >>> found = path(snapshots(chain, [0, 5, 10], num_steps=10, replicas=1), grid=3, exact=True)
    >>> found["x"].shape, float(found["x"][-1]), bool(abs(found["explained"].sum() - 1) < 1e-6)
    ((3,), 0.0, True)
    """
    rows = [snapshot.flat.astype(np.float64) for snapshot in snapshots]
    if len(rows) < 3 or len({row.size for row in rows}) > 1:
        raise InputError("Argument `snapshots` must hold at least three of one run, but it does not.")
    last = snapshots[-1]
    away = np.stack(rows) - rows[-1]
    _, lengths, components = np.linalg.svd(away, full_matrices=False)
    if not lengths[1] > 1e-9 * lengths[0]:
        raise InputError("Argument `snapshots` must not lie on one line, but they do.")
    components = components[:2]
    places = away @ components.T
    alpha, beta = (_around(column, grid, margin) for column in places.T)
    first, second = (_restored(last, component) for component in components)
    found = plane(
        last, along=(first, second), alpha=alpha, beta=beta, seed=seed, num_samples=num_samples, exact=exact,
        report=report,
    )  # fmt: skip
    return found.assign(
        x=("moment", places[:, 0]),
        y=("moment", places[:, 1]),
        steps=("moment", [snapshot.step for snapshot in snapshots]),
        explained=("component", lengths[:2] ** 2 / (lengths**2).sum()),
    )


def _around(values: Float[np.ndarray, " k"], grid: int, margin: float) -> Float[np.ndarray, " grid"]:
    low, high = values.min(), values.max()
    return np.linspace(low - margin * (high - low), high + margin * (high - low), grid)


def _restored(snapshot: Snapshot, row: Float[np.ndarray, " parameters"]) -> PyTree:
    with snapshot.precision:
        flat, restore = ravel_pytree(snapshot.params)
        return restore(jnp.asarray(row, flat.dtype))
