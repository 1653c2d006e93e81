"""Recurrent networks on a GPU: all sites in one launch, a tile of samples to each block, by Pallas through Triton.

What goes from site to site is all that these kernels do: the pass forwards, and the derivatives in the states on the
way back. The rest of the gradient is one large product over all sites, as on the reference path.

They have never run on a GPU: tests run them in the interpreter and lower them for CUDA. `LEHR_PALLAS=1` uses them.
"""

import os
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Int

from lehr.ansatz.affine import Affine
from lehr.ansatz.cells import ACTIVATIONS, Activation, Cell, Tensorised, Vanilla
from lehr.ansatz.scan import Network, Pass, outer_products_of, site_inputs
from lehr.ansatz.scores import OuterProducts

# Samples of a block, and the least width of a state: no product on the GPU's matrix units is smaller. And the largest
# width, of which a square fits into the memory that a block has to itself.
_TILE, _WIDEST = 16, 128

# The slope of each activation by its value.
_SLOPES = {
    ACTIVATIONS["elu"]: lambda value: jnp.where(value > 0, 1.0, value + 1),
    ACTIVATIONS["relu"]: lambda value: jnp.where(value > 0, 1.0, 0.0),
    ACTIVATIONS["sigmoid"]: lambda value: value * (1 - value),
    ACTIVATIONS["softplus"]: lambda value: 1 - jnp.exp(-value),
    ACTIVATIONS["tanh"]: lambda value: 1 - value * value,
}


def serve(cell: Cell, dtype: Any) -> bool:
    """Whether these kernels are used for networks of this cell."""
    layer = cell.layers[0]
    return (
        os.environ.get("LEHR_PALLAS") == "1"
        and jnp.dtype(dtype) == np.float32
        and _width(cell.hidden) <= _WIDEST
        and type(layer) in (Vanilla, Tensorised)
        and all(type(other) is type(layer) and other.activation in _SLOPES for other in cell.layers)
    )


class _Block(NamedTuple):
    """A square block of a layer's weights: for one of the states that the layer reads, or (-1) for the layer below;
    with a channel, what it takes in is multiplied by that input of the site."""

    source: int
    channel: int | None


class _Shape(NamedTuple):
    """What a kernel is made for."""

    num_sites: int
    num_states: int  # read by each layer
    blocks: tuple[tuple[_Block, ...], ...]  # of each layer
    num_spins: int
    places: tuple[int, ...]  # of each kind of products
    features: tuple[int, ...]
    shared: bool
    vanilla: bool
    activation: Activation

    @property
    def depth(self) -> int:
        return len(self.blocks)

    @property
    def num_inputs(self) -> int:
        heard = sum(places * features for places, features in zip(self.places, self.features, strict=True))
        return 2 * self.num_spins + heard


def _shape(network: Network) -> _Shape:
    layers, hearing = network.cell.layers, network.hearing
    vanilla, states = type(layers[0]) is Vanilla, range(layers[0].num_states)
    if vanilla:
        own = tuple(_Block(p, None) for p in states)
        blocks = (own, *[(*own, _Block(-1, None))] * (len(layers) - 1))
    else:
        blocks = (tuple(_Block(p, c) for c in range(layers[0].num_inputs) for p in states),)
    return _Shape(
        num_sites=np.shape(network.state_slots)[0],
        num_states=len(states),
        blocks=blocks,
        num_spins=np.shape(network.spin_slots)[1],
        places=() if hearing is None else tuple(np.shape(site.numbers)[-1] for site in hearing.sites),
        features=() if hearing is None else tuple(kind.features for kind in hearing.kinds),
        shared=network.shared,
        vanilla=vanilla,
        activation=layers[0].activation,
    )


class _Weights(NamedTuple):
    """The parameters, with states padded to D numbers; S is 1 where the sites share them."""

    blocks: Float[Array, "s blocks D D"]
    bias: Float[Array, "s l D"]
    inputs: Float[Array, "s k D"]
    head: Float[Array, "s D"]
    head_bias: Float[Array, "s 1"]
    coupling: Float[Array, "s kinds"]


def _weights(network: Network, shape: _Shape) -> _Weights:
    params = jax.tree.map(lambda leaf: leaf[None] if network.shared else leaf, network.params)
    d = network.cell.hidden
    pad = _width(d) - d

    def columns(array: Array) -> Array:
        return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, pad)])

    blocks = []
    for layer, own in zip(params["layers"], shape.blocks, strict=True):
        stacked = layer.kernel[:, : len(own) * d]
        stacked = columns(stacked.reshape(len(stacked), len(own), d, d))
        blocks.append(jnp.pad(stacked, ((0, 0), (0, 0), (0, pad), (0, 0))))
    first: Affine = params["layers"][0]
    inputs = first.kernel[:, shape.num_states * d :] if shape.vanilla else first.kernel[:, :1]
    head, none = params["head"], jnp.zeros((len(first.bias), 1), first.bias.dtype)
    return _Weights(
        blocks=jnp.concatenate(blocks, axis=1),
        bias=columns(jnp.stack([layer.bias for layer in params["layers"]], axis=1)),
        inputs=columns(inputs),
        head=columns(head.kernel[..., 0] - head.kernel[..., 1]),
        head_bias=(head.bias[:, 0] - head.bias[:, 1])[:, None],
        coupling=none if network.hearing is None else params["coupling"].kernel[..., 0],
    )


