"""Dilated recurrent network: layers with steps 1, 2, 4, ... connect every pair of sites within log2(N) hops."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Int

from lehr._types import ArrayLike, InputError, Key
from lehr.ansatz.base import SiteOrder
from lehr.ansatz.cells import Activation, Cell, make_cell
from lehr.ansatz.hearing import Hearing, hear
from lehr.ansatz.order import given
from lehr.ansatz.recurrent import Recurrent, fresh_params
from lehr.problem.base import Problem


class DilatedRNN(Recurrent):
    """Stacked recurrent network for fully connected problems, with connections of length 2^(l-1) in layer l.

    Layer l at position n reads its own state at position `n - 2^(l-1)` and the layer below at n; layer 1 takes the spin
    drawn before. Where there is no such position it reads the zero state. The published code reads the layer's state
    at site 0 instead; that site sees no spin, so its state is a constant that a bias of one's own absorbs, and with
    site-dependent parameters both describe the same distributions. Zero keeps all ansätze alike, and sites that share
    parameters equal.
    Source: paper A, methods (`shared=False`).
    """

    params: Any
    order: SiteOrder
    cell: Cell = eqx.field(static=True)
    shared: bool = eqx.field(static=True)
    state_slots: Int[ArrayLike, "n l"]
    spin_slots: Int[ArrayLike, "n 1"]
    hearing: Hearing | None

    def __init__(
        self,
        num_spins: int,
        *,
        cell: str = "vanilla",
        hidden: int = 40,
        num_layers: int | None = None,
        shared: bool = False,
        activation: Activation | str = jax.nn.elu,
        order: Sequence[int] | ArrayLike | None = None,
        problem: Problem | None = None,
        hears: str = "constraints",
        key: Key | None = None,
    ):
        """Build the network with random parameters.

        Arguments: `num_spins` N; `cell` "vanilla" or "gru"; `hidden` the width d of the states; `num_layers` L
        (default: `ceil(log2 N)`, at least 1); `shared` whether all sites have the same parameters; `activation` f of
        the cell; `order` the spin drawn at each position (default: as numbered); `problem` whose terms the sites hear
        (default: none, as in the papers), and `hears`, the last kind of what they hear of them: "terms", "pairs" or
        "constraints" (`lehr.ansatz.products`); `key` of the parameters (default: `jax.random.key(0)`).
        Errors: `InputError` for a value out of range, an unknown cell, or an order that is no permutation.

        >>> DilatedRNN(32, hidden=20).num_parameters
        121024
        """
        if num_spins < 1:
            raise InputError(f"Argument `num_spins` must be at least 1, but it is {num_spins}.")
        depth = max(1, (num_spins - 1).bit_length()) if num_layers is None else num_layers
        if depth < 1:
            raise InputError(f"Argument `num_layers` must be at least 1, but it is {num_layers}.")
        self.order = given(num_spins, order)
        self.hearing = None if problem is None else hear(problem, self.order, hears)
        num_features = 0 if self.hearing is None else self.hearing.num_features
        self.cell = make_cell(
            cell,
            hidden=hidden,
            num_states=1,
            num_spins=1,
            activation=activation,
            num_features=num_features,
            depth=depth,
        )
        self.shared = shared
        layers = np.arange(depth)
        earlier = np.arange(num_spins)[:, None] - 2 ** layers[None]
        self.state_slots = np.where(earlier >= 0, 1 + earlier * depth + layers[None], 0).astype(np.int32)
        self.spin_slots = np.arange(num_spins, dtype=np.int32)[:, None]
        self.params = fresh_params(self.cell, shared, num_spins, key, self.hearing)
