"""Symmetries of a problem: groups of permutations and flips of its spins that leave the energy as it is."""

import itertools

import equinox as eqx
import numpy as np
from jaxtyping import Int

from lehr._types import ArrayLike, InputError
from lehr.exact.enumeration import signed_masks
from lehr.exact.symmetric_sector import leaves_unchanged
from lehr.gf2 import combined, eliminate, solutions, unpacked
from lehr.problem.base import Problem

MOST_ELEMENTS = 1 << 12

# Permutations with their signs: entry i of a row is ±(1 + permutation[i]).
_Signed = Int[np.ndarray, "_ n"]


class Group(eqx.Module):
    """A finite group of transformations of N spins, `(g s)_i = signs[g, i] * s[permutations[g, i]]`.

    Arguments: `permutations` [G, N]; `signs` [G, N] of ±1, all +1 by default. Errors: `InputError` where these are
    none, an element occurs twice, the product of two is not among them, or there are more than 4096.

    >>> flip = Group([[0, 1, 2], [0, 1, 2]], [[1, 1, 1], [-1, -1, -1]])
    >>> flip.size, flip.images(np.array([[1, 1, -1]])).tolist()
    (2, [[[1, 1, -1]], [[-1, -1, 1]]])
    """

    permutations: Int[ArrayLike, "g n"]
    signs: Int[ArrayLike, "g n"]

    def __init__(self, permutations, signs=None):
        self.permutations = np.asarray(permutations, np.int32)
        self.signs = np.asarray(np.ones_like(self.permutations) if signs is None else signs, np.int8)
        if self.permutations.ndim != 2 or self.signs.shape != self.permutations.shape:
            raise InputError(
                f"Argument `signs` must have the shape [G, N] of the permutations, {self.permutations.shape}, "
                f"but its shape is {self.signs.shape}."
            )
        if not (np.sort(self.permutations, axis=1) == np.arange(self.permutations.shape[1])).all():
            raise InputError("Argument `permutations` must hold permutations of the spins, but one is none.")
        if not (np.abs(self.signs) == 1).all():
            raise InputError("Argument `signs` must be 1 or -1, but one is not.")
        if len(self.permutations) > MOST_ELEMENTS:
            raise InputError(
                f"Argument `permutations` must hold at most {MOST_ELEMENTS} elements, but there are {self.size}."
            )
        if not _is_group(_signed(self)):
            raise InputError("Argument `permutations` must form a group with their signs, but a product is missing.")

    @property
    def size(self) -> int:
        """Number of elements, the identity included."""
        return self.permutations.shape[0]

    def images(self, spins: ArrayLike) -> ArrayLike:
        """g s for all elements and samples, shape [G, M, N], of spins [M, N]."""
        return spins.T[self.permutations].swapaxes(1, 2) * self.signs[:, None].astype(spins.dtype)


def check_size(group: Group, num_spins: int, owner: str) -> None:
    """Errors: `InputError` where the group does not act on the `num_spins` spins of its owner."""
    if group.permutations.shape[1] != num_spins:
        raise InputError(
            f"Argument `group` must act on the {num_spins} spins of the {owner}, "
            f"but it acts on {group.permutations.shape[1]}."
        )


def check_unchanged(group: Group, problem: Problem) -> None:
    """Errors: `InputError` where an element of the group changes the energy of the problem."""
    check_size(group, problem.num_spins, "problem")
    elements = zip(np.asarray(group.permutations), np.asarray(group.signs), strict=True)
    if not all(leaves_unchanged(problem, *element) for element in elements):
        raise InputError(
            f"Argument `group` must leave the energy of the problem unchanged, but it changes that of {problem.name}."
        )


def global_flip(problem: Problem) -> Group:
    """The flip of all spins and the identity; the identity alone where a term has an odd number of spins.

    >>> global_flip(Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 1.0})).signs.tolist()
    [[1, 1, 1], [-1, -1, -1]]
    """
    even = all(terms.order % 2 == 0 for terms in problem.terms if np.any(terms.coefficients))
    return _flips(np.outer([1, -1] if even else [1], np.ones(problem.num_spins)))


def translations(problem: Problem) -> Group:
    """The translations of the lattice, taken as a torus, that leave all terms as they are.

    >>> from lehr import edwards_anderson, newman_moore
    >>> translations(newman_moore((2, 3))).size, translations(edwards_anderson(3, seed=1)).size
    (6, 1)
    """
    shape = (problem.num_spins,) if problem.lattice is None else problem.lattice.shape
    sites = np.arange(problem.num_spins).reshape(shape)
    shifts = [(0,)] if problem.lattice is None else itertools.product(*map(range, shape))
    moved = (np.roll(sites, shift, axis=tuple(range(len(shape)))).ravel() for shift in shifts)
    return Group(np.stack([permutation for permutation in moved if leaves_unchanged(problem, permutation)]))


