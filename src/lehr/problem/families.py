"""The named families, by the names that files and commands use."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lehr._types import InputError
from lehr.problem import edwards_anderson, newman_moore, random_chain, sherrington_kirkpatrick, wishart
from lehr.problem.base import Problem


class Family(NamedTuple):
    """The function that makes a problem, its choices with their types, and along how many sides its spins can lie."""

    make: Callable[..., Problem]
    choices: Mapping[str, type]
    sides: int


# Which choices must be made.
_NEEDED = {"wpe": "alpha"}

FAMILIES = {
    "chain": Family(random_chain, {"seed": int, "couplings": str}, 1),
    "ea": Family(edwards_anderson, {"seed": int, "couplings": str, "boundary": str}, 3),
    "sk": Family(sherrington_kirkpatrick, {"seed": int}, 1),
    "wpe": Family(wishart, {"seed": int, "alpha": float}, 1),
    "nm": Family(newman_moore, {}, 2),
}


def make_problem(family: str, size: Any, choices: Mapping[str, Any], *, spelt: str = "{}") -> Problem:
    """A problem of a named family.

    Arguments: `family`: one of `FAMILIES`; `size`: number of spins or side of a lattice, or sides like "8x12";
    `choices`: those of the family, the seed being 0 by default; `spelt`: how errors spell an argument, "--{}" on a
    command line.

    Errors: `InputError` in one line that names the argument.

    >>> make_problem("ea", "3x4", {"seed": 2}).name
    'EA 3x4 uniform open seed 2'
    """
    if family not in FAMILIES:
        raise InputError(
            f"Argument `{spelt.format('family')}` must be one of {', '.join(FAMILIES)}, but it is {family!r}."
        )
    make, allowed, most_sides = FAMILIES[family]
    sides = _sides(size, spelt.format("size"))
    for name, value in choices.items():
        shown = spelt.format(name)
        if name not in allowed:
            raise InputError(f"Argument `{shown}` must be left out for {family}, which has no such choice.")
        wanted = (int, float) if allowed[name] is float else allowed[name]
        if not isinstance(value, wanted) or isinstance(value, bool):
            kind = {int: "a whole number", float: "a number", str: "a name"}[allowed[name]]
            raise InputError(f"Argument `{shown}` must be {kind}, but it is {value!r}.")
    if (needed := _NEEDED.get(family)) and needed not in choices:
        raise InputError(f"Argument `{spelt.format(needed)}` must be given for {family}, but it is missing.")
    if len(sides) > most_sides:
        wanted = "one number" if most_sides == 1 else "a side or two"
        raise InputError(f"Argument `{spelt.format('size')}` must be {wanted} for {family}, but it is {size}.")
    seed = {"seed": 0} if "seed" in allowed else {}
    return make(sides[0] if len(sides) == 1 else sides, **{**seed, **choices})


def _sides(size: Any, name: str) -> tuple[int, ...]:
    parts = str(size).lower().split("x")
    if len(parts) > 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise InputError(
            f"Argument `{name}` must be a number, or two or three joined by x, like 10 or 8x12, "
            f"but it is {str(size)[:40]!r}."
        )
    return tuple(int(part) for part in parts)
