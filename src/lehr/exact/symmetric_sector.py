"""States up to symmetry: orbits of site permutations, and the transverse field between them."""

import itertools
from typing import NamedTuple

import numpy as np
import scipy  # whose parts are loaded when they are first used
from jaxtyping import Int

from lehr._types import InputError
from lehr.exact.walsh import MOST_BITS
from lehr.problem.base import Problem, Terms

Permutations = Int[np.ndarray, "symmetries num_spins"]

_LOW_BITS = 16  # tables of what a permutation does to the low and to the high bits of a state fit in the cache
_MOST_STATES = 1 << 20
_MOST_SYMMETRIES = 4096


class SymmetricSector(NamedTuple):
    """Orbits of states: the lowest state of each (`exact.enumeration.spins_of` gives its spins), how many states it
    has, and the matrix of `sum_i sigma^x_i` between their normalised, uniform superpositions."""

    states: Int[np.ndarray, " orbits"]
    sizes: Int[np.ndarray, " orbits"]
    flips: "scipy.sparse.csr_matrix"


def lattice_symmetries(problem: Problem) -> Permutations:
    """Site permutations of a lattice under which the energy does not change: `H(s[permutation]) = H(s)` for all s.

    The candidates are the translations of the torus, combined with reflections, rotations and (in two dimensions)
    shears, whose matrices have entries -1, 0 and 1; whichever leave the terms as they are, are found by trying.

    Args:
        problem: with any terms; without a lattice only the identity is found.

    Returns:
        Permutations [symmetries, N], a closed group unless the lattice is too small to tell shears apart.

    >>> from lehr import edwards_anderson, newman_moore
    >>> len(lattice_symmetries(newman_moore(5))), len(lattice_symmetries(edwards_anderson(5, seed=1)))
    (150, 1)
    """
    sites = np.arange(problem.num_spins)
    if problem.lattice is None:
        return sites[None]
    shape = np.array(problem.lattice.shape)
    places = np.stack(np.unravel_index(sites, tuple(shape)))  # [dimension, N]
    found = {}
    for matrix in _point_maps(len(shape)):
        if (matrix * shape % shape[:, None]).any():
            continue  # does not map the periods of the torus to periods
        turned = np.array(matrix) @ places
        if len(np.unique(np.ravel_multi_index(tuple(turned % shape[:, None]), tuple(shape)))) < len(sites):
            continue
        for shift in places.T:
            permutation = np.asarray(
                np.ravel_multi_index(tuple((turned + shift[:, None]) % shape[:, None]), tuple(shape))
            )
            if permutation.tobytes() not in found and leaves_unchanged(problem, permutation):
                found[permutation.tobytes()] = permutation
    return np.stack(list(found.values()))


def leaves_unchanged(
    problem: Problem, permutation: Int[np.ndarray, " num_spins"], signs: Int[np.ndarray, " num_spins"] | None = None
) -> bool:
    """Whether `H(signs * s[permutation]) = H(s)` for all s: the same terms with the same coefficients.

    >>> ring = Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 2.0, (0, 2): 2.0})
    >>> leaves_unchanged(ring, np.array([1, 0, 2])), leaves_unchanged(ring, np.array([1, 2, 0]))
    (True, False)
    """
    return all(_same_terms(terms, permutation, signs) for terms in problem.terms)


def symmetric_sector(num_spins: int, permutations: Permutations) -> SymmetricSector:
    """Orbits of all 2^N states under the group that site permutations generate.

    Args:
        num_spins: N, at most 26.
        permutations: the generators, or the whole group [symmetries, N].

    Returns:
        The sector of states that no permutation changes, in which the ground state in a transverse field lies.

    Raises:
        InputError: for more than 26 spins, more than 4096 symmetries, arrays that are no permutations, or more than
            2^20 orbits.

    Source: the symmetrised basis of exact diagonalisation, e.g. Sandvik, AIP Conf. Proc. 1297, 135 (2010), sec. 4.

    >>> sector = symmetric_sector(3, np.array([[1, 2, 0]]))  # a ring of three
    >>> sector.states.tolist(), sector.sizes.tolist()
    ([0, 1, 3, 7], [1, 3, 3, 1])
    """
    if num_spins > MOST_BITS:
        raise InputError(f"Argument `num_spins` must be at most {MOST_BITS}, but it is {num_spins}.")
    if not (np.sort(permutations, axis=1) == np.arange(num_spins)).all():
        raise InputError(f"Argument `permutations` must hold permutations of 0 to {num_spins - 1}, but one is not.")
    group = _generated(permutations)
    if 2**num_spins > _MOST_STATES * len(group):
        raise InputError(
            f"Argument `permutations` must leave at most {_MOST_STATES} orbits, "
            f"but {len(group)} symmetries leave at least {2**num_spins // len(group)}."
        )
    tables = _tables(num_spins, group)
    states = _representatives(num_spins, tables)
    stable = np.zeros(len(states), np.int64)
    for image in _images(states, tables):
        stable += image == states
    sizes = len(group) // stable
    targets = np.empty((len(states), num_spins), np.int32)
    weights = np.empty((len(states), num_spins))
    for spin in range(num_spins):
        flipped = states ^ np.int32(1 << spin)
        lowest = flipped.copy()
        for image in _images(flipped, tables):
            np.minimum(lowest, image, out=lowest)
        targets[:, spin] = np.searchsorted(states, lowest)
        weights[:, spin] = np.sqrt(sizes / sizes[targets[:, spin]])
    starts = np.arange(0, targets.size + 1, num_spins)
    flips = scipy.sparse.csr_matrix((weights.ravel(), targets.ravel(), starts), shape=(len(states),) * 2)
    return SymmetricSector(states.astype(np.int64), sizes, flips)


