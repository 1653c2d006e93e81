"""One-dimensional recurrent network: a chain of sites in any order."""

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


class RNN1D(Recurrent):
    """Recurrent network in one dimension: each site reads the state and the spin of the site drawn before it.

    Source: paper A, methods; `cell="tensorised", shared=False` is its ansatz for chains.
    """

    params: Any
    order: SiteOrder
    cell: Cell = eqx.field(static=True)
    shared: bool = eqx.field(static=True)
    state_slots: Int[ArrayLike, "n 1"]
    spin_slots: Int[ArrayLike, "n 1"]
    hearing: Hearing | None

    def __init__(
        self,
        num_spins: int,
        *,
        cell: str = "vanilla",
        hidden: int = 40,
        shared: bool = True,
        activation: Activation | str = jax.nn.elu,
        order: Sequence[int] | ArrayLike | None = None,
        problem: Problem | None = None,
        hears: str = "constraints",
        key: Key | None = None,
    ):
        """Build the network with random parameters.

        Arguments: `num_spins` N; `cell` "vanilla", "gru" or "tensorised"; `hidden` the width d of the states; `shared`
        whether all sites have the same parameters; `activation` f of the cell; `order` the spin drawn at each position
        (default: as numbered); `problem` whose terms the sites hear (default: none, as in the papers), and `hears`, the
        last kind of what they hear of them: "terms", "pairs" or "constraints" (`lehr.ansatz.products`); `key` of the
        parameters (default: `jax.random.key(0)`).
        Errors: `InputError` for a value out of range, an unknown cell, or an order that is no permutation.

        >>> RNN1D(3, cell="tensorised", hidden=40, shared=False, order=[2, 0, 1]).num_parameters
        9966
        """
        if num_spins < 1:
            raise InputError(f"Argument `num_spins` must be at least 1, but it is {num_spins}.")
        self.order = given(num_spins, order)
        self.hearing = None if problem is None else hear(problem, self.order, hears)
        num_features = 0 if self.hearing is None else self.hearing.num_features
        self.cell = make_cell(
            cell, hidden=hidden, num_states=1, num_spins=1, activation=activation, num_features=num_features
        )
        self.shared = shared
        # The predecessor of position t is t - 1, in slot t; position 0 reads slot 0.
        self.state_slots = self.spin_slots = np.arange(num_spins, dtype=np.int32)[:, None]
        self.params = fresh_params(self.cell, shared, num_spins, key, self.hearing)
