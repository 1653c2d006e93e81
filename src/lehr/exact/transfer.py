"""Two-dimensional lattices of bounded width, exactly: the transfer matrix, one site at a time.

The frontier is the last spin of every column that the sweep has passed, 2^width states. Adding a site sums out (or
minimises over) the spin above it. The frontier is kept as a queue, oldest spin first, so that every site is the same
operation on contiguous halves of one array.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int8

from lehr._types import InputError
from lehr.exact._lattice import Grid, grid
from lehr.exact.enumeration import Temperatures, checked_temperatures, shaped_like
from lehr.problem.base import Problem

_MOST_BITS = 20
_MOST_CHOICE_BYTES = 2**31
# Weights this far below the largest are still represented; the rest of the system must not be able to lift lower ones.
_SAFE_EXPONENT = 600.0


def applies(problem: Problem) -> bool:
    """Whether the problem is a narrow lattice: neighbour couplings and fields on a grid, at most 2^20 frontier states.

    An open grid, a cylinder whose ring is the shorter way, and a chain of any kind need a shorter side of at most 20;
    a torus, or a cylinder closed along the sweep, of at most 10.

    >>> import lehr
    >>> applies(lehr.edwards_anderson((20, 50), seed=1)), applies(lehr.edwards_anderson(21, seed=1))
    (True, False)
    >>> applies(lehr.edwards_anderson(10, boundary="periodic", seed=1))
    True
    """
    return _strip(problem) is not None


def free_energy(problem: Problem, temperature: Temperatures) -> float | Float[np.ndarray, " temperatures"]:
    """Free energy `-T ln sum_s exp(-H(s) / T)` of a lattice for which `applies` holds.

    Seconds for 20 x 20 spins, and some times longer at temperatures so low (below about 0.1 with couplings of 1) that
    weights leave the range of float64 and are added as logarithms.

    Args:
        problem: neighbour couplings and fields, open or periodic along each side.
        temperature: T, positive, in units of the energy; or a sequence of them.

    Returns:
        F of the whole system, offset included; a float, or float64 [temperatures] for a sequence.

    Raises:
        InputError: where the lattice is too wide or the problem has other terms, or for a bad temperature.

    Source: I. Morgenstern and K. Binder, Phys. Rev. B 22, 288 (1980).

    >>> import lehr
    >>> round(free_energy(lehr.edwards_anderson(10, seed=1), 1.0) / 100, 10)
    -1.0024567296
    """
    strip = _required(problem)
    values = []
    for t in checked_temperatures(temperature):
        sweep = _Linear(t) if strip.reach / t < _SAFE_EXPONENT else _Logarithmic(t)
        values.append(-t * sweep.close(_swept(strip, sweep)))
    return shaped_like(temperature, np.array(values) + float(problem.offset))


def ground_energy(problem: Problem) -> float:
    """Ground energy, offset included, of a lattice for which `applies` holds; in less memory than `ground_state`.

    >>> import lehr
    >>> round(ground_energy(lehr.edwards_anderson(6, boundary="periodic", seed=1)), 10)
    -30.257647956
    """
    sweep = _Minimum()
    return sweep.close(_swept(_required(problem), sweep)) + float(problem.offset)


def ground_state(problem: Problem) -> tuple[float, Int8[np.ndarray, " num_spins"]]:
    """Ground energy, offset included, and a ground state, of a lattice for which `applies` holds.

    Raises:
        InputError: as `free_energy`; also where the choices made on the way need more than 2 GiB
            (`ground_energy` does not).

    >>> import lehr
    >>> energy, spins = ground_state(lehr.edwards_anderson(10, seed=1))
    >>> round(energy / 100, 10), spins.shape
    (-0.7865040168, (100,))
    """
    strip = _required(problem)
    rows, width = strip.glass.down.shape
    if rows * width * 2 ** (strip.bits - 3) > _MOST_CHOICE_BYTES:
        raise InputError(
            f"Argument `problem` must need at most 2 GiB of choices for a ground state, but {problem.name} needs more; "
            "ask for its ground_energy."
        )
    sweep = _Minimum(remember=True)
    last = _swept(strip, sweep)
    first, index = divmod(int(last.argmin()), last.shape[1])
    bits = np.zeros((rows, width), np.int64)
    for site in reversed(range(rows * width)):
        bits[divmod(site, width)] = index & 1
        # Above the first row there was nothing to choose.
        choice = sweep.choices[site][first, index >> 3] >> (7 - index % 8) & 1 if site >= width else 0
        index = int(choice) << (width - 1) | int(index) >> 1
    spins = (1 - 2 * (bits.T if strip.transposed else bits)).astype(np.int8).ravel()
    return float(problem.energy(spins)), spins


class _Strip(NamedTuple):
    """A lattice turned so that the sweep goes down its rows; `bits` is log2 of the number of states it needs."""

    glass: Grid
    transposed: bool
    bits: int

    @property
    def reach(self) -> float:
        """Energy by which the sites to come can at most reorder the states of a frontier."""
        below = np.abs(self.glass.down)
        crossing = np.maximum(below, np.roll(below, 1, axis=0)).sum(axis=1).max()
        site = 2 * np.abs(self.glass.right).max() + np.abs(self.glass.field).max()
        return 2 * float(crossing + below[-1].sum() + site)


def _strip(problem: Problem) -> _Strip | None:
    glass = grid(problem)
    if glass is None:
        return None
    ways = []
    for transposed, turned in enumerate((glass, Grid(glass.right.T, glass.down.T, glass.field.T))):
        # The first row stays in the state where the last one couples to it.
        ways.append(_Strip(turned, bool(transposed), turned.down.shape[1] * (2 if turned.wraps[0] else 1)))
    best = min(ways, key=lambda way: way.bits)
    return best if best.bits <= _MOST_BITS else None


def _required(problem: Problem) -> _Strip:
    strip = _strip(problem)
    if strip is None:
        raise InputError(
            "Argument `problem` must have couplings of neighbours and fields on a grid with a shorter side of at most "
            f"{_MOST_BITS}, or {_MOST_BITS // 2} where it is periodic, but {problem.name} is not such a problem."
        )
    return strip


class _Minimum:
    """Energies of the best completion so far: added and minimised."""

    nothing, unit = np.inf, 0.0

    def __init__(self, remember: bool = False):
        self.remember = remember
        self.choices: list[np.ndarray] = []

    def begin(self, states: np.ndarray) -> None:
        """A new site begins."""
        self.chosen = np.empty(states.shape, bool) if self.remember else None

    def merge(self, out: tuple, new: np.ndarray, old: tuple, costs: list[float]) -> None:
        """Write into `new[out]` the two old states joined, each with the energy that the site adds to it."""
        up, down = old[0] + costs[0], old[1] + costs[1]
        np.minimum(up, down, out=new[out])
        if self.chosen is not None:
            np.less(down, up, out=self.chosen.reshape(new.shape)[out])

    def end(self) -> None:
        """The site is complete."""
        if self.chosen is not None:
            self.choices.append(np.packbits(self.chosen, axis=-1))

    def add(self, states: np.ndarray, energy: float | np.ndarray) -> None:
        """Add an energy to states, in place."""
        states += energy

    def close(self, states: np.ndarray) -> float:
        """The minimum over all states that are left."""
        return float(states.min())


class _Logarithmic:
    """Logarithms of weights: every temperature, slowly."""

    nothing, unit = -np.inf, 0.0

    def __init__(self, temperature: float):
        self.temperature = temperature

    def begin(self, states: np.ndarray) -> None: ...

    def merge(self, out: tuple, new: np.ndarray, old: tuple, costs: list[float]) -> None:
        weights = [states - cost / self.temperature for states, cost in zip(old, costs, strict=True)]
        np.logaddexp(*weights, out=new[out])

    def end(self) -> None: ...

    def add(self, states: np.ndarray, energy: float | np.ndarray) -> None:
        states -= energy / self.temperature

    def close(self, states: np.ndarray) -> float:
        top = states.max()
        return float(top + np.log(np.exp(states - top).sum()))


class _Linear:
    """Weights relative to the largest, whose logarithm is kept aside."""

    nothing, unit = 0.0, 1.0

    def __init__(self, temperature: float):
        self.temperature, self.scale = temperature, 0.0

    def begin(self, states: np.ndarray) -> None:
        self.top = np.log(states.max())
        self.scale += self.top

    def merge(self, out: tuple, new: np.ndarray, old: tuple, costs: list[float]) -> None:
        weights = np.exp(-np.array(costs) / self.temperature - self.top)
        np.add(old[0] * weights[0], old[1] * weights[1], out=new[out])

    def end(self) -> None: ...

    def add(self, states: np.ndarray, energy: float | np.ndarray) -> None:
        states *= np.exp(-energy / self.temperature)

    def close(self, states: np.ndarray) -> float:
        return float(self.scale + np.log(states.sum()))


_Sweep = _Minimum | _Logarithmic | _Linear


def _swept(strip: _Strip, sweep: _Sweep) -> Float[np.ndarray, "first last"]:
    """States after the last site: for each last row, and each first row where the lattice closes along the sweep."""
    glass, (rows, width) = strip.glass, strip.glass.down.shape
    # The row before the first is all up, and nothing couples to it.
    states = np.full((1, 2**width), sweep.nothing)
    states[0, 0] = sweep.unit
    for row in range(rows):
        above = glass.down[row - 1] if row else np.zeros(width)
        for column in range(width):
            before = glass.right[row, column - 1] if column else 0.0
            states = _with_site(states, sweep, above[column], before, glass.field[row, column])
        if width > 2 and glass.right[row, -1]:
            ring = states.reshape(len(states), 2, -1, 2)
            for first, last in np.ndindex(2, 2):
                sweep.add(ring[:, first, :, last], _product(first, last) * glass.right[row, -1])
        if row == 0 and glass.wraps[0]:
            states = np.where(np.eye(2**width, dtype=bool), states, sweep.nothing)
    if glass.wraps[0]:
        signs = 1.0 - 2 * (np.arange(2**width)[:, None] >> np.arange(width)[::-1] & 1)
        sweep.add(states, (signs * glass.down[-1]) @ signs.T)
    return states


def _with_site(
    states: Float[np.ndarray, "first frontier"], sweep: _Sweep, above: float, before: float, field: float
) -> Float[np.ndarray, "first frontier"]:
    """The frontier with one more site, last in the queue, in place of the site above it, first in the queue."""
    sweep.begin(states)
    lefts = min(2, states.shape[1] // 2)  # a frontier of one spin has no left neighbour in it
    old = states.reshape(len(states), 2, -1, lefts)
    new = np.empty((len(states), old.shape[2], lefts, 2))
    for left, spin in np.ndindex(lefts, 2):
        site = _product(left, spin) * before + (1 - 2 * spin) * field
        costs = [site + _product(up, spin) * above for up in (0, 1)]
        sweep.merge(np.s_[:, :, left, spin], new, (old[:, 0, :, left], old[:, 1, :, left]), costs)
    states = new.reshape(states.shape)
    sweep.end()
    return states


def _product(first: int, second: int) -> int:
    """Product of two spins given as 0 for up and 1 for down."""
    return 1 - 2 * (first ^ second)