def _point_maps(dimension: int) -> list[Int[np.ndarray, "dimension dimension"]]:
    if dimension <= 2:
        entries = itertools.product((1, 0, -1), repeat=dimension**2)
        maps = (np.array(e).reshape(dimension, dimension) for e in entries)
        return [m for m in maps if round(abs(np.linalg.det(m))) == 1]
    signs = itertools.product((1, -1), repeat=dimension)
    orders = list(itertools.permutations(range(dimension)))
    return [np.diag(s)[list(order)] for s in signs for order in orders]


def _same_terms(
    terms: Terms, permutation: Int[np.ndarray, " num_spins"], signs: Int[np.ndarray, " num_spins"] | None
) -> bool:
    present = np.asarray(terms.coefficients) != 0
    indices, coefficients = np.asarray(terms.indices)[present], np.asarray(terms.coefficients)[present]
    moved = np.sort(permutation[indices], axis=1)
    order = np.lexsort(moved.T[::-1])  # the order in which a Problem keeps its terms
    turned = coefficients if signs is None else coefficients * signs[indices].prod(axis=1)
    return np.array_equal(moved[order], indices) and np.array_equal(turned[order], coefficients)


def _generated(permutations: Permutations) -> Int[np.ndarray, "elements num_spins"]:
    """The group that permutations generate, identity first."""
    identity = np.arange(permutations.shape[1])
    group = {identity.tobytes(): identity}
    latest = [identity]
    while latest:
        products = [generator[element] for element in latest for generator in permutations]
        latest = list({p.tobytes(): p for p in products if p.tobytes() not in group}.values())
        group |= {p.tobytes(): p for p in latest}
        if len(group) > _MOST_SYMMETRIES:
            raise InputError(
                f"Argument `permutations` must generate at most {_MOST_SYMMETRIES} symmetries, but there are more."
            )
    return np.stack(list(group.values()))


def _tables(num_spins: int, group: Permutations) -> list[tuple[Int[np.ndarray, " low"], Int[np.ndarray, " high"]]]:
    """For each permutation what becomes of the low and of the high bits of a state: bit i of the image is bit
    `permutation[i]` of the state."""
    low_bits = min(num_spins, _LOW_BITS)
    tables = []
    for permutation in group[1:]:  # all but the identity
        place = np.argsort(permutation)
        halves = []
        for places in (place[:low_bits], place[low_bits:]):
            table = np.zeros(1, np.int32)
            for target in places:
                table = np.concatenate([table, table | np.int32(1 << int(target))])
            halves.append(table)
        tables.append((halves[0], halves[1]))
    return tables


def _images(states: Int[np.ndarray, " states"], tables: list):
    """The states after each permutation, the identity first."""
    low, high = states & ((1 << _LOW_BITS) - 1), states >> _LOW_BITS
    yield states
    for low_table, high_table in tables:
        yield low_table[low] | high_table[high]


def _representatives(num_spins: int, tables: list) -> Int[np.ndarray, " orbits"]:
    """The states that no permutation makes smaller, in rising order."""
    low_bits = min(num_spins, _LOW_BITS)
    found = []
    for high in range(1 << (num_spins - low_bits)):
        low = np.arange(1 << low_bits, dtype=np.int32)
        for low_table, high_table in tables:
            low = low[(low_table[low] | high_table[high]) >= (low | high << _LOW_BITS)]
        found.append(low | np.int32(high << _LOW_BITS))
    return np.concatenate(found)