def kernel(problem: Problem) -> Group:
    """All flips of sets of spins that change no term: the kernel of the terms over GF(2), `2**(N - rank)` elements.

    Errors: `InputError` where there are more than 4096.

    >>> from lehr import newman_moore
    >>> kernel(newman_moore(3)).size, kernel(newman_moore(4)).size
    (4, 1)
    """
    masks, coefficients = signed_masks(problem)
    rows = [mask for mask, coefficient in zip(masks, coefficients.tolist(), strict=True) if coefficient]
    echelon = eliminate(rows, [0] * len(rows), 0)
    freedom = problem.num_spins - echelon.rank
    if 1 << freedom > MOST_ELEMENTS:
        raise InputError(
            f"Argument `symmetrise` must make a group of at most {MOST_ELEMENTS} elements, "
            f"but the kernel of {problem.name} has 2**{freedom}."
        )
    choices = (np.arange(1 << freedom)[:, None] >> np.arange(max(freedom, 1)) & 1).astype(np.uint8)
    flipped = combined(choices, unpacked(solutions(echelon, problem.num_spins), choices.shape[1]))
    return _flips(1 - 2 * flipped.astype(np.int8))


KINDS = {"flip": global_flip, "translations": translations, "kernel": kernel}


def named_kinds(symmetrise: str) -> tuple[str, ...]:
    """The kinds of symmetries in a setting. Errors: `InputError` where one is unknown.

    >>> named_kinds("translations, kernel")
    ('translations', 'kernel')
    """
    kinds = tuple(kind.strip() for kind in symmetrise.split(",")) if symmetrise else ()
    if not set(kinds) <= set(KINDS):
        raise InputError(
            f"Argument `symmetrise` must be {', '.join(KINDS)}, or several joined by commas, but it is {symmetrise!r}."
        )
    return kinds


def symmetries(problem: Problem, symmetrise: str) -> Group:
    """The group of all products of the symmetries of the kinds named.

    Arguments: `symmetrise`: "flip" (all spins at once), "translations" (of the lattice), "kernel" (flips of sets of
    spins that change no term), or several joined by commas. Errors: `InputError` for an unknown kind, for one of which
    the problem has no symmetry, and where the group has more than 4096 elements.

    >>> from lehr import newman_moore
    >>> symmetries(newman_moore(3), "translations,kernel").size
    36
    """
    rows = _signed(Group(np.arange(problem.num_spins)[None]))
    for kind in named_kinds(symmetrise):
        found = KINDS[kind](problem)
        if found.size == 1:
            raise InputError(
                f"Argument `symmetrise` must name symmetries of the problem, but {problem.name} has none "
                f"of the kind {kind!r}."
            )
        rows = _product(rows, _signed(found))
    return Group(np.abs(rows) - 1, np.sign(rows))


def _flips(signs: ArrayLike) -> Group:
    return Group(np.tile(np.arange(signs.shape[1]), (len(signs), 1)), signs)


def _signed(group: Group) -> _Signed:
    return np.asarray(group.signs) * (1 + np.asarray(group.permutations))


def _after(rows: _Signed, other: Int[np.ndarray, " n"]) -> _Signed:
    """`g h` for all g in `rows`: first h, then g."""
    return np.sign(rows) * other[np.abs(rows) - 1]


def _product(rows: _Signed, others: _Signed) -> _Signed:
    """All products g h of a group and another that it is mapped to itself by: coset after coset."""
    cosets, known = [rows], {row.tobytes() for row in rows}
    for other in others:
        if other.tobytes() not in known:
            cosets.append(_after(rows, other))
            known |= {row.tobytes() for row in cosets[-1]}
            if len(known) > MOST_ELEMENTS:
                raise InputError(
                    f"Argument `symmetrise` must make a group of at most {MOST_ELEMENTS} elements, but it makes more."
                )
    return np.concatenate(cosets)


def _is_group(rows: _Signed) -> bool:
    """Whether the rows are the group that few of them generate; each of these at least doubles what they reach."""
    place = {row.tobytes(): number for number, row in enumerate(rows)}
    identity = place.get((1 + np.arange(rows.shape[1], dtype=rows.dtype)).tobytes())
    if identity is None or len(place) < len(rows):
        return False
    reached, steps = {identity}, []
    for number, generator in enumerate(rows):
        if number in reached:
            continue
        steps.append([place.get(row.tobytes()) for row in _after(rows, generator)])
        if None in steps[-1]:
            return False
        latest = reached
        while latest:
            latest = {step[element] for step in steps for element in latest} - reached
            reached = reached | latest
    return True
