"""Foreign Python objects in and out: dimod models and polynomials, networkx graphs.

Every conversion between spins is exact; between bits and spins, `x = (1 + s) / 2`, it is exact up to rounding. A field
of zero is no field (a dimod model cannot tell the two apart); a coupling of zero stays. Order of the spins = order of
the variables in the source. QUBO and Ising h/J: `lehr.problem.qubo`; files: `lehr.problem.io`.
"""

from collections.abc import Collection, Hashable, Sequence
from itertools import combinations
from typing import Any

import dimod
import networkx as nx
import numpy as np
from dimod.higherorder.polynomial import BinaryPolynomial

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.problem.pairwise import (
    fields_and_couplings,
    maxcut_couplings,
    maxcut_weights,
    names,
    pairwise_problem,
    plain_labels,
    real_number,
    real_numbers,
)

_MAX_EXPANDED_TERMS = 2**24  # a product of k bits is 2^k products of spins


def from_bqm(bqm: object) -> Problem:
    """Problem with the energies of a dimod `BinaryQuadraticModel`, SPIN or BINARY, offset included.

    Args: `bqm`, with any labels; they become `Problem.labels`, in the order of `bqm.variables` (None for 0..N-1).
    Returns: the problem in dimod's sign, bits as `x = (1 + s) / 2`.
    Errors: `InputError` where it is no such model, has no variables, or holds a number that is not finite.

    >>> problem = from_bqm(dimod.BinaryQuadraticModel({"a": 1.0, "b": -2.0}, {"ab": 4.0}, 0.5, "BINARY"))
    >>> problem.labels, problem.energy(np.array([1, 1])).tolist()
    (('a', 'b'), 3.5)
    """
    if not isinstance(bqm, dimod.BinaryQuadraticModel):
        raise InputError(f"Argument `bqm` must be a dimod BinaryQuadraticModel, but it is a {type(bqm).__name__}.")
    order = list(bqm.variables)
    vectors = bqm.to_numpy_vectors(variable_order=order)
    return pairwise_problem(
        "bqm",
        real_numbers("bqm", vectors.linear_biases),
        np.stack([vectors.quadratic.row_indices, vectors.quadratic.col_indices], axis=1),
        real_numbers("bqm", vectors.quadratic.biases),
        real_number("bqm", vectors.offset),
        bits=bqm.vartype is dimod.BINARY,
        labels=order,
    )


def to_bqm(problem: Problem) -> dimod.BinaryQuadraticModel:
    """SPIN `BinaryQuadraticModel` with exactly the terms, the offset and the labels of a problem.

    Args: `problem`, of order 1 or 2. Its name, lattice and ground energy have no place in a model.
    Returns: the model in float64; `from_bqm` gives the same terms back.
    Errors: `InputError` where the order is above 2, or a label is an integer that dimod cannot hold.

    >>> to_bqm(Problem.from_terms(2, {(0,): 0.5, (0, 1): -1.0}, labels=("a", "b")))
    BinaryQuadraticModel({'a': 0.5, 'b': 0.0}, {('b', 'a'): -1.0}, 0.0, 'SPIN')
    """
    fields, pairs, couplings = fields_and_couplings(problem, "a BinaryQuadraticModel")
    try:
        return dimod.BinaryQuadraticModel.from_numpy_vectors(
            fields,
            (pairs[:, 0], pairs[:, 1], couplings),
            float(problem.offset),
            dimod.Vartype.SPIN,
            variable_order=list(names(problem)),
        )
    except OverflowError:
        raise InputError("Argument `problem` must have whole-number labels of 64 bits, but one is larger.") from None


