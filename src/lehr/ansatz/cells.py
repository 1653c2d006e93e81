"""Cells: the one place where recurrent ansätze differ in arithmetic.

A *layer* maps the states it reads and its inputs to a new state of width d. A `Cell` is a stack of layers under a
softmax head. Neither holds arrays: they are hyper-parameters (static, hashable), and parameters are passed in.

A spin enters as the one-hot vector (up, down); "no spin" enters as (0, 0).
"""

import abc
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lehr._types import InputError, Key
from lehr.ansatz.affine import Affine

Activation = Callable[[Array], Array]

# What the command line and JSON can name; Python can hand over any function.
ACTIVATIONS: dict[str, Activation] = {
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}


@dataclass(frozen=True)
class Initial:
    """How an array of parameters starts: uniform between -bound and bound."""

    shape: tuple[int, ...]
    bound: float


def _glorot(shape: tuple[int, ...], fan_in: int, fan_out: int) -> Initial:
    return Initial(shape, math.sqrt(6 / (fan_in + fan_out)))


def _dense(fan_in: int, fan_out: int) -> Affine:
    return Affine(Initial((fan_out,), 0.0), _glorot((fan_in, fan_out), fan_in, fan_out))


@dataclass(frozen=True)
class Layer(abc.ABC):
    """One recurrent layer: reads `num_states` states of width `hidden` and `num_inputs` numbers."""

    hidden: int
    num_states: int
    num_inputs: int
    activation: Activation

    @abc.abstractmethod
    def initial(self) -> Any:
        """The affine maps that `__call__` takes as `params`, each array as an `Initial`."""

    @abc.abstractmethod
    def __call__(self, params: Any, state: Float[Array, "m p"], inputs: Float[Array, "m k"]) -> Float[Array, "m d"]:
        """The new state; `state` holds the states read, side by side."""


@dataclass(frozen=True)
class Vanilla(Layer):
    """h = f(W [states; inputs] + b).

    Glorot kernel, zero bias. In two dimensions W = (W_h, W_v) acts on both predecessors at once (paper B, section 2).
    """

    def initial(self) -> Affine:
        return _dense(self.num_states * self.hidden + self.num_inputs, self.hidden)

    def __call__(self, params: Any, state: Float[Array, "m p"], inputs: Float[Array, "m k"]) -> Float[Array, "m d"]:
        return self.activation(params(jnp.concatenate([state, inputs], axis=1)))


@dataclass(frozen=True)
class Tensorised(Layer):
    """h = f(inputs^T T states + b): every spin configuration seen has its own matrix (paper A, methods).

    Glorot tensor [d, P d, 2 Q] with the fans of its last two axes times d, and a *non-zero* bias U(±sqrt(3/d)).
    """

    def initial(self) -> Affine:
        d, width = self.hidden, self.num_states * self.hidden
        return Affine(_glorot((d,), d, d), _glorot((self.num_inputs * width, d), d * width, d * self.num_inputs))

    def __call__(self, params: Any, state: Float[Array, "m p"], inputs: Float[Array, "m k"]) -> Float[Array, "m d"]:
        products = inputs[:, :, None] * state[:, None, :]
        return self.activation(params(products.reshape(state.shape[0], -1)))


@dataclass(frozen=True)
class GRU(Layer):
    """h = z * merged + (1 - z) * f(W [r * states; inputs] + b), with gates (r, z) = sigmoid(G [states; inputs] + g).

    `merged` is the state read; where several are read (two dimensions), each has its own reset gate and `merged` is a
    learned linear map V of them. The activation f shapes the candidate only. Glorot kernels, zero biases.
    Source: Cho et al., arXiv:1406.1078.
    """

    def initial(self) -> dict[str, Affine]:
        d, width = self.hidden, self.num_states * self.hidden
        merge = {"merge": Affine(None, _glorot((width, d), width, d))} if self.num_states > 1 else {}
        return {
            "gates": _dense(width + self.num_inputs, width + d),
            "candidate": _dense(width + self.num_inputs, d),
            **merge,
        }

    def __call__(self, params: Any, state: Float[Array, "m p"], inputs: Float[Array, "m k"]) -> Float[Array, "m d"]:
        gates = jax.nn.sigmoid(params["gates"](jnp.concatenate([state, inputs], axis=1)))
        reset, update = gates[:, : state.shape[1]], gates[:, state.shape[1] :]
        candidate = self.activation(params["candidate"](jnp.concatenate([reset * state, inputs], axis=1)))
        merged = state if self.num_states == 1 else params["merge"](state)
        return update * merged + (1 - update) * candidate


