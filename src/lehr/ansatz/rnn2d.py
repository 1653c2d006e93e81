"""Two-dimensional recurrent network: every site hears its neighbours of the row and of the column."""

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
from lehr.ansatz.order import closing_zigzag, earlier_neighbours, given, raster, zigzag
from lehr.ansatz.recurrent import Recurrent, fresh_params
from lehr.problem.base import Problem


class RNN2D(Recurrent):
    """Recurrent network on a rectangle: each site reads states and spins of the neighbours drawn before it.

    There are two at most: one along the first axis (site (x - 1, y) in raster and zigzag order) and one along the
    second ((x, y - 1), or (x, y + 1) in the odd rows of zigzag order). Beyond an edge there is none: boundaries are
    open, whatever the problem's.
    Source: paper A, methods: `cell="tensorised", shared=False, order="zigzag"`; paper B, section 2:
    `cell="vanilla", shared=True`.
    """

    params: Any
    order: SiteOrder
    cell: Cell = eqx.field(static=True)
    shared: bool = eqx.field(static=True)
    state_slots: Int[ArrayLike, "n 2"]
    spin_slots: Int[ArrayLike, "n 2"]
    hearing: Hearing | None

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        cell: str = "vanilla",
        hidden: int = 40,
        shared: bool = True,
        activation: Activation | str = jax.nn.elu,
        order: str | Sequence[int] | ArrayLike = "auto",
        problem: Problem | None = None,
        hears: str = "constraints",
        key: Key | None = None,
    ):
        """Build the network with random parameters.

        Arguments: `shape` (Lx, Ly), where spin `x * Ly + y` sits at (x, y) and x counts the rows; `cell` "vanilla",
        "gru" or "tensorised"; `hidden` the width d of the states; `shared` whether all sites have the same parameters;
        `activation` f of the cell; `order` "raster", "zigzag" or the spin drawn at each position (then, of two
        neighbours along an axis, the one drawn last is read), by default zigzag, turned so that most sites close terms
        of the problem; `problem` whose terms the sites hear (default: none, as in the papers), and `hears`, the last
        kind of what they hear of them: "terms", "pairs" or "constraints" (`lehr.ansatz.products`); `key` of the
        parameters (default: `jax.random.key(0)`).
        Errors: `InputError` for a value out of range, an unknown cell or an unknown order.

        >>> RNN2D((16, 16), hidden=40).num_parameters
        3482
        >>> RNN2D((2, 3), hidden=2, order="zigzag").order.sites.tolist()
        [0, 1, 2, 5, 4, 3]
        """
        if len(shape) != 2 or min(shape) < 1:
            raise InputError(f"Argument `shape` must be two positive integers (Lx, Ly), but it is {shape}.")
        num_spins = int(np.prod(shape))
        self.order = _order(shape, order, problem)
        self.hearing = None if problem is None else hear(problem, self.order, hears)
        num_features = 0 if self.hearing is None else self.hearing.num_features
        self.cell = make_cell(
            cell, hidden=hidden, num_states=2, num_spins=2, activation=activation, num_features=num_features
        )
        self.shared = shared
        self.state_slots = self.spin_slots = earlier_neighbours(self.order, shape)
        self.params = fresh_params(self.cell, shared, num_spins, key, self.hearing)


def _order(shape: tuple[int, int], order: str | Sequence[int] | ArrayLike, problem: Problem | None) -> SiteOrder:
    if not isinstance(order, str):
        return given(int(np.prod(shape)), order)
    if order not in ("auto", "raster", "zigzag"):
        raise InputError(
            f"Argument `order` must be auto, raster, zigzag or a permutation of the spins, but it is {order!r}."
        )
    if order == "auto" and problem is not None:
        return closing_zigzag(problem, shape)
    return raster(shape) if order == "raster" else zigzag(shape)
