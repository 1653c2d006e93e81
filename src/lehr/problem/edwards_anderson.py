"""Edwards-Anderson spin glasses: random couplings between neighbours on a grid of two or three dimensions."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from lehr.problem._arguments import checked_choice, checked_seed, checked_shape
from lehr.problem.base import Lattice, Problem

_COUPLINGS = {
    # The published instances come from NumPy's old generator, whose stream the new one cannot reproduce.
    "uniform": lambda seed, size: np.random.RandomState(seed).uniform(0, 2, size) - 1,
    "pm1": lambda seed, size: 2.0 * np.random.default_rng(seed).integers(0, 2, size) - 1,
    "gaussian": lambda seed, size: np.random.default_rng(seed).standard_normal(size),
}


def edwards_anderson(
    shape: int | Sequence[int], couplings: str = "uniform", *, boundary: str = "open", seed: int
) -> Problem:
    """Edwards-Anderson spin glass on an Lx x Ly or Lx x Ly x Lz grid, `H = -sum_<ij> J_ij s_i s_j` over neighbours.

    Couplings J[x, y, 0] join (x, y) to (x + 1, y) and J[x, y, 1] join (x, y) to (x, y + 1), and likewise in three
    dimensions; an open boundary leaves out those that point outside. Around a periodic side of 2 the two couplings of a
    pair of sites add up to one bond; along a side of 1 there are no bonds, whatever the boundary, so a periodic (1, n)
    is a ring.

    Args:
        shape: side L of a square, or (Lx, Ly), or (Lx, Ly, Lz). Site (x, y) is spin number `x * Ly + y`, site
            (x, y, z) is `(x * Ly + y) * Lz + z`.
        couplings: law of J, which sets the unit of energy: "uniform" on [-1, 1), "pm1", +1 or -1 with equal
            probability, or "gaussian" with mean 0 and variance 1.
        boundary: "open" or "periodic", in all directions.
        seed: seed of the couplings, 0 to 2**32 - 1. With "uniform" on an open square it gives the published
            instances, `J = numpy.random.RandomState(seed).uniform(0, 2, (L, L, 2)) - 1`.

    Returns:
        The problem; it stores the terms `c = -J` (signs: `lehr._types`). Its ground energy is not set: see
        `lehr.exact` for open boundaries in two dimensions. In three it is NP-hard to find.

    Raises:
        InputError: for sides below 1, a single site or more than 10 million, an unknown law or boundary, or a seed out
            of range.

    Source: Edwards and Anderson, J. Phys. F 5, 965 (1975); instances of Hibat-Allah et al., Nat. Mach. Intell. 3,
    952 (2021), arXiv:2101.10154, Fig. 4.

    >>> glass = edwards_anderson((3, 4), seed=3)
    >>> glass.name, glass.num_spins, glass.num_terms
    ('EA 3x4 uniform open seed 3', 12, 17)
    >>> edwards_anderson((3, 4), "pm1", boundary="periodic", seed=3).num_terms
    24
    >>> edwards_anderson((3, 4, 5), "gaussian", seed=3).num_terms
    133
    """
    sides, seed = checked_shape(shape, most_sides=3, least_sites=2), checked_seed(seed)
    checked_choice("boundary", boundary, ("open", "periodic"))
    coupling = _COUPLINGS[checked_choice("couplings", couplings, _COUPLINGS)](seed, (*sides, len(sides)))
    pairs, strength = _bonds(coupling, boundary == "periodic")
    return Problem(
        math.prod(sides),
        [(pairs, -strength)],
        lattice=Lattice(sides, boundary),
        name=f"EA {'x'.join(map(str, sides))} {couplings} {boundary} seed {seed}",
    )


def _bonds(
    coupling: Float[np.ndarray, "*sides dimensions"], periodic: bool
) -> tuple[Int[np.ndarray, "bonds 2"], Float[np.ndarray, " bonds"]]:
    """Pairs of sites and what couples them, each pair once."""
    sites = np.arange(coupling[..., 0].size).reshape(coupling.shape[:-1])
    pairs, strength = [], []
    for axis, side in enumerate(sites.shape):
        start = np.arange(side if periodic and side > 1 else side - 1)
        ends = [sites.take(start, axis), sites.take((start + 1) % side, axis)]
        pairs.append(np.stack(ends, axis=-1).reshape(-1, 2))
        strength.append(coupling[..., axis].take(start, axis).ravel())
    distinct, where = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0, return_inverse=True)
    return distinct, np.bincount(where.ravel(), weights=np.concatenate(strength))
