"""The recurrent base: sampling, log-probability, gradient and flips, written once for every cell and every geometry.

A recurrent ansatz is a cell and two tables. States live in one buffer of slots: slot 0 is the zero state ("no
predecessor"), and the site drawn at position t writes the slots `1 + t L ... (t + 1) L`, one for each of its L layers.
`state_slots[t]` says which slots that site reads, and `spin_slots[t]` which spins it sees (1 + their positions; 0 is
"no spin"). The sites are one `lax.scan`, so compile time does not depend on their number.

The gradient is a `jax.custom_vjp`: differentiating a scan that carries a buffer costs the whole buffer at every site,
N^2 altogether. Here a second scan runs backwards over the stored states, repeats one cell at a time, and adds into one
buffer of cotangents in place: cost linear in N. It keeps what each affine map took in and what came back at its output;
the gradient is their product, one large matrix product for all sites, and so are the scores of single samples.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from lehr._types import ArrayLike, InputError, Key, LogProb
from lehr.ansatz.affine import Affine, Tap, is_affine
from lehr.ansatz.base import Ansatz, SiteOrder
from lehr.ansatz.cells import Cell
from lehr.ansatz.hearing import Hearing
from lehr.ansatz.products import Sites
from lehr.ansatz.scores import OuterProducts
from lehr.problem.base import Problem

Tables = tuple[Int[ArrayLike, "n p"], Int[ArrayLike, "n q"], Hearing | None]

# Bytes that the copied states of `flip_log_ratio` may take (for each replica).
FLIP_BUDGET = 2**28
# Blocks of flips at least: with K blocks a share 1 / (K + 1) of the work is spent on states already known.
FLIP_BLOCKS = 8


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
        noise = self._noise(key, num_samples)
        spins, log_prob = _conditionals(self.cell, self.shared, True, self.params, self._tables, noise)
        return lax.stop_gradient(spins.T[:, self.order.positions]), log_prob.T[:, self.order.positions]

    def log_prob(self, spins: Float[Array, "num_samples n"]) -> LogProb:
        """ln p(s_i | spins drawn before), shape [num_samples, N] in the problem's spin order; the sum is ln p(s)."""
        drawn = lax.stop_gradient(self._by_position(spins))
        _, log_prob = _conditionals(self.cell, self.shared, False, self.params, self._tables, drawn)
        return log_prob.T[:, self.order.positions]

    def flip_log_ratio(self, spins: Float[Array, "num_samples n"]) -> Float[Array, "num_samples n"]:
        """ln p(s with spin i flipped) - ln p(s) for every i, shape [num_samples, N]. Not differentiated."""
        return flip_log_ratio(self, spins)

    def scores(self, spins: Float[Array, "num_samples n"]) -> OuterProducts:
        """d ln p(s) / d theta of every sample."""
        drawn = self._by_position(spins)
        states, padded, _ = _forward(self.cell, self.shared, False, self.params, self._tables, drawn)
        return self._scores(states, padded)

    def sample_scored(self, key: Key, num_samples: int) -> tuple[Float[Array, "num_samples n"], LogProb, OuterProducts]:
        """`sample`, and the `scores` of what it drew from the states of the same pass; not differentiated."""
        noise = self._noise(key, num_samples)
        states, padded, log_prob = _forward(self.cell, self.shared, True, self.params, self._tables, noise)
        positions = self.order.positions
        return padded[1:].T[:, positions], log_prob.T[:, positions], self._scores(states, padded)

    def _noise(self, key: Key, num_samples: int) -> Float[Array, "n num_samples"]:
        """Uniform random numbers, one for each spin."""
        if num_samples < 1:
            raise InputError(f"Argument `num_samples` must be at least 1, but it is {num_samples}.")
        dtype = _dtype(self.params)
        # Never 0: a rounded uniform number would choose spins of vanishing probability far too often.
        least = jnp.finfo(dtype).eps / 2
        return jax.random.uniform(key, (self.order.sites.shape[-1], num_samples), dtype, minval=least)

    def _scores(self, states: Float[Array, "slots m d"], spins: Float[Array, "n_plus_1 m"]) -> OuterProducts:
        weights = jnp.ones_like(spins[1:])
        return _outer_products(self.cell, self.shared, self.params, self._tables, states, spins, weights)

    @property
    def side_by_side(self) -> bool:
        """No: XLA has no fast batched matrix product on CPUs; side by side they take three to ten times as long."""
        return False

    @property
    def _tables(self) -> Tables:
        return self.state_slots, self.spin_slots, lax.stop_gradient(self.hearing)

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


def _onehot(spins: Float[Array, "q m"]) -> Float[Array, "q m 2"]:
    """(up, down) of each spin; (0, 0) of "no spin", which is 0."""
    return jnp.stack([spins > 0, spins < 0], axis=-1).astype(spins.dtype)


