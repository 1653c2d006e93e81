"""Which exact method applies to a problem, and what it says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Int8

from lehr._files import printable
from lehr._types import InputError
from lehr.exact import chain, decomposition, enumeration, kac_ward, matching, parity, quantum, spectral, transfer
from lehr.exact.enumeration import GroundStates
from lehr.problem.base import Problem

# Up to here all states are enumerated in well under a second, and ground states are counted by the way.
_FEW_SPINS = 20
_ALL_STATES = "enumeration of all states"

Applies = Callable[[Problem], bool]


class Oracle(NamedTuple):
    """An exact method: its name, where it applies, and its function of a problem (and temperatures or fields)."""

    name: str
    applies: Applies
    evaluate: Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Reference:
    """What is exactly known of a problem; energies are totals in the units of H, offset included.

    `oracle` says in one line which method found the ground energy. `ground_spins` is None where the method does not
    construct a state, `num_ground_states` where it does not count them. `free_energies` and `field_energies` map
    temperatures and transverse fields to (value, name of the method).
    """

    problem: Problem
    ground_energy: float
    ground_spins: Int8[np.ndarray, " n"] | None
    num_ground_states: int | None
    oracle: str
    free_energies: dict[float, tuple[float, str]]
    field_energies: dict[float, tuple[float, str]]

    def solved_problem(self) -> Problem:
        """The problem with its ground energy, and its ground state where one was constructed."""
        known = {"ground_energy": np.asarray(self.ground_energy), "ground_spins": self.ground_spins}
        return eqx.tree_at(
            lambda p: [getattr(p, name) for name in known], self.problem, list(known.values()), is_leaf=_is_none
        )

    def summary(self) -> dict[str, Any]:
        """The JSON-able dict that `lehr exact --json` prints."""
        return {
            "problem": {"name": self.problem.name, "num_spins": self.problem.num_spins},
            "ground_energy": self.ground_energy,
            "ground_spins": None if self.ground_spins is None else self.ground_spins.tolist(),
            "num_ground_states": self.num_ground_states,
            "oracle": self.oracle,
            "free_energy": _listed("temperature", self.free_energies),
            "field_energy": _listed("field", self.field_energies),
        }

    def __str__(self) -> str:
        number = self.num_ground_states
        counted = "not counted" if number is None else str(number) if number < 10**15 else f"{number:.6g}"
        lines = [
            f"{self.problem.name}: {self.problem.num_spins} spins",
            f"  ground energy  {self.ground_energy:.15g}, {self.ground_energy / self.problem.num_spins:.12g} per spin",
            f"  ground states  {counted}",
            f"  oracle         {self.oracle}",
        ]
        for symbol, values in (("F at T", self.free_energies), ("E at field", self.field_energies)):
            lines += [f"  {symbol} {at:g}: {value:.15g}  ({name})" for at, (value, name) in values.items()]
        return printable(lines)

    __repr__ = __str__


def exact(problem: Problem, *, temperatures: Sequence[float] = (), fields: Sequence[float] = ()) -> Reference:
    """Exact ground energy, free energies and energies in a transverse field, by the best method that applies.

    Ground states: enumeration (up to 26 spins), parity constraints (whatever is unfrustrated: chains, Newman-Moore),
    matching (open planar lattices), transfer matrices (lattices of width up to 20), tree decomposition (treewidth up
    to 25), and a spectral certificate of a known state (Wishart). Free energies: enumeration, chains, cycles, transfer
    matrices, Kac-Ward determinants, tree decomposition. Transverse field: free fermions (open chains), Lanczos (up to
    18 spins, with lattice symmetries up to 26).

    Args:
        problem: any.
        temperatures: T > 0, in units of the energy, at which to give the free energy `-T ln sum_s exp(-H(s) / T)`.
        fields: Gamma >= 0, in units of the energy, at which to give the ground energy of `H - Gamma sum_i sigma^x_i`.

    Returns:
        A `Reference`, which names the methods.

    Raises:
        InputError: where no exact method applies; it says so plainly.

    >>> reference = exact(Problem.from_terms(2, {(0, 1): -1.0}), temperatures=[1.0], fields=[0.75])
    >>> reference.ground_energy, reference.num_ground_states, reference.oracle
    (-1.0, 2, 'enumeration of all states')
    >>> reference.field_energies[0.75][0].__round__(9)
    -1.802775638
    """
    if len(temperatures):
        enumeration.checked_temperatures(list(temperatures))
    if not all(0 <= field < float("inf") for field in fields):
        raise InputError(f"Argument `fields` must be finite and at least 0, but they are {list(fields)}.")
    ground, oracle = _ground(problem)
    return Reference(
        problem=problem,
        ground_energy=float(ground.energy),
        ground_spins=ground.spins,
        num_ground_states=ground.number,
        oracle=oracle,
        free_energies=_evaluated(_FREE_ENERGY, problem, [float(at) for at in temperatures], "free energy"),
        field_energies=_evaluated(_FIELD_ENERGY, problem, [float(at) for at in fields], "field energy"),
    )


def _is_none(leaf: Any) -> bool:
    return leaf is None


def _few(problem: Problem) -> bool:
    return problem.num_spins <= _FEW_SPINS


class _Ground(NamedTuple):
    """The ground energy; a ground state and how many there are, where the method tells."""

    energy: float
    spins: Int8[np.ndarray, " n"] | None = None
    number: int | None = None


def _counted(states: GroundStates) -> _Ground:
    return _Ground(states.energy, states.spins[0], states.number)


def _stated(problem: Problem) -> _Ground:
    assert problem.ground_energy is not None
    return _Ground(float(problem.ground_energy), problem.ground_spins)


def _is_certified(problem: Problem) -> bool:
    known = problem.ground_spins
    return known is not None and spectral.applies(problem) and spectral.certifies(problem, known)


_GROUND = (
    Oracle(_ALL_STATES, _few, lambda p: _counted(enumeration.ground_states(p, 1))),
    Oracle(
        "parity constraints over GF(2), all satisfied", parity.applies, lambda p: _counted(parity.ground_states(p, 1))
    ),
    Oracle(
        "minimum-weight matching of frustrated plaquettes",
        matching.applies,
        lambda p: _Ground(*matching.ground_state(p)),
    ),
    Oracle(_ALL_STATES, enumeration.applies, lambda p: _counted(enumeration.ground_states(p, 1))),
    Oracle("transfer matrix (min-plus)", transfer.applies, lambda p: _Ground(*transfer.ground_state(p))),
    Oracle("tree decomposition", decomposition.applies, lambda p: _Ground(*decomposition.ground_state(p))),
    Oracle("transfer matrix (min-plus), energy alone", transfer.applies, lambda p: _Ground(transfer.ground_energy(p))),
    Oracle("known state, certified by the spectrum of the couplings", _is_certified, _stated),
    Oracle("stated with the problem, not certified", lambda problem: problem.ground_energy is not None, _stated),
)
_FREE_ENERGY = (
    Oracle(_ALL_STATES, _few, enumeration.free_energy),
    Oracle("open chain", chain.applies, chain.free_energy),
    Oracle("expansion in cycles over GF(2)", parity.has_few_cycles, parity.free_energy),
    Oracle("transfer matrix", transfer.applies, transfer.free_energy),
    Oracle("Kac-Ward determinant", kac_ward.applies, kac_ward.free_energy),
    Oracle(_ALL_STATES, enumeration.applies, enumeration.free_energy),
    Oracle("tree decomposition", decomposition.applies, decomposition.free_energy),
)
_FIELD_ENERGY = (
    Oracle("free fermions on an open chain", chain.applies, chain.field_energy),
    Oracle("Lanczos", quantum.applies, quantum.field_energy),
    Oracle("Lanczos in the symmetric sector", enumeration.applies, quantum.symmetric_field_energy),
)


def _ground(problem: Problem) -> tuple[_Ground, str]:
    """What the first method finds, and its name; one that applies but finds itself out of its depth is passed."""
    for oracle in _GROUND:
        if oracle.applies(problem):
            try:
                return oracle.evaluate(problem), oracle.name
            except InputError:
                continue
    raise InputError(_no_method(problem, "ground energy"))


def _evaluated(
    oracles: Sequence[Oracle], problem: Problem, points: list[float], what: str
) -> dict[float, tuple[float, str]]:
    """At each point the value of the first method that applies and is accurate there, and its name."""
    if not points:
        return {}
    reasons = []
    for oracle in oracles:
        if oracle.applies(problem):
            try:
                values = oracle.evaluate(problem, points)  # at once: what a method builds serves all points
            except InputError as error:
                if len(points) > 1:
                    return {at: _evaluated(oracles, problem, [at], what)[at] for at in points}
                reasons.append(f" {oracle.name}: {error}")
            else:
                return {at: (float(value), oracle.name) for at, value in zip(points, values, strict=True)}
    raise InputError(_no_method(problem, f"{what} at {points[0]:g}") + "".join(reasons))


def _no_method(problem: Problem, what: str) -> str:
    dense = problem.coupling_matrix is not None
    return (
        f"Argument `problem` must have a structure that an exact method can use for the {what}, but none is found: "
        f"{problem.num_spins} spins, {problem.num_terms} terms of up to {problem.order} spins"
        f"{', densely coupled' if dense else ''}. See `lehr.exact` for what each method needs."
    )


def _listed(name: str, values: dict[float, tuple[float, str]]) -> list[dict[str, Any]]:
    return [{name: at, "value": value, "oracle": oracle} for at, (value, oracle) in values.items()]
