"""Planes: the loss on a two-dimensional cut through the space of the parameters."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array, Float, PyTree

from lehr._types import InputError, Key
from lehr.anneal import informed_at
from lehr.ansatz.affine import Affine, is_affine
from lehr.ansatz.base import Ansatz, with_params
from lehr.landscape.loss import check_enumerable, doubled, exact_loss, sampled_loss
from lehr.landscape.snapshot import Snapshot
from lehr.problem.base import Problem
from lehr.schedule import Controls

KINDS = ("gaussian", "norm", "filter")
# Spins drawn in one call of the compiled program: about a tenth of a second, and bounded memory.
_MOST_SPINS = 2**18


def directions(key: Key, params: PyTree, kind: str = "gaussian") -> tuple[PyTree, PyTree]:
    """Two random directions in the space of the parameters, from independent N(0, 1) numbers.

    Arguments: `kind`: "gaussian": the numbers as they are, of a norm near the root of their count; "norm": scaled to
    the norm of the parameters (paper B's "vectors of length ||theta*||" may mean either); "filter": what feeds one
    unit, a column of a kernel with its bias, and elsewhere each array, scaled to the norm of its own parameters, so
    that what is zero stays zero.

    Errors: `InputError` for another kind. Source: paper B, equation 8; filters: H. Li, Z. Xu, G. Taylor, C. Studer,
    T. Goldstein, NeurIPS 2018, arXiv:1712.09913.

    >>> delta, eta = directions(jax.random.key(0), {"w": jnp.array([3.0, 4.0])}, "norm")
    >>> float(jnp.linalg.norm(delta["w"]).round(4)), bool((delta["w"] == eta["w"]).any())
    (5.0, False)
    """
    if kind not in KINDS:
        raise InputError(f"Argument `kind` must be one of {', '.join(KINDS)}, but it is {kind!r}.")
    first, second = jax.random.split(key)
    return _direction(first, params, kind), _direction(second, params, kind)


def _direction(key: Key, params: PyTree, kind: str) -> PyTree:
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = structure.unflatten(
        [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    )
    if kind == "gaussian":
        return drawn
    if kind == "norm":
        return optax.tree.scale(optax.tree.norm(params) / optax.tree.norm(drawn), drawn)
    return jax.tree.map(_filterwise, drawn, params, is_leaf=is_affine)


def _filterwise(drawn: Any, given: Any) -> Any:
    if not is_affine(given):
        return drawn * (jnp.linalg.norm(given) / jnp.linalg.norm(drawn))
    scale = _unit_norms(given) / _unit_norms(drawn)
    return Affine(None if drawn.bias is None else drawn.bias * scale, drawn.kernel * scale[..., None, :])


def _unit_norms(affine: Affine) -> Float[Array, "*sites units"]:
    squares = (affine.kernel**2).sum(-2)
    return jnp.sqrt(squares if affine.bias is None else squares + affine.bias**2)


def plane(
    snapshot: Snapshot,
    *,
    grid: int = 51,
    extent: float = 1.0,
    kind: str = "gaussian",
    along: tuple[PyTree, PyTree] | None = None,
    alpha: Float[np.ndarray, " a"] | None = None,
    beta: Float[np.ndarray, " b"] | None = None,
    seed: int = 0,
    num_samples: int | None = None,
    common: bool = False,
    exact: bool = False,
    report: Callable[[int, int], Any] = lambda done, total: None,
) -> xr.Dataset:
    """The loss at theta* + alpha delta + beta eta (paper B, algorithm 2).

    Arguments: `grid` points from -`extent` to `extent` along both axes, or `alpha` and `beta` themselves; directions
    of a `kind`, or `along` two of your own (pytrees like the parameters); `seed` of the directions and of the samples;
    `num_samples` at each point, by default those of a training step. Every point has random numbers of its own, as in
    the paper; with `common` all have those of the training step that would come next, so that the centre is the loss of
    this very step. With `exact` there are no samples: all states are summed, for at most 16 spins, in float64.
    `report(done, total)` is called as points are done.

    Returns: `loss` and its standard error `error` (0 where exact), with dimensions (alpha, beta), and the loss at
    theta* `centre` with `centre_error`, in the units of H and with the problem's offset. Errors: `InputError`.

    >>> from lehr.landscape.snapshot import snapshots
    >>> chain = Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5})
    >>> (end,) = snapshots(chain, ["end"], num_steps=20, replicas=1)
    >>> found = plane(end, grid=3, exact=True)
    >>> dict(found.sizes), bool(found["loss"].sel(alpha=0, beta=0) == found["centre"])
    ({'alpha': 3, 'beta': 3}, True)
    """
    scan = Scan(snapshot, kind=kind, along=along, seed=seed, num_samples=num_samples, common=common, exact=exact)
    if alpha is None and beta is None:
        alpha = beta = axis(grid, extent)
    if alpha is None or beta is None:
        raise InputError("Arguments `alpha` and `beta` must be given together, but one is missing.")
    rows = []
    for number, place in enumerate(alpha):
        rows.append(scan.row(float(place), beta, number))
        report((number + 1) * len(beta), len(alpha) * len(beta))
    loss, error = np.moveaxis(np.array(rows), 1, 0)
    return scan.dataset(alpha, beta, loss, error)


def axis(grid: int, extent: float) -> Float[np.ndarray, " grid"]:
    """Evenly spaced numbers from -`extent` to `extent`; errors: `InputError` for fewer than 2 or a bad extent."""
    if not isinstance(grid, int) or grid < 2:
        raise InputError(f"Argument `grid` must be an integer of at least 2, but it is {grid!r}.")
    if not 0 < extent < float("inf"):
        raise InputError(f"Argument `extent` must be positive and finite, but it is {extent}.")
    return np.linspace(-extent, extent, grid)


class Scan:
    """One plane, row by row; the arguments are those of `plane`.

    Errors: `InputError` for a bad argument.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        kind: str = "gaussian",
        along: tuple[PyTree, PyTree] | None = None,
        seed: int = 0,
        num_samples: int | None = None,
        common: bool = False,
        exact: bool = False,
    ):
        num_samples = snapshot.num_samples if num_samples is None else num_samples
        if not isinstance(num_samples, int) or num_samples < 2:
            raise InputError(f"Argument `samples` must be an integer of at least 2, but it is {num_samples!r}.")
        self.snapshot, self.num_samples, self.exact = snapshot, num_samples, exact
        if exact:
            check_enumerable(snapshot.problem)
        with snapshot.precision:
            directed, sampled = jax.random.split(jax.random.key(seed))
            self.along = directions(directed, snapshot.params, kind) if along is None else along
            self._key, self._common = (snapshot.key, True) if common else (sampled, False)
        self._fixed = snapshot.problem.bare(), snapshot.ansatz, snapshot.controls
        states = 2**snapshot.problem.num_spins if exact else num_samples
        flips = 1 if snapshot.controls.field is None or exact else snapshot.problem.num_spins
        self.chunk = max(1, _MOST_SPINS // (states * snapshot.problem.num_spins * flips))

    def row(
        self, alpha: float, beta: Float[np.ndarray, " b"], number: int = 0
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
        """Loss and error at one alpha, in chunks; `number` of the row tells its random numbers from those of others."""
        places = np.stack([np.full(len(beta), alpha), beta], axis=1)
        numbers = number * len(beta) + np.arange(len(beta))
        found = []
        for first in range(0, len(beta), self.chunk):
            # The last chunk is filled up, so that one compiled program does for all.
            mine = np.minimum(np.arange(first, first + min(self.chunk, len(beta))), len(beta) - 1)
            values = self._at(places[mine], numbers[mine])
            found.append([value[: len(beta) - first] for value in values])
        loss, error = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return loss + float(self.snapshot.problem.offset), error

    def dataset(self, alpha, beta, loss, error) -> xr.Dataset:
        """Rows put together, and the loss at the centre."""
        centre, centre_error = self.row(0.0, np.zeros(1), -1)
        return xr.Dataset(
            {
                "loss": (("alpha", "beta"), np.asarray(loss)),
                "error": (("alpha", "beta"), np.asarray(error)),
                "centre": float(centre[0]),
                "centre_error": float(centre_error[0]),
                **self.snapshot.values,
                "step": self.snapshot.step,
            },
            coords={"alpha": np.asarray(alpha), "beta": np.asarray(beta)},
        )

    def _at(self, places: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with jax.enable_x64(True) if self.exact else self.snapshot.precision:
            fixed, along = self._fixed, self.along
            if self.exact:
                fixed, along = doubled((fixed, along))
            problem, ansatz, controls = fixed
            dtype = jnp.result_type(*jax.tree.leaves(along))
            loss, error = _losses(
                problem, ansatz, controls, along, jnp.asarray(places, dtype), self._key, self._common,
                jnp.asarray(numbers, jnp.uint32), self.num_samples, self.exact,
            )  # fmt: skip
            return np.asarray(loss, np.float64), np.asarray(error, np.float64)


@eqx.filter_jit
def _losses(
    problem: Problem, ansatz: Ansatz, controls: Controls, along, places, key, common, numbers, num_samples, exact
):
    """Loss and error at places [K, 2], for each with the random numbers of its number, or all with the same."""
    ansatz, _ = informed_at(controls, problem, ansatz)

    def at(point):
        place, number = point
        params = jax.tree.map(lambda theta, *d: theta + place[0] * d[0] + place[1] * d[1], ansatz.params, *along)
        moved = with_params(ansatz, params)
        if exact:
            return exact_loss(problem, moved, controls), jnp.zeros(())
        mine = key if common else jax.random.fold_in(key, number)
        return sampled_loss(problem, moved, controls, mine, num_samples)

    together = controls.field is None and not exact and (ansatz.side_by_side or jax.default_backend() != "cpu")
    return jax.vmap(at)((places, numbers)) if together else jax.lax.map(at, (places, numbers))
