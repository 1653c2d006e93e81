"""Open chains with random couplings: the one family whose every exact number is known at any size."""

import numpy as np

from lehr.problem._arguments import checked_choice, checked_count, checked_seed
from lehr.problem.base import Lattice, Problem

_COUPLINGS = {
    # The published chains come from NumPy's old generator, whose stream the new one cannot reproduce.
    "uniform01": lambda seed, size: np.random.RandomState(seed).uniform(0, 1, size),
    "uniform": lambda seed, size: np.random.default_rng(seed).uniform(-1, 1, size),
    "pm1": lambda seed, size: 2.0 * np.random.default_rng(seed).integers(0, 2, size) - 1,
}


def random_chain(num_spins: int, couplings: str = "uniform01", *, seed: int) -> Problem:
    """Open chain of N spins with random couplings, `H = -sum_i J_i s_i s_{i+1}`.

    The ground states are the two states that satisfy every bond, so `ground_energy = -sum_i |J_i|`.

    Args:
        num_spins: N, 2 to 10 million.
        couplings: law of the N - 1 couplings J_i, which set the unit of energy: "uniform01" on [0, 1),
            "uniform" on [-1, 1), or "pm1", +1 or -1 with equal probability.
        seed: seed of the couplings, 0 to 2**32 - 1. With "uniform01" it gives the published instances,
            `numpy.random.RandomState(seed).uniform(0, 1, N - 1)`.

    Returns:
        The problem; it stores the terms `c = -J` (signs: `lehr._types`) on a lattice of shape (N,).

    Raises:
        InputError: for too few or too many spins, an unknown law or a seed out of range.

    Source: Hibat-Allah et al., Nat. Mach. Intell. 3, 952 (2021), arXiv:2101.10154, Fig. 3 (random Ising chains).

    >>> chain = random_chain(32, seed=1)
    >>> chain.name, round(float(chain.ground_energy), 10)
    ('chain 32 uniform01 open seed 1', -13.1617824461)
    >>> float(chain.energy(np.ones(32))) == float(chain.ground_energy)  # no bond of this law is frustrated by s = 1
    True
    """
    num_spins, seed = checked_count("num_spins", num_spins, 2), checked_seed(seed)
    coupling = _COUPLINGS[checked_choice("couplings", couplings, _COUPLINGS)](seed, num_spins - 1)
    left = np.arange(num_spins - 1)
    return Problem(
        num_spins,
        [(np.stack([left, left + 1], axis=1), -coupling)],
        lattice=Lattice((num_spins,), "open"),
        ground_energy=-float(np.abs(coupling).sum()),
        name=f"chain {num_spins} {couplings} open seed {seed}",
    )
