"""One site of a recurrent network on a GPU, as a block computes it for a tile of samples: the arithmetic of each cell,
written once for every pass of `lehr.native.pallas`, and the arrays that it computes from."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Int

from lehr.ansatz.affine import Affine
from lehr.ansatz.cells import ACTIVATIONS, GRU, Activation, Cell, Layer, Tensorised, Vanilla
from lehr.ansatz.hearing import Hearing
from lehr.ansatz.scan import Network

# Samples of a tile, and the least width of a state: no product on the GPU's matrix units is smaller. And the largest
# width, of which a square fits into the memory that a block has to itself.
TILE, _WIDEST = 16, 128

# The slope of each activation by its value.
_SLOPES = {
    ACTIVATIONS["elu"]: lambda value: jnp.where(value > 0, 1.0, value + 1),
    ACTIVATIONS["relu"]: lambda value: jnp.where(value > 0, 1.0, 0.0),
    ACTIVATIONS["sigmoid"]: lambda value: value * (1 - value),
    ACTIVATIONS["softplus"]: lambda value: 1 - jnp.exp(-value),
    ACTIVATIONS["tanh"]: lambda value: 1 - value * value,
}


# What a layer's map of some number makes of the tiles that it takes in, and of the inputs of the site.
_Apply = Callable[..., Any]


def _vanilla(apply: _Apply, activation: Activation, read: list[Any], below: list[Any], inputs: list[Any]) -> Any:
    return activation(apply(0, [*read, *below], inputs))


def _tensorised(apply: _Apply, activation: Activation, read: list[Any], below: list[Any], inputs: list[Any]) -> Any:
    return activation(apply(0, [given[:, None] * state for given in inputs for state in read]))


def _gated(apply: _Apply, activation: Activation, read: list[Any], below: list[Any], inputs: list[Any]) -> Any:
    num_states, taken = len(read), [*read, *below]
    *resets, update = (jax.nn.sigmoid(apply(m, taken, inputs)) for m in range(num_states + 1))
    kept = [reset * state for reset, state in zip(resets, read, strict=True)]
    candidate = activation(apply(num_states + 1, [*kept, *below], inputs))
    merged = read[0] if num_states == 1 else apply(num_states + 2, read)
    return update * merged + (1 - update) * candidate


_CELLS = {Vanilla: _vanilla, Tensorised: _tensorised, GRU: _gated}


def serve(cell: Cell) -> bool:
    """Whether there is arithmetic for this cell."""
    first = cell.layers[0]
    return (
        width_of(cell.hidden) <= _WIDEST
        and type(first) in _CELLS
        and first.activation in _SLOPES
        and all((type(layer), layer.activation) == (type(first), first.activation) for layer in cell.layers)
    )


class Shape(NamedTuple):
    """What a kernel is made for."""

    num_sites: int
    depth: int
    num_states: int  # read by each layer
    num_spins: int
    places: tuple[int, ...]  # of each kind of products
    features: tuple[int, ...]
    shared: bool
    kind: type[Layer]
    activation: Activation

    def site(self, t: Any) -> Any:
        """Where the parameters of position t are."""
        return 0 if self.shared else t


def shape_of(network: Network) -> Shape:
    """What the kernels of a network are made for."""
    layer, hearing = network.cell.layers[0], network.hearing
    return Shape(
        num_sites=np.shape(network.state_slots)[0],
        depth=network.cell.depth,
        num_states=layer.num_states,
        num_spins=np.shape(network.spin_slots)[1],
        places=() if hearing is None else tuple(np.shape(site.numbers)[-1] for site in hearing.sites),
        features=() if hearing is None else tuple(kind.features for kind in hearing.kinds),
        shared=network.shared,
        kind=type(layer),
        activation=layer.activation,
    )


class Map(NamedTuple):
    """An affine map: a square block for each tile that it takes in, a row for each input of the site, and the bias."""

    blocks: Float[Array, "s blocks D D"]
    inputs: Float[Array, "s k D"] | None
    bias: Float[Array, "s D"] | None


class Heard(NamedTuple):
    """What the sites hear: what fields are multiplied by; and, the places of all kinds side by side, the slots of the
    other spins, and what the product of these is multiplied by in the field and in the features of complete and of open
    products."""

    coupling: Float[Array, "s kinds"]
    others: tuple[Int[Array, "n f k"], ...]
    evidence: Float[Array, "n f"]
    complete: Float[Array, "n f"]
    open: Float[Array, "n f"]


class Arrays(NamedTuple):
    """The tables and the parameters, with states padded to D numbers; S is 1 where the sites share parameters."""

    reads: Int[Array, "n p"]
    sees: Int[Array, "n q"]
    heard: Heard | None
    layers: tuple[tuple[Map, ...], ...]
    head: Float[Array, "s D"]
    head_bias: Float[Array, "s 1"]


def arrays_of(network: Network) -> Arrays:
    """What the kernels of a network compute from."""
    params = jax.tree.map(lambda leaf: leaf[None] if network.shared else leaf, network.params)
    head: Affine = params["head"]
    return Arrays(
        reads=jnp.asarray(network.state_slots, jnp.int32),
        sees=jnp.asarray(network.spin_slots, jnp.int32),
        heard=None if network.hearing is None else _heard(network.hearing, params["coupling"].kernel[..., 0]),
        layers=tuple(
            tuple(_maps(layer, own, first=number == 0))
            for number, (layer, own) in enumerate(zip(network.cell.layers, params["layers"], strict=True))
        ),
        head=_widened(head.kernel[..., 0] - head.kernel[..., 1]),
        head_bias=(head.bias[:, 0] - head.bias[:, 1])[:, None],
    )


def _maps(layer: Layer, params: Any, first: bool) -> list[Map]:
    """The maps of a layer in the order in which its cell numbers them."""
    d, width = layer.hidden, layer.num_states * layer.hidden
    affines: list[Affine] = [params]
    if isinstance(layer, GRU):
        gates = params["gates"]
        affines = [Affine(gates.bias[:, i : i + d], gates.kernel[..., i : i + d]) for i in range(0, width + d, d)]
        affines += [params[name] for name in ("candidate", "merge") if name in params]
    # What a tensorised layer takes in is made of its inputs; any other first layer takes them in beside the states.
    beside = first and not isinstance(layer, Tensorised)
    maps = []
    for affine in affines:
        squares = affine.kernel[:, :width] if beside else affine.kernel
        rows = affine.kernel[:, squares.shape[1] :]
        blocks = _widened(squares.reshape(len(squares), -1, d, d))
        maps.append(
            Map(
                blocks=jnp.pad(blocks, ((0, 0), (0, 0), (0, blocks.shape[-1] - d), (0, 0))),
                inputs=_widened(rows) if rows.shape[1] else None,
                bias=None if affine.bias is None else _widened(affine.bias),
            )
        )
    return maps


def _heard(hearing: Hearing, coupling: Float[Array, "s kinds"]) -> Heard:
    dtype, others, parts = coupling.dtype, [], []
    for kind, sites in zip(hearing.kinds, hearing.sites, strict=True):
        others.append(jnp.asarray(sites.others, jnp.int32))
        evidence, effective = (jnp.asarray(v, dtype)[sites.numbers] for v in (kind.evidence, kind.effective))
        closing = jnp.asarray(sites.closing, dtype)
        parts.append((evidence * closing, effective * closing, effective * (1 - closing)))
    return Heard(coupling, tuple(others), *(jnp.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


def width_of(hidden: int) -> int:
    """D: the least power of two that the GPU multiplies."""
    return max(TILE, 1 << (hidden - 1).bit_length())


def _widened(array: Array) -> Array:
    """Rows of d numbers padded to D."""
    d = array.shape[-1]
    return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, width_of(d) - d)])


class Memory(NamedTuple):
    """How a block reaches the spins and the states of its samples, by slot."""

    spin: Callable[[Any], Any]
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]


def at_site(shape: Shape, arrays: Arrays, t: Any, memory: Memory) -> Any:
    """Writes the states of a site and returns the logit of its spin, [B]."""
    site, below = shape.site(t), []
    inputs, told = listen(shape, arrays, t, memory.spin)
    for layer in range(shape.depth):
        read = [memory.read(slot) for slot in slots_read(shape, arrays, t, layer)]
        state = layer_state(shape, arrays, site, layer, shape.activation, inputs, read, below)
        memory.write(1 + t * shape.depth + layer, state)
        below = [state]
    return (below[0] * arrays.head[site][None]).sum(1) + arrays.head_bias[site, 0] + told


def slots_read(shape: Shape, arrays: Arrays, t: Any, layer: int) -> list[Any]:
    """The slots of the states that a layer reads."""
    return [arrays.reads[t, layer * shape.num_states + p] for p in range(shape.num_states)]


def layer_state(
    shape: Shape,
    arrays: Arrays,
    site: Any,
    layer: int,
    activation: Activation,
    inputs: list[Any],
    read: list[Any],
    below: list[Any],
) -> Any:
    """The new state of a layer, [B, D], from the states that it reads and that of the layer below, where there is one;
    to be differentiated in these."""

    def apply(number: int, taken: Sequence[Any], inputs: Sequence[Any] = ()) -> Any:
        own = arrays.layers[layer][number]
        parts = [triton.dot(tile, own.blocks[site, i], allow_tf32=False) for i, tile in enumerate(taken)]
        if own.inputs is not None:
            parts += [given[:, None] * own.inputs[site, k][None] for k, given in enumerate(inputs)]
        if own.bias is not None:
            parts.append(own.bias[site][None])
        return functools.reduce(operator.add, parts)

    return _CELLS[shape.kind](apply, activation, read, below, inputs)


def tangent(shape: Shape, state: Any) -> Activation:
    """The activation of a layer on the way back: for gated cells itself; for the others its value is the state, so the
    tangent there will do, and the sum is not found again, for only its derivatives are used."""
    if shape.kind is GRU:
        return shape.activation
    slope = _SLOPES[shape.activation](state)
    return lambda total: slope * total


def listen(shape: Shape, arrays: Arrays, t: Any, spin: Callable[[Any], Any]) -> tuple[list[Any], Any]:
    """What a site takes in besides states, each [B], and the logit that it is told by the fields."""
    seen = [spin(arrays.sees[t, q]) for q in range(shape.num_spins)]
    inputs = [(value > 0 if up else value < 0).astype(value.dtype) for value in seen for up in (True, False)]
    told, place = 0.0, 0
    for number, (places, features) in enumerate(zip(shape.places, shape.features, strict=True)):
        heard: Any = arrays.heard
        others, known = heard.others[number], []
        for i in range(places):
            product = jnp.ones(TILE, jnp.float32)
            for k in range(others.shape[-1]):
                slot = others[t, i, k]
                product *= jnp.where(slot > 0, spin(slot), 1.0)
            known.append(product)
        columns = range(place, place + places)
        field = sum(heard.evidence[t, n] * product for n, product in zip(columns, known, strict=True))
        told += heard.coupling[shape.site(t), number] * field
        for table in (heard.complete, heard.open)[:features]:
            inputs += [table[t, n] * product for n, product in zip(columns, known, strict=True)]
        place += places
    return inputs, told
