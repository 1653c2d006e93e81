"""The Newman-Moore model: three-spin terms on the triangles of a torus, glassy without any randomness."""

from collections.abc import Sequence

import numpy as np

from lehr._types import InputError
from lehr.problem._arguments import checked_shape
from lehr.problem.base import Lattice, Problem


def newman_moore(shape: int | Sequence[int], *, coupling: float = 1.0) -> Problem:
    """Newman-Moore model on an Lx x Ly torus, `H = (J/2) sum_{x,y} s(x,y) s(x+1,y) s(x,y+1)`.

    Mind the prefactor: each of the N downward triangles costs J/2 or gains J/2, so a broken one costs J above the
    ground state. Papers that write J without the 1/2 mean twice this coupling. With J > 0 all spins down is a ground
    state, `ground_energy = -N |J| / 2`, and there are 2**k of them, k the degree of the greatest common divisor of
    x**Lx + 1 and (1 + x)**Ly + 1 over GF(2); with J < 0 all spins are reversed.

    On a torus with a side of 1, two of the three sites of a triangle are one site, `s s = 1`, and the triangle is a
    field (J/2) s on the remaining site. Sides of 2 need no special care: the triangles stay distinct.

    Args:
        shape: side L of a square torus, or (Lx, Ly). Site (x, y) is spin number `x * Ly + y`.
        coupling: J, in any unit of energy; finite and not 0.

    Returns:
        The problem; its terms are `c = +J/2` (signs: `lehr._types`).

    Raises:
        InputError: for sides below 1, more than 10 million sites, or a coupling that is 0, NaN or infinite.

    Source: Inack, Morawetz and Melko, Condens. Matter 7, 38 (2022), arXiv:2204.11272, Eq. (1), on the sheared square
    torus; Newman and Moore, Phys. Rev. E 60, 5068 (1999).

    >>> model = newman_moore(3)
    >>> model.name, float(model.ground_energy), float(model.energy(-np.ones(9)))
    ('Newman-Moore 3x3 J 1', -4.5, -4.5)
    >>> model.flip_cost(-np.ones(9)).tolist() == [3.0] * 9  # one flip breaks three triangles
    True
    """
    sides = checked_shape(shape)
    if not np.isfinite(coupling) or coupling == 0:
        raise InputError(f"Argument `coupling` must be a finite number other than 0, but it is {coupling}.")
    sites = np.arange(sides[0] * sides[1]).reshape(sides)
    right, up = np.roll(sites, -1, axis=0), np.roll(sites, -1, axis=1)
    corners = [sites] if 1 in sides else [sites, right, up]  # a side of 1: one field (J/2) s on every site
    return Problem(
        sites.size,
        [(np.stack(corners, axis=-1).reshape(sites.size, -1), np.full(sites.size, coupling / 2))],
        lattice=Lattice(sides, "periodic"),
        ground_energy=-sites.size * abs(coupling) / 2,
        ground_spins=np.full(sites.size, -np.sign(coupling)),
        name=f"Newman-Moore {sides[0]}x{sides[1]} J {coupling:g}",
    )