class _Heard(NamedTuple):
    """What the sites hear, the places of all kinds side by side: the slots of the other spins, and what the product of
    these is multiplied by in the field and in the features of complete and of open products."""

    others: tuple[Int[Array, "n f k"], ...]
    evidence: Float[Array, "n f"]
    complete: Float[Array, "n f"]
    open: Float[Array, "n f"]


def _heard(network: Network, shape: _Shape, dtype: Any) -> _Heard:
    if network.hearing is None:
        none = jnp.zeros((shape.num_sites, 1), dtype)
        return _Heard((), none, none, none)
    others, parts = [], []
    for kind, sites in zip(network.hearing.kinds, network.hearing.sites, strict=True):
        others.append(jnp.asarray(sites.others, jnp.int32))
        evidence, effective = (jnp.asarray(v, dtype)[sites.numbers] for v in (kind.evidence, kind.effective))
        closing = jnp.asarray(sites.closing, dtype)
        parts.append((evidence * closing, effective * closing, effective * (1 - closing)))
    return _Heard(tuple(others), *(jnp.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


def _listen(shape: _Shape, heard: _Heard, sees: Any, t: Any, spins: Any, tile: Any) -> tuple[list[Any], list[Any]]:
    """What a site takes in, each [B], and the fields of the kinds, from the spins by slot."""
    seen = [spins[sees[t, q], tile] for q in range(shape.num_spins)]
    inputs = [(spin > 0 if up else spin < 0).astype(spin.dtype) for spin in seen for up in (True, False)]
    fields, place = [], 0
    for places, features, others in zip(shape.places, shape.features, heard.others, strict=True):
        known = []
        for i in range(places):
            product = jnp.ones(_TILE, jnp.float32)
            for k in range(others.shape[-1]):
                slot = others[t, i, k]
                product *= jnp.where(slot > 0, spins[slot, tile], 1.0)
            known.append(product)
        numbers = range(place, place + places)
        fields.append(sum(heard.evidence[t, n] * product for n, product in zip(numbers, known, strict=True)))
        for table in (heard.complete, heard.open)[:features]:
            inputs += [table[t, n] * product for n, product in zip(numbers, known, strict=True)]
        place += places
    return inputs, fields


def _multiply(a: Any, b: Any, transposed: bool = False) -> Any:
    return triton.dot(a, b, trans_b=transposed, allow_tf32=False)


def _forward_kernel(shape: _Shape, draw: bool, interpret: bool, *refs: Any) -> None:
    feed, reads, sees, *rest = refs
    weights, rest = _Weights(*rest[:6]), rest[6:]
    heard, (states, spins, log_prob) = _Heard(tuple(rest[:-6]), *rest[-6:-3]), rest[-3:]
    tile = pl.ds(pl.program_id(0) * _TILE, _TILE)
    states[0, tile, :] = jnp.zeros((_TILE, states.shape[2]), jnp.float32)
    spins[0, tile] = jnp.zeros(_TILE, jnp.float32)
    _wait(interpret)

    def advance(t, _):
        site = 0 if shape.shared else t
        inputs, fields = _listen(shape, heard, sees, t, spins, tile)
        number, value = 0, jnp.zeros((), jnp.float32)  # no first layer has one below
        for layer, blocks in enumerate(shape.blocks):
            total = jnp.broadcast_to(weights.bias[site, layer][None], (_TILE, states.shape[2]))
            for block in blocks:
                taken = (
                    value if block.source < 0 else states[reads[t, layer * shape.num_states + block.source], tile, :]
                )
                if block.channel is not None:
                    taken = taken * inputs[block.channel][:, None]
                total += _multiply(taken, weights.blocks[site, number])
                number += 1
            if layer == 0 and shape.vanilla:
                for k, given in enumerate(inputs):
                    total += given[:, None] * weights.inputs[site, k][None]
            value = shape.activation(total)
            states[1 + t * shape.depth + layer, tile, :] = value
        logit = (value * weights.head[site][None]).sum(1) + weights.head_bias[site, 0]
        for h, field in enumerate(fields):
            logit += weights.coupling[site, h] * field
        given = feed[t, tile]
        spin = jnp.where(given < jax.nn.sigmoid(logit), 1.0, -1.0) if draw else given
        spins[1 + t, tile] = spin
        log_prob[t, tile] = jax.nn.log_sigmoid(spin * logit)
        _wait(interpret)
        return 0

    lax.fori_loop(0, shape.num_sites, advance, 0)


def _backward_kernel(shape: _Shape, interpret: bool, *refs: Any) -> None:
    blame, states, inputs, reads, blocks, head, bars = refs
    tile = pl.ds(pl.program_id(0) * _TILE, _TILE)
    slope, width = _SLOPES[shape.activation], states.shape[2]

    def clear(slot, _):
        bars[slot, tile, :] = jnp.zeros((_TILE, width), jnp.float32)
        return 0

    lax.fori_loop(0, states.shape[0], clear, 0)
    _wait(interpret)
    firsts = np.cumsum([0, *map(len, shape.blocks)])

    def retreat(step, _):
        t = shape.num_sites - 1 - step
        site = 0 if shape.shared else t
        from_above = blame[t, tile][:, None] * head[site][None]
        for layer in reversed(range(shape.depth)):
            slot = 1 + t * shape.depth + layer
            delta = (bars[slot, tile, :] + from_above) * slope(states[slot, tile, :])
            given = {source: jnp.zeros((_TILE, width), jnp.float32) for source in range(-1, shape.num_states)}
            for number, block in enumerate(shape.blocks[layer], start=firsts[layer]):
                scaled = delta if block.channel is None else delta * inputs[t, block.channel, tile][:, None]
                given[block.source] += _multiply(scaled, blocks[site, number], transposed=True)
            from_above = given[-1]
            for p in range(shape.num_states):
                read = reads[t, layer * shape.num_states + p]
                bars[read, tile, :] = bars[read, tile, :] + given[p]
        _wait(interpret)
        return 0

    lax.fori_loop(0, shape.num_sites, retreat, 0)


def _wait(interpret: bool) -> None:
    """What one thread of a block has written, another reads at the next site."""
    if not interpret:
        triton.debug_barrier()


def forward(network: Network, feed: Float[Array, "n m"], *, draw: bool) -> Pass:
    """The pass that draws spins by the uniform numbers in `feed`, or that evaluates the spins in it."""
    shape, (num_sites, num_samples) = _shape(network), feed.shape
    padded, width = _padded(num_samples), _width(network.cell.hidden)
    heard = _heard(network, shape, feed.dtype)
    out = [(1 + num_sites * shape.depth, padded, width), (1 + num_sites, padded), (num_sites, padded)]
    call = _call(partial(_forward_kernel, shape, draw), padded, [jax.ShapeDtypeStruct(o, feed.dtype) for o in out])
    tables = [jnp.asarray(table, jnp.int32) for table in (network.state_slots, network.spin_slots)]
    feed = jnp.pad(feed, ((0, 0), (0, padded - num_samples)), constant_values=1.0)
    states, spins, log_prob = call(
        feed, *tables, *_weights(network, shape), *heard.others, heard.evidence, heard.complete, heard.open
    )
    return Pass(states[:, :num_samples, : network.cell.hidden], spins[:, :num_samples], log_prob[:, :num_samples])


def outer_products(network: Network, passed: Pass, weights: Float[Array, "n m"]) -> OuterProducts:
    """The scores of the conditionals, each weighted."""
    shape, num_samples = _shape(network), weights.shape[1]
    d, more = network.cell.hidden, _padded(num_samples) - num_samples
    padded = _weights(network, shape)
    blame = weights * passed.spins[1:] * -jnp.expm1(passed.log_prob)
    states = jnp.pad(passed.states, ((0, 0), (0, more), (0, _width(d) - d)))
    inputs = jnp.moveaxis(site_inputs(network, passed.spins), 1, 2)
    call = _call(partial(_backward_kernel, shape), num_samples + more, jax.ShapeDtypeStruct(states.shape, states.dtype))
    bars = call(
        jnp.pad(blame, ((0, 0), (0, more))),
        states,
        jnp.pad(inputs, ((0, 0), (0, 0), (0, more))),
        jnp.asarray(network.state_slots, jnp.int32),
        padded.blocks,
        padded.head,
    )
    return outer_products_of(network, passed, weights, bars[:, :num_samples, :d])


def _call(kernel: Any, num_samples: int, shapes: Any) -> Any:
    interpret = _interpreted()
    return pl.pallas_call(
        partial(kernel, interpret),
        out_shape=shapes,
        grid=(num_samples // _TILE,),
        interpret=interpret,
        compiler_params=None if interpret else triton.CompilerParams(num_warps=4, num_stages=1),
    )


def _interpreted() -> bool:
    return jax.default_backend() != "gpu"


def _padded(num_samples: int) -> int:
    return -(-num_samples // _TILE) * _TILE


def _width(hidden: int) -> int:
    """The least power of two that the GPU multiplies."""
    return max(_TILE, 1 << (hidden - 1).bit_length())