def from_polynomial(polynomial: object, *, labels: Sequence[Hashable] | None = None) -> Problem:
    """Problem with the energies of a dimod `BinaryPolynomial` (HUBO), SPIN or BINARY, of any degree.

    Args: `polynomial`; `labels`, the order of the spins: all its variables and maybe more (a polynomial stores sets,
    which have no order, so by default they are sorted, by type and text where they do not compare).
    Returns: the problem in dimod's sign, bits as `x = (1 + s) / 2`.
    Errors: `InputError` where it is no such polynomial, has no variables, holds a number that is not finite, or would
    expand into more than 2**24 products of spins.

    >>> problem = from_polynomial(BinaryPolynomial({"abc": 8.0, "a": -1.0}, "BINARY"))
    >>> problem.order, problem.num_terms, float(problem.offset)
    (3, 7, 0.5)
    """
    if not isinstance(polynomial, BinaryPolynomial):
        raise InputError(
            f"Argument `polynomial` must be a dimod BinaryPolynomial, but it is a {type(polynomial).__name__}."
        )
    order = _sorted_labels(polynomial.variables) if labels is None else list(labels)
    if not order:
        raise InputError("Argument `polynomial` must have at least one variable, but it has none.")
    position = {label: number for number, label in enumerate(order)}
    if unknown := [v for v in polynomial.variables if v not in position]:
        raise InputError(
            f"Argument `labels` must name every variable of the polynomial, but {unknown[0]!r} is missing."
        )
    terms = {
        tuple(sorted(position[v] for v in term)): real_number("polynomial", bias) for term, bias in polynomial.items()
    }
    if polynomial.vartype is dimod.BINARY:
        terms = _expand_bits(terms)
    terms = {term: c for term, c in terms.items() if c != 0 or len(term) > 1}
    return Problem.from_terms(len(order), terms, labels=plain_labels(order))


def to_polynomial(problem: Problem) -> BinaryPolynomial:
    """SPIN `BinaryPolynomial` with exactly the terms, the offset and the labels of a problem of any order.

    Args: `problem`. Its name, lattice and ground energy have no place in a polynomial.
    Returns: the polynomial; a spin in no term enters with a field of zero, the offset as the empty term.

    >>> to_polynomial(Problem.from_terms(3, {(0, 1, 2): -1.0, (): 2.0}))
    BinaryPolynomial({frozenset({0, 1, 2}): -1.0, frozenset(): 2.0}, 'SPIN')
    """
    label = names(problem)
    terms = {
        frozenset(label[i] for i in spins): coefficient
        for group in problem.terms
        for spins, coefficient in zip(group.indices.tolist(), group.coefficients.tolist(), strict=True)
    }
    touched = set().union(*terms)
    terms |= {frozenset([v]): 0.0 for v in label if v not in touched}
    if problem.offset != 0:
        terms[frozenset()] = float(problem.offset)
    return BinaryPolynomial(terms, "SPIN")


