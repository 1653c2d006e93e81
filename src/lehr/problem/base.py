"""The problem: k-local terms, their energy and what a flip costs."""

import dataclasses
import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int, Int8

from lehr._types import ArrayLike, Energy, InputError, Spins, as_real_spins, matmul, namespace, sum_by_index

# Pairwise problems whose coupling matrix is at least this full are evaluated by a matrix product.
_DENSE_FILL = 1 / 8


class Lattice(NamedTuple):
    """Geometry of a problem on a grid: site (x, y) of shape (Lx, Ly) is spin number `x * Ly + y`.

    `boundary` is "open" or "periodic".
    """

    shape: tuple[int, ...]
    boundary: str = "open"


class Terms(eqx.Module):
    """All terms of one order k: `sum_m coefficients[m] * prod_j s[indices[m, j]]`."""

    indices: Int[ArrayLike, "m k"]
    coefficients: Float[ArrayLike, " m"]

    @property
    def order(self) -> int:
        """Number of spins in each term."""
        return self.indices.shape[-1]

    def products(self, spins: ArrayLike) -> ArrayLike:
        """`prod_j s[indices[m, j]]` for every term m, shape [..., m]."""
        product = spins[..., self.indices[:, 0]]
        for position in range(1, self.order):
            product = product * spins[..., self.indices[:, position]]
        return product

    def energies(self, spins: ArrayLike) -> ArrayLike:
        """Energy of every term m, shape [..., m], in the precision of the spins."""
        xp, products = namespace(spins), self.products(spins)
        return products * xp.broadcast_to(xp.asarray(self.coefficients, spins.dtype), products.shape)


