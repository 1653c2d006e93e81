"""The reference path of recurrent networks: one `lax.scan` over the sites, whatever the cell.

States live in one buffer of slots: slot 0 is the zero state ("no predecessor"), and the site drawn at position t writes
the slots `1 + t L ... (t + 1) L`, one for each of its L layers. The sites are one scan, so compile time does not depend
on their number.

Differentiating a scan that carries a buffer costs the whole buffer at every site, N^2 altogether. Here a second scan
runs backwards over the stored states, repeats one cell at a time, and adds into one buffer of cotangents in place: cost
linear in N. It keeps what each affine map took in and what came back at its output; the gradient is their product, one
large matrix product for all sites, and so are the scores of single samples.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from lehr._types import ArrayLike
from lehr.ansatz.affine import Tap, is_affine
from lehr.ansatz.cells import Cell
from lehr.ansatz.hearing import Hearing
from lehr.ansatz.products import Sites
from lehr.ansatz.scores import OuterProducts

# Bytes that the copied states of `flip_log_ratio` may take (for each replica).
FLIP_BUDGET = 2**28
# Blocks of flips at least: with K blocks a share 1 / (K + 1) of the work is spent on states already known.
FLIP_BLOCKS = 8


class Network(NamedTuple):
    """A cell and the tables that say what it computes from: position t reads the slots `state_slots[t]` of the states
    and sees the spins `spin_slots[t]` (1 + their positions; 0 is "no spin"). With `shared=False` every leaf of `params`
    has a leading axis of N sites, in the order in which they are drawn."""

    cell: Cell
    shared: bool
    params: Any
    state_slots: Int[ArrayLike, "n p"]
    spin_slots: Int[ArrayLike, "n q"]
    hearing: Hearing | None


class Pass(NamedTuple):
    """A pass over the sites: states and spins, both with their slot 0, and conditional log-probabilities, by
    position."""

    states: Float[Array, "slots m d"]
    spins: Float[Array, "n_plus_1 m"]
    log_prob: Float[Array, "n m"]


def forward(network: Network, feed: Float[Array, "n m"], *, draw: bool) -> Pass:
    """The pass that draws spins by the uniform numbers in `feed`, or that evaluates the spins in it."""
    num_sites, num_samples = feed.shape
    cell = network.cell
    states = jnp.zeros((1 + num_sites * cell.depth, num_samples, cell.hidden), feed.dtype)
    spins = jnp.zeros((1 + num_sites, num_samples), feed.dtype)

    def advance(carry, site):
        states, spins = carry
        t, own, reads, sees, heard, given = site
        own = network.params if network.shared else own
        written, logit = _at_site(network, own, _read(states, reads), spins, sees, heard)
        spin = jnp.where(given < jax.nn.sigmoid(logit), 1.0, -1.0).astype(feed.dtype) if draw else given
        states = lax.dynamic_update_slice_in_dim(states, written, 1 + t * cell.depth, axis=0)
        spins = lax.dynamic_update_index_in_dim(spins, spin, 1 + t, axis=0)
        return (states, spins), jax.nn.log_sigmoid(spin * logit)

    (states, spins), log_prob = lax.scan(advance, (states, spins), _sites(network, feed))
    return Pass(states, spins, log_prob)


def outer_products(network: Network, passed: Pass, weights: Float[Array, "n m"]) -> OuterProducts:
    """The scores of the conditionals, each weighted."""
    cell = network.cell

    def retreat(state_bars, site):
        t, own, reads, sees, heard, weight = site
        written_bar = lax.dynamic_slice_in_dim(state_bars, 1 + t * cell.depth, cell.depth, axis=0)
        read_bar, tapped = _replay(network, passed, t, own, reads, sees, heard, (written_bar, weight))
        return _add(state_bars, reads, read_bar), tapped

    _, tapped = lax.scan(retreat, jnp.zeros_like(passed.states), _sites(network, weights), reverse=True)
    return _outer_products(network, *tapped)


def outer_products_of(
    network: Network, passed: Pass, weights: Float[Array, "n m"], state_bars: Float[Array, "slots m d"]
) -> OuterProducts:
    """The same from the derivatives in the states by all later sites, for all sites at once."""
    num_sites, num_samples = weights.shape
    written_bars = state_bars[1:].reshape(num_sites, network.cell.depth, num_samples, -1)

    def retreat(site, written_bar):
        t, own, reads, sees, heard, weight = site
        return _replay(network, passed, t, own, reads, sees, heard, (written_bar, weight))[1]

    own = None if network.shared else 0
    return _outer_products(
        network, *jax.vmap(retreat, in_axes=((0, own, 0, 0, 0, 0), 0))(_sites(network, weights), written_bars)
    )


def _sites(network: Network, rows: Float[Array, "n m"]) -> tuple[Any, ...]:
    """What belongs to each site, one of the `rows` with it."""
    own = None if network.shared else network.params
    return jnp.arange(len(rows)), own, network.state_slots, network.spin_slots, _heard(network), rows


def _replay(network, passed, t, own, reads, sees, heard, bars) -> tuple[Array, tuple[Any, Any]]:
    """One site once more, and back from the derivatives in the states that it wrote and in its ln p to those in the
    states that it read; and what each affine map took in and what came back at its output."""
    affines, structure = jax.tree.flatten(network.params if network.shared else own, is_leaf=is_affine)
    spins = passed.spins
    probes = tuple(jnp.zeros((spins.shape[1], affine.kernel.shape[-1]), spins.dtype) for affine in affines)

    def replay(probes, read):
        taps = [Tap(*pair) for pair in zip(affines, probes, strict=True)]
        written, logit = _at_site(network, structure.unflatten(taps), read, spins, sees, heard)
        return (written, jax.nn.log_sigmoid(spins[1 + t] * logit)), tuple(tap.inputs[0] for tap in taps)

    _, pull, inputs = jax.vjp(replay, probes, _read(passed.states, reads), has_aux=True)
    deltas, read_bar = pull(bars)
    return read_bar, (inputs, deltas)


def _outer_products(network: Network, inputs: Any, deltas: Any) -> OuterProducts:
    affines, structure = jax.tree.flatten(network.params, is_leaf=is_affine)
    return OuterProducts(inputs, deltas, structure, tuple(a.bias is not None for a in affines), network.shared)


def flip_log_ratio(
    network: Network,
    spins: Float[Array, "n m"],
    ends: Int[ArrayLike, " n"],
    *,
    budget: int = FLIP_BUDGET,
    blocks: int = FLIP_BLOCKS,
) -> Float[Array, "n m"]:
    """ln p(s with one spin flipped) - ln p(s), all by position, where the conditionals at `ends[t]` and later do not
    depend on spin t.

    The states before a flip are shared: flips are taken in blocks, and each block starts at its own first site from the
    states of the unflipped spins. There are at least `blocks` blocks, and more where the copied states of one would
    exceed `budget` bytes; where the copy of a single flip does, the samples are taken in chunks.
    """
    num_sites, num_samples = spins.shape
    cell = network.cell
    bytes_per_sample = (1 + num_sites * cell.depth) * cell.hidden * spins.dtype.itemsize
    rows = max(1, min(num_samples, budget // bytes_per_sample))
    copies = max(1, min(-(-num_sites // blocks), budget // (bytes_per_sample * rows)))
    num_chunks = -(-num_samples // rows)
    spins = jnp.pad(spins, ((0, 0), (0, num_chunks * rows - num_samples)), constant_values=1)
    chunks = jnp.moveaxis(spins.reshape(num_sites, num_chunks, rows), 1, 0)
    ratio = lax.map(lambda chunk: _flip_chunk(network, chunk, ends, copies), chunks)
    return jnp.moveaxis(ratio, 0, 1).reshape(num_sites, num_chunks * rows)[:, :num_samples]


def _flip_chunk(
    network: Network, drawn: Float[Array, "n m"], ends: Int[ArrayLike, " n"], copies: int
) -> Float[Array, "n m"]:
    """Log-ratios by position of the flip, `copies` flips at a time."""
    num_sites, rows = drawn.shape
    base_states, base_spins, base_log_prob = forward(network, drawn, draw=False)
    state_slots, spin_slots, ends = map(jnp.asarray, (network.state_slots, network.spin_slots, ends))

    def block(first):
        # In a block that is not full the last entries lie beyond the last site and flip nothing.
        flipped = first + jnp.arange(copies, dtype=jnp.int32)
        sign = jnp.where(jnp.arange(-1, num_sites)[:, None] == flipped[None], -1, 1).astype(drawn.dtype)
        spins = (base_spins[:, None] * sign[:, :, None]).reshape(1 + num_sites, copies * rows)

        def advance(t, carry):
            states, ratio = carry
            own = network.params if network.shared else _at(network.params, t)
            read = _read(states, state_slots[t])
            written, logit = _at_site(network, own, read, spins, spin_slots[t], _at(_heard(network), t))
            log_prob = jax.nn.log_sigmoid(spins[1 + t] * logit).reshape(copies, rows)
            states = lax.dynamic_update_slice_in_dim(states, written, 1 + t * network.cell.depth, axis=0)
            return states, ratio + log_prob - base_log_prob[t][None]

        start = jnp.tile(base_states, (1, copies, 1)), jnp.zeros((copies, rows), drawn.dtype)
        stop = ends[jnp.minimum(flipped, num_sites - 1)].max()
        return lax.fori_loop(first, stop, advance, start)[1]

    ratio = lax.map(block, jnp.arange(0, num_sites, copies, dtype=jnp.int32))
    return ratio.reshape(-1, rows)[:num_sites]


def _heard(network: Network) -> tuple[Sites, ...] | None:
    return None if network.hearing is None else network.hearing.sites


def _at(tree: Any, t: Int[Array, ""]) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[t], tree)


def _onehot(spins: Float[Array, "q m"]) -> Float[Array, "q m 2"]:
    """(up, down) of each spin; (0, 0) of "no spin", which is 0."""
    return jnp.stack([spins > 0, spins < 0], axis=-1).astype(spins.dtype)


def _listen(
    network: Network, spins: Float[Array, "slots m"], sees: Int[Array, " q"], site: tuple[Sites, ...] | None
) -> tuple[Float[Array, "m k"], Float[Array, "kinds m"] | None]:
    """What one site takes in besides states, and the fields that it hears."""
    onehots = jnp.concatenate(list(_onehot(spins[sees])), axis=1)
    if network.hearing is None or site is None:
        return onehots, None
    features, fields = network.hearing.listen(site, spins)
    return jnp.concatenate([onehots, features.T], axis=1), fields


def _at_site(
    network: Network,
    own: Any,
    read: Float[Array, "p m d"],
    spins: Float[Array, "slots m"],
    sees: Int[Array, " q"],
    site: tuple[Sites, ...] | None,
) -> tuple[Float[Array, "l m d"], Float[Array, " m"]]:
    """The states that a site writes, and the logit of its spin."""
    inputs, fields = _listen(network, spins, sees, site)
    written, logit = network.cell(own, read, inputs)
    return written, logit if fields is None else logit + own["coupling"](fields.T)[:, 0]


# One dynamic slice for each slot instead of a gather or a scatter-add: XLA keeps them in place and runs them faster.
def _read(buffer: Float[Array, "slots m d"], slots: Int[Array, " p"]) -> Float[Array, "p m d"]:
    return jnp.stack([lax.dynamic_index_in_dim(buffer, slot, keepdims=False) for slot in slots])


def _add(buffer: Float[Array, "slots m d"], slots: Int[Array, " p"], values: Float[Array, "p m d"]) -> Array:
    for slot, value in zip(slots, values, strict=True):
        total = lax.dynamic_index_in_dim(buffer, slot, keepdims=False) + value
        buffer = lax.dynamic_update_index_in_dim(buffer, total, slot, axis=0)
    return buffer
