"""The Sherrington-Kirkpatrick model: every spin coupled to every other at random."""

import numpy as np

from lehr.problem._arguments import MOST_DENSE_SPINS, checked_count, checked_seed
from lehr.problem.base import Problem


def sherrington_kirkpatrick(num_spins: int, *, seed: int) -> Problem:
    """Sherrington-Kirkpatrick spin glass of N spins, `H = -sum_{i<j} J_ij s_i s_j`, J_ij normal with variance 1/N.

    Args:
        num_spins: N, 2 to 20 000.
        seed: seed of the couplings, 0 to 2**32 - 1. They are the entries above the diagonal of
            `numpy.random.RandomState(seed).normal(0, 1 / sqrt(N), (N, N))`: the published instances.

    Returns:
        The problem; it stores the terms `c = -J` (signs: `lehr._types`). The unit of energy is that in which the
        spin-glass transition of large N is at temperature 1. Its ground energy is not set.

    Raises:
        InputError: for too few or too many spins or a seed out of range.

    Source: Sherrington and Kirkpatrick, Phys. Rev. Lett. 35, 1792 (1975); instances of Hibat-Allah et al., Nat. Mach.
    Intell. 3, 952 (2021), arXiv:2101.10154, Fig. 6.

    >>> model = sherrington_kirkpatrick(100, seed=1)
    >>> model.name, model.num_terms
    ('SK 100 seed 1', 4950)
    """
    num_spins, seed = checked_count("num_spins", num_spins, 2, MOST_DENSE_SPINS), checked_seed(seed)
    # NumPy's old generator: the published instances are its streams, which the new one cannot reproduce.
    coupling = np.random.RandomState(seed).normal(0, 1 / np.sqrt(num_spins), (num_spins, num_spins))
    i, j = np.triu_indices(num_spins, 1)
    return Problem(num_spins, [(np.stack([i, j], axis=1), -coupling[i, j])], name=f"SK {num_spins} seed {seed}")