class Problem(eqx.Module):
    """An energy function of N spins: `H(s) = offset + sum_m c_m prod_{i in m} s_i`, to be minimised.

    A pytree of NumPy arrays. `stack` puts problems with the same interactions and other coefficients on a leading
    axis, for vmap. Build one with a family (`lehr.edwards_anderson`), a reader (`lehr.load_problem`, `lehr.from_bqm`)
    or from a mapping:

    >>> problem = Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5, (0, 1, 2): 0.25, (2,): -0.1}, offset=2.0)
    >>> round(float(problem.energy(np.array([1, 1, -1]))), 6)
    0.35
    >>> problem.flip_cost(np.array([1, 1, -1])).round(3).tolist()
    [2.5, 3.5, 1.3]

    Signs, units and axes: `lehr._types`.
    """

    num_spins: int = eqx.field(static=True)
    terms: tuple[Terms, ...]
    offset: Float[ArrayLike, ""]
    coupling_matrix: Float[ArrayLike, "n n"] | None
    ground_energy: Float[ArrayLike, ""] | None
    ground_spins: Int8[np.ndarray, " n"] | None
    lattice: Lattice | None = eqx.field(static=True)
    labels: tuple[Hashable, ...] | None = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        num_spins: int,
        terms: Sequence[tuple[ArrayLike, ArrayLike]],
        *,
        offset: float = 0.0,
        labels: Sequence[Hashable] | None = None,
        lattice: Lattice | None = None,
        ground_energy: float | None = None,
        ground_spins: Sequence[int] | ArrayLike | None = None,
        name: str = "problem",
    ):
        """Check and store the terms: one pair (indices[m, k], coefficients[m]) for each order k that occurs.

        `ground_spins` is a known ground state; the known `ground_energy` is its energy where none is given.
        """
        if num_spins < 1:
            raise InputError(f"Argument `num_spins` must be at least 1, but it is {num_spins}.")
        self.num_spins = int(num_spins)
        checked = (_checked(num_spins, *pair) for pair in terms)
        self.terms = tuple(sorted((t for t in checked if t.coefficients.size), key=lambda t: t.order))
        orders = [t.order for t in self.terms]
        if len(set(orders)) != len(orders):
            raise InputError(f"Argument `terms` must hold each order once, but the orders are {orders}.")
        self.offset = np.asarray(_finite("offset", offset))
        self.ground_energy = None if ground_energy is None else np.asarray(_finite("ground_energy", ground_energy))
        self.labels = None if labels is None else _checked_labels(labels, num_spins)
        if lattice is not None:
            _check_lattice(lattice, num_spins)
        self.lattice = lattice
        self.name = name
        self.coupling_matrix = _dense_couplings(num_spins, self.terms)
        self.ground_spins = None if ground_spins is None else _checked_ground_state(self, ground_spins)
        if self.ground_spins is not None and self.ground_energy is None:
            self.ground_energy = np.asarray(self.energy(self.ground_spins))

    @classmethod
    def from_terms(cls, num_spins: int, terms: Mapping[tuple[int, ...], float], **metadata) -> "Problem":
        """Build a problem from `{(i, j, ...): coefficient}`; the empty tuple is a constant added to the offset."""
        by_order: dict[int, list[tuple[tuple[int, ...], float]]] = {}
        for spins, coefficient in terms.items():
            by_order.setdefault(len(spins), []).append((spins, coefficient))
        constant = sum(c for _, c in by_order.pop(0, []))
        metadata["offset"] = metadata.get("offset", 0.0) + constant
        pairs = [(np.array([s for s, _ in group]), np.array([c for _, c in group])) for group in by_order.values()]
        return cls(num_spins, pairs, **metadata)

    @property
    def order(self) -> int:
        """Largest number of spins in one term."""
        return max((t.order for t in self.terms), default=0)

    @property
    def num_terms(self) -> int:
        """Number of terms, all orders together."""
        return sum(t.coefficients.shape[-1] for t in self.terms)

    @property
    def resolution(self) -> float:
        """Energies that differ by less than this, 1e-9 of all terms' sizes together, count as equal."""
        sizes = [float(np.abs(terms.coefficients).sum()) for terms in self.terms]
        return 1e-9 * (sum(sizes) + abs(float(self.offset)))

    def energy(self, spins: Spins) -> Energy:
        """Energy H(s) of `spins[..., N]`, shape [...], in the units of the coefficients."""
        s = self._checked_spins(spins)
        xp = namespace(s)
        total = xp.zeros(s.shape[:-1], s.dtype) + xp.asarray(self.offset, s.dtype)
        for terms in self.terms:
            if terms.order == 2 and self.coupling_matrix is not None:
                couplings = xp.asarray(self.coupling_matrix, s.dtype)
                total = total + (matmul(s, couplings) * s).sum(-1) / 2
            else:
                total = total + terms.energies(s).sum(-1)
        return xp.asarray(total)

    def flip_cost(self, spins: Spins) -> Float[ArrayLike, "*batch num_spins"]:
        """Energy change `H(s with spin i flipped) - H(s)` for every i, shape [..., N]."""
        s = self._checked_spins(spins)
        xp = namespace(s)
        touched = xp.zeros_like(s)  # energy of all terms that contain spin i: a flip reverses their sign
        for terms in self.terms:
            if terms.order == 2 and self.coupling_matrix is not None:
                touched = touched + matmul(s, xp.asarray(self.coupling_matrix, s.dtype)) * s
            else:
                energies = terms.energies(s)
                for position in range(terms.order):
                    touched = touched + sum_by_index(energies, terms.indices[:, position], self.num_spins)
        return -2 * touched

    def field_scale(self) -> Float[ArrayLike, " num_spins"]:
        """Root-mean-square local field of each spin in a random state, `sqrt(sum_{m contains i} c_m^2)`: its scale of
        temperature, in the units of H."""
        xp = namespace(self.offset)
        total = xp.zeros(self.num_spins, self.offset.dtype)
        if not self.num_terms:
            return total
        # In units of the largest coefficient, whose square may be beyond single precision.
        largest = xp.stack([xp.abs(terms.coefficients).max() for terms in self.terms]).max()
        largest = xp.where(largest > 0, largest, 1)
        for terms in self.terms:
            squares = (terms.coefficients / largest) ** 2
            for position in range(terms.order):
                total = total + sum_by_index(squares, terms.indices[:, position], self.num_spins)
        return largest * xp.sqrt(total)

    def mean_field(self) -> float:
        """Local field, root mean square over the spins and over random states, in the units of H.

        >>> Problem.from_terms(3, {(0, 1): -3.0, (1, 2): 4.0}).mean_field() ** 2  # of 9, 25 and 16
        16.666666666666668
        """
        return float(np.sqrt(np.mean(np.square(self.field_scale()))))

    def _checked_spins(self, spins: Spins) -> ArrayLike:
        # Gathers never fail here: JAX clamps an index that is too large, and a row that is too long loses its tail.
        s = as_real_spins(spins)
        if s.shape[-1:] != (self.num_spins,):
            raise InputError(
                f"Argument `spins` must hold {self.num_spins} spins on its last axis, but its shape is {s.shape}."
            )
        return s

    def bare(self) -> "Problem":
        """The same energy function without name, labels and ground state: equal structure for equal interactions."""
        cleared = {"name": "", "labels": None, "ground_energy": None, "ground_spins": None}
        twin = object.__new__(Problem)  # past __init__, which takes host arrays only: this one may be traced or stacked
        for field in dataclasses.fields(self):
            object.__setattr__(twin, field.name, cleared.get(field.name, getattr(self, field.name)))
        return twin


def stack(problems: Sequence[Problem]) -> Problem:
    """Stack problems with the same interactions on a leading axis of every array, for `jax.vmap`.

    Errors: `InputError` where they differ in number of spins or in which spins interact.
    """
    if not problems:
        raise InputError("Argument `problems` must hold at least one problem, but it is empty.")
    for number, problem in enumerate(problems[1:], start=1):
        if not same_interactions(problem, problems[0]):
            raise InputError(
                f"Argument `problems` must hold problems with the same interactions, "
                f"but number {number} ({problem.name}) differs from number 0 ({problems[0].name})."
            )
    return jax.tree.map(lambda *leaves: np.stack(leaves), *[p.bare() for p in problems])


