"""The recurrent base: sampling, log-probability, gradient and flips, written once for every cell and every geometry.

A recurrent ansatz is a cell and two tables, which say what the cell computes from at each site (`lehr.ansatz.scan`).
The passes over the sites are made by kernels where there are some for the cell (`lehr.native.recurrent` on CPUs,
`lehr.native.pallas` on GPUs), and otherwise by the reference path, which takes any cell; nothing outside this room
knows which. The gradient is a `jax.custom_vjp` from what the very pass has left that drew the samples.
"""

import functools
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from lehr._types import ArrayLike, InputError, Key, LogProb
from lehr.ansatz import scan
from lehr.ansatz.affine import Affine
from lehr.ansatz.base import Ansatz, SiteOrder
from lehr.ansatz.cells import Cell
from lehr.ansatz.hearing import Hearing
from lehr.ansatz.scan import Network
from lehr.ansatz.scores import Jacobian, Scores
from lehr.native import pallas
from lehr.native import recurrent as kernels
from lehr.problem.base import Problem
from lehr.shares import own_share

Tables = tuple[Int[ArrayLike, "n p"], Int[ArrayLike, "n q"], Hearing | None]


class Recurrent(Ansatz):
    """A recurrent network over the sites: `cell` computes, `state_slots` and `spin_slots` say from what.

    With a `hearing` the cell also sees the terms of its site and their products, and the logit gets their fields by a
    skip connection, each kind scaled by its entry of the trained `coupling`, 1 at the start. The head then starts at
    zero, so that at first the fields are all: exact to second order at high temperature.

    With `shared=False` every leaf of `params` has a leading axis of N sites, in the order in which they are drawn.
    """

    params: eqx.AbstractVar[Any]
    order: eqx.AbstractVar[SiteOrder]
    cell: eqx.AbstractVar[Cell]
    shared: eqx.AbstractVar[bool]
    state_slots: eqx.AbstractVar[Int[ArrayLike, "n p"]]
    spin_slots: eqx.AbstractVar[Int[ArrayLike, "n q"]]
    hearing: eqx.AbstractVar[Hearing | None]

    def fresh_params(self, key: Key) -> Any:
        """New random parameters in JAX's current default precision; `params` has the same structure."""
        return fresh_params(self.cell, self.shared, self.order.sites.shape[-1], key, self.hearing)

    def informed(self, problem: Problem, inverse_temperature: Float[Array, ""]) -> "Recurrent":
        """The ansatz with the coefficients of `problem` and `beta` in its hearing; itself where it has none.

        Errors: `InputError` where other spins interact than in the problem it was built for.
        """
        if self.hearing is None:
            return self
        return eqx.tree_at(lambda a: a.hearing, self, self.hearing.told(problem, inverse_temperature))

    def sample(self, key: Key, num_samples: int) -> tuple[Float[Array, "num_samples n"], LogProb]:
        """Draw independent samples: (spins[num_samples, N], log_prob[num_samples, N]), one conditional per spin."""
        spins, log_prob = self._conditionals(self._noise(key, num_samples), draw=True)
        return lax.stop_gradient(self.order.by_spin(spins)), self.order.by_spin(log_prob)

    def log_prob(self, spins: Float[Array, "num_samples n"]) -> LogProb:
        """ln p(s_i | spins drawn before), shape [num_samples, N] in the problem's spin order; the sum is ln p(s)."""
        _, log_prob = self._conditionals(lax.stop_gradient(self._by_position(spins)), draw=False)
        return self.order.by_spin(log_prob)

    def flip_log_ratio(self, spins: Float[Array, "num_samples n"]) -> Float[Array, "num_samples n"]:
        """ln p(s with spin i flipped) - ln p(s) for every i, shape [num_samples, N]. Not differentiated."""
        return _flip_log_ratio(self._path, self, spins)

    def scores(self, spins: Float[Array, "num_samples n"]) -> Scores:
        """d ln p(s) / d theta of every sample."""
        passed = self._path.forward(self._network, self._by_position(spins), draw=False)
        return _scores(self._path, self._network, passed)

    def sample_scored(self, key: Key, num_samples: int) -> tuple[Float[Array, "num_samples n"], LogProb, Scores]:
        """`sample`, and the `scores` of what it drew from the states of the same pass; not differentiated."""
        passed = self._path.forward(self._network, self._noise(key, num_samples), draw=True)
        spins, log_prob = self.order.by_spin(passed.spins[1:]), self.order.by_spin(passed.log_prob)
        return spins, log_prob, _scores(self._path, self._network, passed)

    def _noise(self, key: Key, num_samples: int) -> Float[Array, "n num_samples"]:
        """Uniform random numbers, one for each spin of the samples of this device."""
        if num_samples < 1:
            raise InputError(f"Argument `num_samples` must be at least 1, but it is {num_samples}.")
        dtype = _dtype(self.params)
        # Never 0: a rounded uniform number would choose spins of vanishing probability far too often.
        least = jnp.finfo(dtype).eps / 2
        shape = self.order.sites.shape[-1], num_samples
        return own_share(jax.random.uniform(key, shape, dtype, minval=least), axis=1)

    @property
    def side_by_side(self) -> bool:
        """No: XLA has no fast batched matrix product on CPUs; side by side they take three to ten times as long."""
        return False

    @property
    def divides_samples(self) -> bool:
        """Yes, by the uniform numbers."""
        return True

    @property
    def _tables(self) -> Tables:
        return self.state_slots, self.spin_slots, lax.stop_gradient(self.hearing)

    @property
    def _network(self) -> Network:
        return Network(self.cell, self.shared, self.params, *self._tables)

    @property
    def _path(self) -> ModuleType:
        """The room whose functions make the passes."""
        dtype = _dtype(self.params)
        return next((path for path in (kernels, pallas) if path.serve(self.cell, dtype)), scan)

    def _conditionals(self, feed: Float[Array, "n m"], *, draw: bool) -> tuple[Array, Array]:
        static = self._path, self.cell, self.shared, draw
        return _conditionals(*static, self.params, self._tables, feed)

    def _by_position(self, spins: Float[ArrayLike, "num_samples n"]) -> Float[Array, "n num_samples"]:
        num_sites = self.order.sites.shape[-1]
        if spins.ndim != 2 or spins.shape[1] != num_sites:
            raise InputError(f"Argument `spins` must have shape [num_samples, {num_sites}], but it is {spins.shape}.")
        return jnp.asarray(spins, _dtype(self.params)).T[self.order.sites]


