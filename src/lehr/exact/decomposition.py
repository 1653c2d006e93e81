"""Pairwise problems on sparse graphs of any shape: exact elimination of one spin after another."""

from typing import Any, NamedTuple

import dimod
import networkx as nx
import numpy as np
from dwave.samplers import TreeDecompositionSampler, TreeDecompositionSolver
from dwave.samplers.tree.utilities import min_fill_heuristic
from jaxtyping import Float, Int8

from lehr._types import InputError
from lehr.exact.enumeration import Temperatures, checked_temperatures, shaped_like
from lehr.problem.base import Problem

MOST_WIDTH = 25


def treewidth(problem: Problem) -> int | None:
    """Width of a good elimination order: the number of spins that a step couples, which costs 2^width.

    It bounds the treewidth of the graph of couplings from above (couplings of 0 are no couplings). None where it would
    exceed 25, or the problem has terms of more than two spins.

    Source: min-fill order, V. Gogate and R. Dechter, arXiv:1207.4109.

    >>> import lehr
    >>> treewidth(lehr.random_chain(50, seed=1)), treewidth(lehr.sherrington_kirkpatrick(40, seed=1))
    (1, None)
    """
    elimination = _elimination(problem)
    return None if elimination is None else elimination.width


def applies(problem: Problem) -> bool:
    """Whether the problem is pairwise, fields allowed, and its graph of couplings has a treewidth of at most 25.

    >>> import lehr
    >>> applies(lehr.edwards_anderson(6, boundary="periodic", seed=1)), applies(lehr.newman_moore(3))
    (True, False)
    """
    return treewidth(problem) is not None


def ground_state(problem: Problem) -> tuple[float, Int8[np.ndarray, " num_spins"]]:
    """Ground energy, offset included, and a ground state of a pairwise problem for which `applies` holds.

    Raises:
        InputError: for terms of more than two spins and for graphs of treewidth above 25.

    Source: tree decomposition, R. Dechter, Artificial Intelligence 113, 41 (1999), as in dwave-samplers.

    >>> import lehr
    >>> energy, spins = ground_state(lehr.edwards_anderson(10, seed=1))
    >>> round(energy / 100, 10), spins.shape
    (-0.7865040168, (100,))
    """
    model, order, _, _ = _required(problem)
    spins = np.ones(problem.num_spins, np.int8)
    if order:
        found = TreeDecompositionSolver().sample(model, elimination_order=order)
        spins[np.array(list(found.variables))] = np.asarray(found.record.sample)[0]
    return float(problem.energy(spins)), spins


def free_energy(problem: Problem, temperature: Temperatures) -> float | Float[np.ndarray, " temperatures"]:
    """Free energy `-T ln sum_s exp(-H(s) / T)` of a pairwise problem for which `applies` holds.

    Args:
        problem: fields and couplings; the cost is 2^treewidth for each spin.
        temperature: T, positive, in units of the energy; or a sequence of them.

    Returns:
        F of the whole system, offset included; a float, or float64 [temperatures] for a sequence.

    Raises:
        InputError: for terms of more than two spins, graphs of treewidth above 25, and a bad temperature.

    >>> import lehr
    >>> round(free_energy(lehr.edwards_anderson(10, seed=1), 1.0) / 100, 10)
    -1.0024567296
    """
    temperatures = checked_temperatures(temperature)
    model, order, _, scale = _required(problem)
    free = np.log(2) * (problem.num_spins - len(order))
    options = {"elimination_order": order, "num_reads": 1, "marginals": False, "seed": 0}
    values = []
    for t in temperatures:
        drawn = TreeDecompositionSampler().sample(model, beta=scale / t, **options)
        values.append(-t * (free + drawn.info["log_partition_function"]))
    return shaped_like(temperature, np.array(values) + float(problem.offset))


class _Elimination(NamedTuple):
    """The terms in units of `scale`, and the order in which their spins are eliminated, with its width."""

    model: dimod.BinaryQuadraticModel
    order: list[Any]
    width: int
    scale: float


def _elimination(problem: Problem) -> _Elimination | None:
    """None for terms of more than two spins, and where the width would exceed `MOST_WIDTH`."""
    if problem.offset.ndim or any(t.order > 2 and t.coefficients.any() for t in problem.terms):
        return None
    model, scale = _model(problem)
    # Cheap, and decides the dense graphs on which the heuristic is slow: a core of minimum degree k has treewidth k.
    cores = nx.core_number(nx.Graph(list(model.quadratic)))
    if max(cores.values(), default=0) > MOST_WIDTH:
        return None
    width, order = min_fill_heuristic(model)
    if not cores:
        width = 0  # of spins without couplings, which the heuristic counts as coupled
    return _Elimination(model, order, int(width), scale) if width <= MOST_WIDTH else None


def _model(problem: Problem) -> tuple[dimod.BinaryQuadraticModel, float]:
    """The problem's terms in units of its largest coefficient, and that unit.

    Without terms of 0 and spins that are in no term: the sampler's partition function leaves out such spins' factor 2.
    """
    scale = max((float(np.abs(t.coefficients).max()) for t in problem.terms), default=0.0) or 1.0
    model = dimod.BinaryQuadraticModel(dimod.SPIN)
    for terms in problem.terms:
        kept = np.flatnonzero(terms.coefficients)
        indices = np.asarray(terms.indices)[kept].tolist()
        coefficients = (np.asarray(terms.coefficients)[kept] / scale).tolist()
        if terms.order == 1:
            model.add_linear_from((i, c) for (i,), c in zip(indices, coefficients, strict=True))
        elif terms.order == 2:
            model.add_quadratic_from((i, j, c) for (i, j), c in zip(indices, coefficients, strict=True))
    return model, scale


def _required(problem: Problem) -> _Elimination:
    elimination = _elimination(problem)
    if elimination is None:
        raise InputError(
            "Argument `problem` must have fields and couplings of pairs only, on a graph of treewidth at most "
            f"{MOST_WIDTH}, but {problem.name} is not such a problem."
        )
    return elimination