@dataclass(frozen=True)
class Cell:
    """Layers on top of each other, and a softmax head on the last: what happens at one site.

    The first layer takes the inputs (one-hot spins, and what the site hears of the Hamiltonian), every other the layer
    below; each reads its own states.
    """

    layers: tuple[Layer, ...]

    @property
    def hidden(self) -> int:
        """Width d of every state."""
        return self.layers[0].hidden

    @property
    def depth(self) -> int:
        """Number of layers L, which is the number of states that one site writes."""
        return len(self.layers)

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def init(self, key: Key, sites: tuple[int, ...] = ()) -> dict[str, Any]:
        """Random parameters in JAX's default precision: one entry per layer, and the head's.

        `sites` is a leading shape of every array: (N,) where each site has its own parameters.
        """
        initial = {"layers": tuple(layer.initial() for layer in self.layers), "head": _dense(self.hidden, 2)}
        leaves, structure = jax.tree.flatten(initial)
        ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])
        # One draw for all: a random generator for every array would take seconds to compile.
        numbers = jnp.split(jax.random.uniform(key, (*sites, ends[-1]), minval=-1.0), ends[:-1], axis=-1)
        arrays = [
            leaf.bound * part.reshape(*sites, *leaf.shape) if leaf.bound else jnp.zeros((*sites, *leaf.shape))
            for leaf, part in zip(leaves, numbers, strict=True)
        ]
        return jax.tree.unflatten(structure, arrays)

    def __call__(
        self, params: dict[str, Any], states: Float[Array, "p m d"], inputs: Float[Array, "m k"]
    ) -> tuple[Float[Array, "l m d"], Float[Array, " m"]]:
        """The states written, and the logit ln p(up) - ln p(down) of the site's spin."""
        written, first = [], 0
        for layer, layer_params in zip(self.layers, params["layers"], strict=True):
            read = jnp.concatenate(list(states[first : first + layer.num_states]), axis=1)
            inputs = layer(layer_params, read, inputs)
            written.append(inputs)
            first += layer.num_states
        up, down = params["head"](inputs).T
        return jnp.stack(written), up - down


_LAYERS = {"vanilla": Vanilla, "gru": GRU, "tensorised": Tensorised}


def make_cell(
    name: str,
    *,
    hidden: int,
    num_states: int,
    num_spins: int,
    activation: Activation | str,
    num_features: int = 0,
    depth: int = 1,
) -> Cell:
    """The cell called `name`, reading `num_states` states per layer, `num_spins` spins and `num_features` numbers.

    `activation` is a function or a name in `ACTIVATIONS`.
    Errors: `InputError` for an unknown name, for sizes that are no integers of at least 1, and for a tensorised cell
    of several layers.
    """
    for argument, value in (("hidden", hidden), ("num_layers", depth)):
        # The values may come from a command line or from JSON: types are checked as well.
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise InputError(f"Argument `{argument}` must be an integer of at least 1, but it is {value!r}.")
    allowed = [known for known in _LAYERS if depth == 1 or known != "tensorised"]
    if name not in allowed:
        raise InputError(f"Argument `cell` must be one of {', '.join(allowed)}, but it is {name!r}.")
    function = ACTIVATIONS.get(activation) if isinstance(activation, str) else activation
    if not callable(function):
        raise InputError(
            f"Argument `activation` must be a function or one of {', '.join(ACTIVATIONS)}, but it is {activation!r}."
        )
    widths = [2 * num_spins + num_features] + [hidden] * (depth - 1)
    return Cell(tuple(_LAYERS[name](hidden, num_states, width, function) for width in widths))
