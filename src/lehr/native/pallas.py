"""Recurrent networks on a GPU: all sites in one launch, a tile of samples to each block, by Pallas through Triton.

What goes from site to site is all that these kernels do: the pass forwards, the derivatives in the states on the way
back, and flips. The rest of the gradient is one large product over all sites, as on the reference path.

They have never run on a GPU: tests run them in the interpreter and lower them for CUDA. `LEHR_PALLAS=1` uses them.
"""

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Int

from lehr._types import ArrayLike
from lehr.ansatz.cells import Cell
from lehr.ansatz.scan import FLIP_BUDGET, Network, Pass, outer_products_of
from lehr.ansatz.scores import OuterProducts
from lehr.native import tiles
from lehr.native.tiles import TILE, Arrays, Memory, Shape


def serve(cell: Cell, dtype: Any) -> bool:
    """Whether these kernels are used for networks of this cell."""
    return os.environ.get("LEHR_PALLAS") == "1" and jnp.dtype(dtype) == np.float32 and tiles.serve(cell)


def forward(network: Network, feed: Float[Array, "n m"], *, draw: bool) -> Pass:
    """The pass that draws spins by the uniform numbers in `feed`, or that evaluates the spins in it."""
    passed, num_samples = _forward(network, feed, draw), feed.shape[1]
    states = passed.states[:, :num_samples, : network.cell.hidden]
    return Pass(states, passed.spins[:, :num_samples], passed.log_prob[:, :num_samples])


def _forward(network: Network, feed: Float[Array, "n m"], draw: bool) -> Pass:
    """The same with all that fills up tiles and states."""
    shape, feed = tiles.shape_of(network), _filled(feed, 1.0)
    num_sites, num_samples = feed.shape
    shapes = [
        (1 + num_sites * shape.depth, num_samples, tiles.width_of(network.cell.hidden)),
        (1 + num_sites, num_samples),
        (num_sites, num_samples),
    ]
    call = _call(partial(_forward_kernel, shape, draw), shapes, num_samples)
    return Pass(*call(tiles.arrays_of(network), feed))


def _forward_kernel(
    shape: Shape, draw: bool, interpret: bool, arrays: Arrays, feed: Any, states: Any, spins: Any, log_prob: Any
) -> None:
    tile = _tile()
    states[0, tile, :] = jnp.zeros((TILE, states.shape[2]), jnp.float32)
    spins[0, tile] = jnp.zeros(TILE, jnp.float32)
    _wait(interpret)

    def write(slot, state):
        states[slot, tile, :] = state

    memory = Memory(lambda slot: spins[slot, tile], lambda slot: states[slot, tile, :], write)

    def advance(t, _):
        logit = tiles.at_site(shape, arrays, t, memory)
        given = feed[t, tile]
        spin = jnp.where(given < jax.nn.sigmoid(logit), 1.0, -1.0) if draw else given
        spins[1 + t, tile] = spin
        log_prob[t, tile] = jax.nn.log_sigmoid(spin * logit)
        _wait(interpret)

    lax.fori_loop(0, shape.num_sites, advance, None)


def outer_products(network: Network, passed: Pass, weights: Float[Array, "n m"]) -> OuterProducts:
    """The scores of the conditionals, each weighted."""
    num_samples, d = weights.shape[1], network.cell.hidden
    states = jnp.pad(_filled(passed.states, 0.0, axis=1), ((0, 0), (0, 0), (0, tiles.width_of(d) - d)))
    blame = _filled(weights * passed.spins[1:] * -jnp.expm1(passed.log_prob), 0.0)
    call = _call(partial(_backward_kernel, tiles.shape_of(network)), [states.shape], blame.shape[1])
    [bars] = call(tiles.arrays_of(network), blame, _filled(passed.spins, 1.0), states)
    return outer_products_of(network, passed, weights, bars[:, :num_samples, :d])


