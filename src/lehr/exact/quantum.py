"""Ground states in a transverse field, `H - Gamma sum_i sigma^x_i`, by exact diagonalisation."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import scipy  # whose parts are loaded when they are first used
from jaxtyping import Float

from lehr._types import InputError
from lehr.exact.enumeration import DEGENERATE, shaped_like, spectrum, spins_of
from lehr.exact.symmetric_sector import Permutations, lattice_symmetries, leaves_unchanged, symmetric_sector
from lehr.problem.base import Problem

MOST_SPINS = 18
_MOST_STEPS = 1000
_DENSE = 64  # matrices of at most this size go to LAPACK

Fields = float | int | Sequence[float | int] | np.ndarray
Vector = Float[np.ndarray, " states"]


def applies(problem: Problem) -> bool:
    """Whether a problem is small enough for `ground_state`: at most 18 spins, terms of any order.

    >>> applies(Problem.from_terms(18, {(0, 1): 1.0})), applies(Problem.from_terms(19, {(0, 1): 1.0}))
    (True, False)
    """
    return problem.num_spins <= MOST_SPINS


def ground_state(problem: Problem, field: float | int) -> tuple[float, Vector]:
    """Ground state of `H - field sum_i sigma^x_i` by the Lanczos method, for terms of any order.

    In a field no amplitude is negative (Perron and Frobenius), and the ground state is the only one. Without a field
    the uniform superposition of all classical ground states is returned.

    Args:
        problem: at most 18 spins.
        field: Gamma, at least 0, in units of the energy.

    Returns:
        Its energy, offset included, correct to about 1e-12 of the spectrum's width, and its amplitudes float64
        [2^N], at least 0 and of norm 1, in the order of states of `lehr.exact.enumeration.spins_of`.

    Raises:
        InputError: for more than 18 spins, or a field that is negative or not finite.

    Source: Lanczos, J. Res. Natl. Bur. Stand. 45, 255 (1950); Paige, J. Inst. Math. Appl. 10, 373 (1972).

    >>> energy, psi = ground_state(Problem.from_terms(1, {(0,): 3.0}), 4.0)
    >>> round(energy, 9), (psi**2).round(9).tolist()
    (-5.0, [0.8, 0.2])
    """
    if not applies(problem):
        raise InputError(
            f"Argument `problem` must have at most {MOST_SPINS} spins to be diagonalised, "
            f"but it has {problem.num_spins}."
        )
    gamma = _checked_fields(field)
    if len(gamma) != 1:
        raise InputError(f"Argument `field` must be one number, but it is {field!r}.")
    offset = float(problem.offset)
    energies = spectrum(problem) - offset
    lowest, psi = _lowest(energies, gamma[0], _flipped, np.ones(len(energies)))
    return lowest + offset, psi


def field_energy(problem: Problem, field: Fields) -> float | Float[np.ndarray, " fields"]:
    """Ground-state energy of `H - field sum_i sigma^x_i`, offset included; see `ground_state`.

    Args:
        problem: at most 18 spins.
        field: Gamma, at least 0, in units of the energy; or a sequence of them.

    Returns:
        A float, or float64 [fields] for a sequence. At Gamma = 0 the classical ground energy.

    Raises:
        InputError: for more than 18 spins, or a field that is negative or not finite.

    >>> pair = Problem.from_terms(2, {(0, 1): -1.0})
    >>> field_energy(pair, [0.0, 0.75]).round(9).tolist()  # -sqrt(1 + 4 Gamma^2)
    [-1.0, -1.802775638]
    """
    return shaped_like(field, np.array([ground_state(problem, float(gamma))[0] for gamma in _checked_fields(field)]))


def symmetric_field_energy(
    problem: Problem, field: Fields, permutations: Permutations | None = None
) -> float | Float[np.ndarray, " fields"]:
    """Ground-state energy of `H - field sum_i sigma^x_i` in the sector of states that no symmetry changes.

    The ground state in a field is unique and has no negative amplitude, so it lies in that sector, which is smaller
    than all states by nearly the number of symmetries: 227 152 states instead of 2^25 for the 5x5 Newman-Moore model.
    The sector is built once for all fields.

    Args:
        problem: at most 26 spins.
        field: Gamma, at least 0, in units of the energy; or a sequence of them.
        permutations: site permutations [symmetries, N] with `H(s[permutation]) = H(s)`, which may be generators of
            the group only; those of the lattice (`lehr.exact.symmetric_sector.lattice_symmetries`) by default.

    Returns:
        A float, or float64 [fields] for a sequence; offset included.

    Raises:
        InputError: where a permutation changes the energy, the sector has more than 2^20 states, or a field is
            negative or not finite.

    Source: exact diagonalisation in a symmetrised basis, e.g. Sandvik, AIP Conf. Proc. 1297, 135 (2010).

    >>> from lehr import newman_moore
    >>> symmetric_field_energy(newman_moore(3), [0.5, 2.0]).round(9).tolist()
    [-5.439520518, -18.188201382]
    """
    fields = _checked_fields(field)
    if permutations is None:
        permutations = lattice_symmetries(problem)
    if permutations.shape[1:] != (problem.num_spins,):
        raise InputError(
            f"Argument `permutations` must have shape [symmetries, {problem.num_spins}], "
            f"but it has {permutations.shape}."
        )
    sector = symmetric_sector(problem.num_spins, permutations)
    if not all(leaves_unchanged(problem, permutation) for permutation in permutations):
        raise InputError("Argument `permutations` must leave the energy unchanged, but one does not.")
    offset, chunk = float(problem.offset), 1 << 15
    pieces = (sector.states[first : first + chunk] for first in range(0, len(sector.states), chunk))
    energies = np.concatenate([problem.energy(spins_of(piece, problem.num_spins)) for piece in pieces]) - offset
    uniform = np.sqrt(sector.sizes)
    found = [_lowest(energies, gamma, sector.flips.dot, uniform)[0] for gamma in fields]
    return shaped_like(field, np.array(found) + offset)


def _checked_fields(field: Fields) -> Float[np.ndarray, " fields"]:
    values = np.atleast_1d(np.asarray(field, dtype=np.float64))
    if values.ndim != 1 or not (np.isfinite(values) & (values >= 0)).all():
        raise InputError(f"Argument `field` must be finite and at least 0, but it is {field!r}.")
    return values


def _flipped(psi: Vector) -> Vector:
    """`sum_i sigma^x_i psi`."""
    total = np.zeros_like(psi)
    for spin in range(len(psi).bit_length() - 1):
        # The middle axis is bit `spin` of the state.
        total.reshape(-1, 2, 1 << spin)[...] += psi.reshape(-1, 2, 1 << spin)[:, ::-1]
    return total


def _lowest(
    energies: Vector, gamma: float, flipped: Callable[[Vector], Vector], uniform: Vector
) -> tuple[float, Vector]:
    """Lowest eigenvalue and eigenvector of `diag(energies) - gamma flipped`; `uniform` has equal amplitudes."""
    size = len(energies)
    if gamma == 0:
        lowest = energies.min()
        psi = (energies <= lowest + DEGENERATE * np.abs(energies).max()).astype(np.float64)
    elif size <= _DENSE:
        field = np.stack([flipped(row) for row in np.eye(size)])
        values, vectors = np.linalg.eigh(np.diag(energies) - gamma * field)
        lowest, psi = values[0], vectors[:, 0]
    else:
        lowest, psi = _lanczos(lambda psi: energies * psi - gamma * flipped(psi), uniform)
    psi = np.maximum(psi * np.sign(psi.sum()), 0)  # amplitudes below the rounding error may come out negative
    return float(lowest), psi / np.linalg.norm(psi)


def _lanczos(hamiltonian: Callable[[Vector], Vector], uniform: Vector) -> tuple[float, Vector]:
    """Lowest eigenpair by plain Lanczos steps from the uniform state, which has every symmetry of the ground state.

    Lost orthogonality repeats eigenvalues, but moves none. The vectors are made twice rather than kept.
    """
    diagonal, off_diagonal, lowest, mixture = [], [], 0.0, np.ones(1)
    for step, (_, alpha, beta) in enumerate(_krylov(hamiltonian, uniform), start=1):
        diagonal.append(alpha)
        scale = max(map(abs, diagonal)) + max(off_diagonal, default=0.0)
        if step % 8 == 0 or step == _MOST_STEPS or beta <= 1e-14 * scale:
            values, vectors = scipy.linalg.eigh_tridiagonal(diagonal, off_diagonal, select="i", select_range=(0, 0))
            lowest, mixture = float(values[0]), vectors[:, 0]
            residual = beta * abs(mixture[-1])
            if residual <= 1e-13 * scale or step == _MOST_STEPS:
                # Two states that nearly touch, and that no symmetry tells apart, may be left mixed: the energy errs
                # by less than their distance then.
                break
        off_diagonal.append(beta)
    psi = np.zeros_like(uniform)
    for weight, (vector, _, _) in zip(mixture, _krylov(hamiltonian, uniform), strict=False):
        psi += weight * vector
    return lowest, psi


def _krylov(hamiltonian: Callable[[Vector], Vector], start: Vector) -> Iterator[tuple[Vector, float, float]]:
    """Lanczos vectors with the diagonal and the next off-diagonal elements, in sums that ask no threads of BLAS."""
    vector, before, beta = start / np.linalg.norm(start), np.zeros_like(start), 0.0
    while True:
        image = hamiltonian(vector) - beta * before
        alpha = float(np.einsum("i,i", vector, image))
        image -= alpha * vector
        beta = float(np.sqrt(np.einsum("i,i", image, image)))
        yield vector, alpha, beta
        vector, before = image / beta, vector