def from_graph(graph: Any, weight: str = "weight", *, interpretation: str) -> Problem:
    """Problem on the edges of a networkx graph, read as a Max-Cut or as an Ising model: say which.

    Args: `graph`, undirected and simple; `weight`, the edge attribute with the weight w (1 where no edge has it);
    `interpretation`, "maxcut" (energy = -cut, as couplings w/2 and offset -W/2) or "ising" (`sum w s s` in dimod's
    sign, plus the node attribute "field" and the graph attribute "offset", if there).
    Returns: the problem; its labels are the nodes, in the order of the graph.
    Errors: `InputError` for a directed or multi-graph, a self-loop, a weight that is missing or not finite.

    >>> triangle = nx.cycle_graph(3)
    >>> from_graph(triangle, interpretation="maxcut").energy(np.array([1, 1, -1])).tolist()
    -2.0
    >>> from_graph(triangle, interpretation="ising").energy(np.array([1, 1, -1])).tolist()
    -1.0
    """
    if interpretation not in ("maxcut", "ising"):
        raise InputError(f'Argument `interpretation` must be "maxcut" or "ising", but it is {interpretation!r}.')
    if not isinstance(graph, nx.Graph) or graph.is_directed() or graph.is_multigraph():
        raise InputError(f"Argument `graph` must be an undirected simple nx.Graph, but it is a {type(graph).__name__}.")
    position = {node: number for number, node in enumerate(graph)}
    edges = list(graph.edges(data=weight))
    if loops := [u for u, v, _ in edges if u == v]:
        raise InputError(f"Argument `graph` must have no self-loops, but node {loops[0]!r} has one; remove it.")
    weights = [w for _, _, w in edges]
    if all(w is None for w in weights):
        weights = [1.0] * len(edges)
    elif None in weights:
        u, v, _ = edges[weights.index(None)]
        raise InputError(
            f"Argument `graph` must have `{weight}` on every edge or on none, but ({u!r}, {v!r}) has none."
        )
    pairs = np.array([(position[u], position[v]) for u, v, _ in edges], dtype=np.int64).reshape(-1, 2)
    couplings = real_numbers("graph", weights)
    fields = real_numbers("graph", [field for _, field in graph.nodes(data="field", default=0.0)])
    offset = real_number("graph", graph.graph.get("offset", 0.0))
    if interpretation == "maxcut":
        if fields.any() or offset != 0:
            raise InputError("Argument `graph` must have no fields and no offset as a Max-Cut, but it has.")
        couplings, offset = maxcut_couplings(couplings)
    return pairwise_problem("graph", fields, pairs, couplings, offset, labels=list(position))


def to_graph(problem: Problem, *, interpretation: str) -> nx.Graph:
    """networkx graph of a problem of order 1 or 2; `from_graph` with the same interpretation gives it back.

    Args: `problem`; `interpretation`, "maxcut" (edge weights 2c; only for an energy that is minus a cut) or "ising"
    (edge attribute "weight", node attribute "field", graph attribute "offset").
    Returns: the graph; its nodes are the labels, in order.
    Errors: `InputError` where the problem is of higher order, or not a Max-Cut but called one.

    >>> to_graph(from_graph(nx.path_graph(2), interpretation="maxcut"), interpretation="maxcut").edges(data="weight")
    EdgeDataView([(0, 1, 1.0)])
    """
    graph = nx.Graph()
    label = names(problem)
    if interpretation == "maxcut":
        pairs, weights = maxcut_weights(problem)
        graph.add_nodes_from(label)
    elif interpretation == "ising":
        fields, pairs, weights = fields_and_couplings(problem, "a graph")
        graph.add_nodes_from((v, {"field": h}) for v, h in zip(label, fields.tolist(), strict=True))
        graph.graph["offset"] = float(problem.offset)
    else:
        raise InputError(f'Argument `interpretation` must be "maxcut" or "ising", but it is {interpretation!r}.')
    graph.add_weighted_edges_from(
        (label[i], label[j], w) for (i, j), w in zip(pairs.tolist(), weights.tolist(), strict=True)
    )
    return graph


def _sorted_labels(labels: Collection[Hashable]) -> list[Hashable]:
    try:
        return sorted(labels)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return sorted(labels, key=lambda label: (type(label).__name__, repr(label)))


def _expand_bits(terms: dict[tuple[int, ...], float]) -> dict[tuple[int, ...], float]:
    """Terms in the spins, from terms in the bits: each product of k bits is 2^-k times the sum of all sub-products."""
    expanded_size = sum(2.0 ** len(term) for term in terms)
    if expanded_size > _MAX_EXPANDED_TERMS:
        raise InputError(
            f"Argument `polynomial` would expand into {expanded_size:.3g} products of spins, more than "
            f"{_MAX_EXPANDED_TERMS}; reduce its degree or make it SPIN-valued."
        )
    expanded: dict[tuple[int, ...], float] = {}
    for term, coefficient in terms.items():
        share = coefficient / 2.0 ** len(term)
        for order in range(len(term) + 1):
            for part in combinations(term, order):
                expanded[part] = expanded.get(part, 0.0) + share
    return expanded