def _backward_kernel(
    shape: Shape, interpret: bool, arrays: Arrays, blame: Any, spins: Any, states: Any, bars: Any
) -> None:
    tile = _tile()

    def clear(slot, _):
        bars[slot, tile, :] = jnp.zeros((TILE, states.shape[2]), jnp.float32)

    lax.fori_loop(0, states.shape[0], clear, None)
    _wait(interpret)

    def retreat(step, _):
        t = shape.num_sites - 1 - step
        site = shape.site(t)
        inputs, _ = tiles.listen(shape, arrays, t, lambda slot: spins[slot, tile])
        from_above = [blame[t, tile][:, None] * arrays.head[site][None]]
        for layer in reversed(range(shape.depth)):
            slot = 1 + t * shape.depth + layer
            activation = tiles.tangent(shape, states[slot, tile, :])
            slots = tiles.slots_read(shape, arrays, t, layer)
            read = [states[place, tile, :] for place in slots]
            below = [states[slot - 1, tile, :]] if layer else []
            _, pull = jax.vjp(partial(tiles.layer_state, shape, arrays, site, layer, activation, inputs), read, below)
            given, from_above = pull(sum(from_above, bars[slot, tile, :]))
            for place, bar in zip(slots, given, strict=True):
                bars[place, tile, :] = bars[place, tile, :] + bar
        _wait(interpret)

    lax.fori_loop(0, shape.num_sites, retreat, None)


def flip_log_ratio(
    network: Network, spins: Float[Array, "n m"], ends: Int[ArrayLike, " n"], *, budget: int = FLIP_BUDGET
) -> Float[Array, "n m"]:
    """ln p(s with one spin flipped) - ln p(s), all by position, where the conditionals at `ends[t]` and later do not
    depend on spin t.

    A block has a tile of samples, every K-th flip, one after the other, and one copy of its samples' states for all of
    them. So K copies of all states are made, as many as there are flips at most and as `budget` bytes hold; but one in
    any case, which is no more than the states of the unflipped spins take.
    """
    shape, passed, (num_sites, num_samples) = tiles.shape_of(network), _forward(network, spins, False), spins.shape
    groups = max(1, min(num_sites, budget // (passed.states.size * passed.states.dtype.itemsize)))
    shapes = [passed.log_prob.shape, (groups, *passed.states.shape)]
    call = _call(partial(_flips_kernel, shape, groups), shapes, passed.log_prob.shape[1], groups)
    return call(tiles.arrays_of(network), jnp.asarray(ends, jnp.int32), *passed)[0][:, :num_samples]


def _flips_kernel(
    shape: Shape,
    groups: int,
    interpret: bool,
    arrays: Arrays,
    ends: Any,
    states: Any,
    spins: Any,
    log_prob: Any,
    ratio: Any,
    changed: Any,
) -> None:
    tile, group = _tile(), pl.program_id(1)

    def flip(step, _):
        first = group + step * groups

        def spin(slot):
            return jnp.where(slot == 1 + first, -spins[slot, tile], spins[slot, tile])

        def read(slot):
            before = slot < 1 + first * shape.depth
            return jnp.where(before, states[slot, tile, :], changed[group, slot, tile, :])

        def write(slot, state):
            changed[group, slot, tile, :] = state

        def advance(t, total):
            logit = tiles.at_site(shape, arrays, t, Memory(spin, read, write))
            _wait(interpret)
            return total + jax.nn.log_sigmoid(spin(1 + t) * logit) - log_prob[t, tile]

        ratio[first, tile] = lax.fori_loop(first, ends[first], advance, jnp.zeros(TILE, jnp.float32))

    lax.fori_loop(0, lax.div(shape.num_sites - 1 - group, groups) + 1, flip, None)


def _call(kernel: Any, shapes: list[tuple[int, ...]], num_samples: int, groups: int = 1) -> Any:
    """A launch of blocks, for each tile of samples as many as there are groups."""
    interpret = _interpreted()
    return pl.pallas_call(
        partial(kernel, interpret),
        out_shape=[jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes],
        grid=(num_samples // TILE, groups),
        interpret=interpret,
        compiler_params=None if interpret else triton.CompilerParams(num_warps=4, num_stages=1),
    )


def _interpreted() -> bool:
    return jax.default_backend() != "gpu"


def _tile() -> Any:
    """The samples of a block."""
    return pl.ds(pl.program_id(0) * TILE, TILE)


def _wait(interpret: bool) -> None:
    """What one thread of a block has written, another reads at the next site."""
    if not interpret:
        triton.debug_barrier()


def _filled(array: Float[Array, "..."], value: float, axis: int = -1) -> Float[Array, "..."]:
    """Samples, which lie along an axis, filled up to whole tiles."""
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, -array.shape[axis] % TILE)
    return jnp.pad(array, widths, constant_values=value)
