"""States: many spin configurations, which of them are equal, and their energies."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int, Int8

from lehr._types import ArrayLike, InputError
from lehr.problem.base import Problem

# Numbers held at once while energies are evaluated: 32 MB for each intermediate array.
_CHUNK_NUMBERS = 2**22


class Distinct(NamedTuple):
    """Distinct sampled states by increasing energy: spins [K, N], energies [K], how often each was drawn [K]."""

    spins: Int8[np.ndarray, "k n"]
    energies: Float64[np.ndarray, " k"]
    counts: Int[np.ndarray, " k"]


def grouped(spins: Int8[np.ndarray, "m n"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equal rows: (index of the first of each, to which group each row belongs, size of each).

    >>> [part.tolist() for part in grouped(np.array([[1, -1], [1, 1], [1, -1]], np.int8))]
    [[0, 1], [0, 1, 0], [2, 1]]
    """
    packed = np.packbits(spins > 0, axis=1)
    # One opaque item per row: a million rows of a hundred spins sort in less than a second.
    rows = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).reshape(-1)
    _, first, inverse, counts = np.unique(rows, return_index=True, return_inverse=True, return_counts=True)
    return first, inverse, counts


def energies_of(problem: Problem, spins: Int8[np.ndarray, "m n"], rows: np.ndarray) -> Float64[np.ndarray, " k"]:
    """Energies of the given rows, shape [K], in pieces of bounded memory."""
    sparse = [len(t.coefficients) for t in problem.terms if t.order != 2 or problem.coupling_matrix is None]
    piece = max(1, _CHUNK_NUMBERS // max([problem.num_spins, *sparse]))
    energies = [problem.energy(spins[rows[start : start + piece]]) for start in range(0, len(rows), piece)]
    return np.concatenate([*energies, np.zeros(0)])


def checked_states(name: str, spins: ArrayLike, num_spins: int) -> Int8[np.ndarray, "*batch n"]:
    """States of +1 and -1, one per row, as int8. Errors: `InputError` for other numbers or other numbers of spins."""
    spins = np.asarray(spins)
    if spins.ndim not in (1, 2, 3) or spins.shape[-1] != num_spins:
        raise InputError(f"Argument `{name}` must hold {num_spins} spins per state, but its shape is {spins.shape}.")
    if not ((spins == 1) | (spins == -1)).all():
        raise InputError(f"Argument `{name}` must hold spins +1 and -1, but it holds other numbers.")
    return spins.astype(np.int8)


def check_energy(problem: Problem, spins: Int8[np.ndarray, " n"], energy: float) -> None:
    """Errors: `ValueError` where the best state of a run folder does not have the energy that stands beside it."""
    found = float(problem.energy(spins))
    # Large terms may cancel: rounding is a matter of their sizes, not of their sum.
    if not abs(found - energy) <= problem.resolution:
        raise ValueError(f"`best_spins` have the energy {found:.12g}, but `best_energy` is {energy}")