def same_interactions(one: Problem, other: Problem) -> bool:
    """Whether the same spins interact in both problems, on the same lattice, so that they can be stacked.

    >>> chain, pair = (Problem.from_terms(3, terms) for terms in ({(0, 1): 1.0, (1, 2): 2.0}, {(0, 1): 1.0}))
    >>> same_interactions(chain, pair)
    False
    """
    one, other = one.bare(), other.bare()
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        np.array_equal(a.indices, b.indices) for a, b in zip(one.terms, other.terms, strict=True)
    )


def fingerprint(problem: Problem) -> str:
    """SHA-256 of the energy function, in hexadecimal: name, labels and what is known of it are left out.

    >>> pair = Problem.from_terms(2, {(0, 1): 1.0})
    >>> fingerprint(pair) == fingerprint(Problem.from_terms(2, {(0, 1): 1.0}, name="pair"))
    True
    """
    digest = hashlib.sha256(repr((problem.num_spins, float(problem.offset))).encode())
    for terms in problem.terms:
        digest.update(np.ascontiguousarray(terms.indices).data)
        digest.update(np.ascontiguousarray(terms.coefficients).data)
    return digest.hexdigest()


def _finite(name: str, value: float) -> float:
    if not np.isfinite(value):
        raise InputError(f"Argument `{name}` must be a finite number, but it is {value}.")
    return float(value)


def _check_lattice(lattice: Lattice, num_spins: int) -> None:
    if min(lattice.shape, default=0) < 1 or math.prod(lattice.shape) != num_spins:
        raise InputError(
            f"Argument `lattice` must have as many sites as there are spins, "
            f"but {lattice.shape} is not {num_spins} sites."
        )
    if lattice.boundary not in ("open", "periodic"):
        raise InputError(f"Argument `lattice` must have the boundary open or periodic, but it is {lattice.boundary!r}.")


def _checked_ground_state(problem: Problem, spins: Sequence[int] | ArrayLike) -> Int8[np.ndarray, " n"]:
    spins = np.asarray(spins)
    if spins.shape != (problem.num_spins,) or not np.isin(spins, (-1, 1)).all():
        raise InputError(f"Argument `ground_spins` must hold {problem.num_spins} spins +1 and -1, but it does not.")
    energy, stated = float(problem.energy(spins)), problem.ground_energy
    if stated is not None and not abs(energy - stated) <= problem.resolution:
        raise InputError(
            f"Argument `ground_spins` must have the energy `ground_energy` {stated}, but their energy is {energy}."
        )
    return spins.astype(np.int8)


def _checked_labels(labels: Sequence[Hashable], num_spins: int) -> tuple[Hashable, ...]:
    labels = tuple(labels)
    if len(labels) != num_spins or len(set(labels)) != num_spins:
        raise InputError(
            f"Argument `labels` must name each of the {num_spins} spins once, "
            f"but it holds {len(labels)} labels, {len(set(labels))} of them distinct."
        )
    return labels


def _checked(num_spins: int, indices: ArrayLike, coefficients: ArrayLike) -> Terms:
    """Terms of one order, sorted, after every check that keeps a wrong Hamiltonian out."""
    indices = np.asarray(indices)
    coefficients = np.asarray(coefficients, dtype=np.float64)
    if indices.ndim != 2 or indices.shape[1] < 1 or coefficients.shape != indices.shape[:1]:
        raise InputError(
            f"Argument `terms` must hold indices[m, k] with coefficients[m], "
            f"but their shapes are {indices.shape} and {coefficients.shape}."
        )
    if not np.issubdtype(indices.dtype, np.integer):
        raise InputError(f"Argument `terms` must hold integer indices, but they are {indices.dtype}.")
    if indices.size and (indices.min() < 0 or indices.max() >= num_spins):
        raise InputError(
            f"Argument `terms` must hold indices from 0 to {num_spins - 1}, "
            f"but they run from {indices.min()} to {indices.max()}."
        )
    if not np.isfinite(coefficients).all():
        raise InputError("Argument `terms` must hold finite coefficients, but some are NaN or infinite.")
    indices = np.sort(indices.astype(np.int32), axis=1)
    if (indices[:, 1:] == indices[:, :-1]).any():
        raise InputError("Argument `terms` must not hold a spin twice in one term, but one does.")
    by_spins = np.lexsort(indices.T[::-1])
    indices, coefficients = indices[by_spins], coefficients[by_spins]
    if (indices[1:] == indices[:-1]).all(axis=1).any():
        raise InputError("Argument `terms` must hold each set of spins once, but one occurs twice.")
    return Terms(indices, coefficients)


def _dense_couplings(num_spins: int, terms: Sequence[Terms]) -> Float[np.ndarray, "n n"] | None:
    pairs = next((t for t in terms if t.order == 2), None)
    if pairs is None or 2 * len(pairs.coefficients) < _DENSE_FILL * num_spins**2:
        return None
    matrix = np.zeros((num_spins, num_spins))
    i, j = np.asarray(pairs.indices).T
    matrix[i, j] = matrix[j, i] = pairs.coefficients
    return matrix