def fresh_params(cell: Cell, shared: bool, num_sites: int, key: Key | None, hearing: Hearing | None) -> Any:
    """Random parameters of `cell`: one set if `shared`, else one for each site on a leading axis."""
    sites = () if shared else (num_sites,)
    params = cell.init(jax.random.key(0) if key is None else key, sites)
    if hearing is None:
        return params
    head = jax.tree.map(jnp.zeros_like, params["head"])
    coupling = Affine(None, jnp.ones((*sites, len(hearing.kinds), 1), head.bias.dtype))
    return {**params, "head": head, "coupling": coupling}


def _dtype(params: Any) -> Any:
    return jnp.result_type(*jax.tree.leaves(params))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _differentiable(
    path: ModuleType, cell: Cell, shared: bool, draw: bool, params: Any, tables: Tables, feed: Float[Array, "n m"]
) -> tuple[Float[Array, "n m"], Float[Array, "n m"]]:
    """Spins and conditional log-probabilities by position; differentiable in `params`."""
    passed = path.forward(Network(cell, shared, params, *tables), feed, draw=draw)
    return passed.spins[1:], passed.log_prob


def _onwards(path, cell, shared, draw, params, tables, feed):
    passed = path.forward(Network(cell, shared, params, *tables), feed, draw=draw)
    return (passed.spins[1:], passed.log_prob), (params, tables, passed)


def _back(path, cell, shared, draw, residual, cotangent):
    params, tables, passed = residual
    network, weights = Network(cell, shared, params, *tables), cotangent[1]
    if path is kernels:
        return kernels.gradient(network, passed, weights), None, None
    return path.outer_products(network, passed, weights).pull(jnp.ones_like(weights[0])), None, None


_differentiable.defvjp(_onwards, _back)
# Compiled once for each cell and shape, also where the caller does not compile.
_conditionals = jax.jit(_differentiable, static_argnums=(0, 1, 2, 3))


def _scores(path: ModuleType, network: Network, passed: Any) -> Scores:
    """The scores of the samples of a pass."""
    if path is kernels and network.shared:
        return Jacobian(kernels.scores(network, passed))
    if path is kernels:
        path, passed = scan, scan.Pass(passed.states, passed.spins, passed.log_prob)
    return path.outer_products(network, passed, jnp.ones_like(passed.log_prob))


@functools.partial(jax.jit, static_argnums=0)
def _flip_log_ratio(
    path: ModuleType, ansatz: Recurrent, spins: Float[Array, "num_samples n"]
) -> Float[Array, "num_samples n"]:
    """ln p(s with spin i flipped) - ln p(s) for every i, shape [num_samples, N]."""
    network, drawn = lax.stop_gradient(ansatz)._network, ansatz._by_position(spins)
    return ansatz.order.by_spin(path.flip_log_ratio(network, drawn, ansatz.order.ends))