def _at_site(
    cell: Cell,
    hearing: Hearing | None,
    own: Any,
    read: Float[Array, "p m d"],
    spins: Float[Array, "slots m"],
    sees: Int[Array, " q"],
    site: tuple[Sites, ...] | None,
) -> tuple[Float[Array, "l m d"], Float[Array, " m"]]:
    """The states that a site writes, and the logit of its spin."""
    onehots = jnp.concatenate(list(_onehot(spins[sees])), axis=1)
    if hearing is None or site is None:
        return cell(own, read, onehots)
    features, fields = hearing.listen(site, spins)
    written, logit = cell(own, read, jnp.concatenate([onehots, features.T], axis=1))
    return written, logit + own["coupling"](fields.T)[:, 0]


# One dynamic slice for each slot instead of a gather or a scatter-add: XLA keeps them in place and runs them faster.
def _read(buffer: Float[Array, "slots m d"], slots: Int[Array, " p"]) -> Float[Array, "p m d"]:
    return jnp.stack([lax.dynamic_index_in_dim(buffer, slot, keepdims=False) for slot in slots])


def _add(buffer: Float[Array, "slots m d"], slots: Int[Array, " p"], values: Float[Array, "p m d"]) -> Array:
    for slot, value in zip(slots, values, strict=True):
        total = lax.dynamic_index_in_dim(buffer, slot, keepdims=False) + value
        buffer = lax.dynamic_update_index_in_dim(buffer, total, slot, axis=0)
    return buffer


def _forward(
    cell: Cell, shared: bool, draw: bool, params: Any, tables: Tables, feed: Float[Array, "n m"]
) -> tuple[Float[Array, "slots m d"], Float[Array, "n_plus_1 m"], Float[Array, "n m"]]:
    """States and spins (both with their slot 0), and conditional log-probabilities, by position.

    `feed` holds uniform random numbers if the spins are drawn, and otherwise the spins.
    """
    num_sites, num_samples = feed.shape
    state_slots, spin_slots, hearing = tables
    states = jnp.zeros((1 + num_sites * cell.depth, num_samples, cell.hidden), feed.dtype)
    spins = jnp.zeros((1 + num_sites, num_samples), feed.dtype)

    def advance(carry, site):
        states, spins = carry
        t, own, reads, sees, heard, given = site
        own = params if shared else own
        written, logit = _at_site(cell, hearing, own, _read(states, reads), spins, sees, heard)
        spin = jnp.where(given < jax.nn.sigmoid(logit), 1.0, -1.0).astype(feed.dtype) if draw else given
        states = lax.dynamic_update_slice_in_dim(states, written, 1 + t * cell.depth, axis=0)
        spins = lax.dynamic_update_index_in_dim(spins, spin, 1 + t, axis=0)
        return (states, spins), jax.nn.log_sigmoid(spin * logit)

    heard = None if hearing is None else hearing.sites
    sites = (jnp.arange(num_sites), None if shared else params, state_slots, spin_slots, heard, feed)
    (states, spins), log_prob = lax.scan(advance, (states, spins), sites)
    return states, spins, log_prob


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _scan(
    cell: Cell, shared: bool, draw: bool, params: Any, tables: Tables, feed: Float[Array, "n m"]
) -> tuple[Float[Array, "n m"], Float[Array, "n m"]]:
    """Spins and conditional log-probabilities by position; differentiable in `params`."""
    _, spins, log_prob = _forward(cell, shared, draw, params, tables, feed)
    return spins[1:], log_prob


def _scan_forward(cell, shared, draw, params, tables, feed):
    states, spins, log_prob = _forward(cell, shared, draw, params, tables, feed)
    return (spins[1:], log_prob), (params, tables, states, spins)


def _scan_backward(cell, shared, draw, residual, cotangent):
    params, tables, states, spins = residual
    outer = _outer_products(cell, shared, params, tables, states, spins, cotangent[1])
    return outer.pull(jnp.ones_like(spins[0])), None, None


def _outer_products(
    cell: Cell,
    shared: bool,
    params: Any,
    tables: Tables,
    states: Float[Array, "slots m d"],
    spins: Float[Array, "n_plus_1 m"],
    weights: Float[Array, "n m"],
) -> OuterProducts:
    """The scores of the conditionals, each weighted, from the states and spins of a forward pass."""
    num_sites, num_samples = weights.shape
    state_slots, spin_slots, hearing = tables
    affines, structure = jax.tree.flatten(params, is_leaf=is_affine)
    probes = tuple(jnp.zeros((num_samples, affine.kernel.shape[-1]), spins.dtype) for affine in affines)

    def retreat(state_bars, site):
        t, own, reads, sees, heard, weight = site

        def replay(probes, read):
            taps = [Tap(*pair) for pair in zip(affines if shared else own, probes, strict=True)]
            written, logit = _at_site(cell, hearing, structure.unflatten(taps), read, spins, sees, heard)
            return (written, jax.nn.log_sigmoid(spins[1 + t] * logit)), tuple(tap.inputs[0] for tap in taps)

        _, pull, inputs = jax.vjp(replay, probes, _read(states, reads), has_aux=True)
        written_bar = lax.dynamic_slice_in_dim(state_bars, 1 + t * cell.depth, cell.depth, axis=0)
        deltas, read_bar = pull((written_bar, weight))
        return _add(state_bars, reads, read_bar), (inputs, deltas)

    heard = None if hearing is None else hearing.sites
    sites = (jnp.arange(num_sites), None if shared else affines, state_slots, spin_slots, heard, weights)
    _, (inputs, deltas) = lax.scan(retreat, jnp.zeros_like(states), sites, reverse=True)
    return OuterProducts(inputs, deltas, structure, tuple(a.bias is not None for a in affines), shared)


