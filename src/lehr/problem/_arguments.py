"""Checks of the arguments that the families share."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from lehr._types import InputError

# What fits into the memory of a large machine, some gigabytes: a slip of the finger is told, not tried.
MOST_SPINS = 10_000_000
MOST_DENSE_SPINS = 20_000


def checked_count(name: str, value: int, minimum: int, maximum: int = MOST_SPINS) -> int:
    """A whole number from `minimum` to `maximum`."""
    if not isinstance(value, int | np.integer) or value < minimum:
        raise InputError(f"Argument `{name}` must be a whole number of at least {minimum}, but it is {value!r}.")
    if value > maximum:
        raise InputError(f"Argument `{name}` must be at most {maximum}, so that it fits in memory, but it is {value}.")
    return int(value)


def checked_seed(seed: int) -> int:
    """A seed that NumPy's old and new generators both accept."""
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InputError(f"Argument `seed` must be a whole number from 0 to 2**32 - 1, but it is {seed!r}.")
    return int(seed)


def checked_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """One of the names in `choices`."""
    if value not in (allowed := tuple(choices)):
        raise InputError(f"Argument `{name}` must be one of {', '.join(allowed)}, but it is {value!r}.")
    return value


def checked_shape(shape: int | Sequence[int], most_sides: int = 2, least_sites: int = 1) -> tuple[int, ...]:
    """Sides of a grid, two or up to `most_sides`; a single number is the side of a square."""
    sides = (shape, shape) if isinstance(shape, int | np.integer) else tuple(shape)
    numbers = all(isinstance(side, int | np.integer) and side >= 1 for side in sides)
    if not 2 <= len(sides) <= most_sides or not numbers:
        allowed = "two sides (Lx, Ly)" if most_sides == 2 else "sides (Lx, Ly) or (Lx, Ly, Lz)"
        raise InputError(
            f"Argument `shape` must be a side L or {allowed}, whole numbers of at least 1, but it is {shape!r}."
        )
    sites = math.prod(map(int, sides))
    if not least_sites <= sites <= MOST_SPINS:
        raise InputError(
            f"Argument `shape` must have from {least_sites} to {MOST_SPINS} sites, so that they fit in memory, "
            f"but it is {shape!r}, with {sites}."
        )
    return tuple(map(int, sides))