_scan.defvjp(_scan_forward, _scan_backward)
# Compiled once for each cell and shape, also where the caller does not compile.
_conditionals = jax.jit(_scan, static_argnums=(0, 1, 2))


@functools.partial(jax.jit, static_argnames=("budget", "blocks"))
def flip_log_ratio(
    ansatz: Recurrent, spins: Float[Array, "num_samples n"], *, budget: int = FLIP_BUDGET, blocks: int = FLIP_BLOCKS
) -> Float[Array, "num_samples n"]:
    """ln p(s with spin i flipped) - ln p(s) for every i, shape [num_samples, N].

    The states before a flip are shared: flips are taken in blocks, and each block starts at its own first site from the
    states of the unflipped spins. There are at least `blocks` blocks, and more where the copied states of one would
    exceed `budget` bytes; where the copy of a single flip does, the samples are taken in chunks.
    """
    drawn = ansatz._by_position(spins)
    num_sites, num_samples = drawn.shape
    cell, dtype = ansatz.cell, _dtype(ansatz.params)
    bytes_per_sample = (1 + num_sites * cell.depth) * cell.hidden * jnp.dtype(dtype).itemsize
    rows = max(1, min(num_samples, budget // bytes_per_sample))
    copies = max(1, min(-(-num_sites // blocks), budget // (bytes_per_sample * rows)))
    num_chunks = -(-num_samples // rows)
    drawn = jnp.pad(drawn, ((0, 0), (0, num_chunks * rows - num_samples)), constant_values=1)
    chunks = jnp.moveaxis(drawn.reshape(num_sites, num_chunks, rows), 1, 0)
    ratio = lax.map(lambda chunk: _flip_chunk(lax.stop_gradient(ansatz), chunk, copies), chunks)
    return jnp.moveaxis(ratio, 2, 1).reshape(num_chunks * rows, num_sites)[:num_samples, ansatz.order.positions]


def _flip_chunk(ansatz: Recurrent, drawn: Float[Array, "n m"], copies: int) -> Float[Array, "n m"]:
    """Log-ratios by position of the flip, `copies` flips at a time."""
    cell, params, shared = ansatz.cell, ansatz.params, ansatz.shared
    num_sites, rows = drawn.shape
    base_states, base_spins, base_log_prob = _forward(cell, shared, False, params, ansatz._tables, drawn)
    state_slots, spin_slots, ends = map(jnp.asarray, (ansatz.state_slots, ansatz.spin_slots, ansatz.order.ends))
    hearing = ansatz.hearing

    def block(first):
        # In a block that is not full the last entries lie beyond the last site and flip nothing.
        flipped = first + jnp.arange(copies, dtype=jnp.int32)
        sign = jnp.where(jnp.arange(-1, num_sites)[:, None] == flipped[None], -1, 1).astype(drawn.dtype)
        spins = (base_spins[:, None] * sign[:, :, None]).reshape(1 + num_sites, copies * rows)

        def advance(t, carry):
            states, ratio = carry
            own = params if shared else jax.tree.map(lambda leaf: leaf[t], params)
            heard = None if hearing is None else jax.tree.map(lambda table: jnp.asarray(table)[t], hearing.sites)
            read = _read(states, state_slots[t])
            written, logit = _at_site(cell, hearing, own, read, spins, spin_slots[t], heard)
            log_prob = jax.nn.log_sigmoid(spins[1 + t] * logit).reshape(copies, rows)
            states = lax.dynamic_update_slice_in_dim(states, written, 1 + t * cell.depth, axis=0)
            return states, ratio + log_prob - base_log_prob[t][None]

        start = jnp.tile(base_states, (1, copies, 1)), jnp.zeros((copies, rows), drawn.dtype)
        stop = ends[jnp.minimum(flipped, num_sites - 1)].max()
        return lax.fori_loop(first, stop, advance, start)[1]

    ratio = lax.map(block, jnp.arange(0, num_sites, copies, dtype=jnp.int32))
    return ratio.reshape(-1, rows)[:num_sites]
