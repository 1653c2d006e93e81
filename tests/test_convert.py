"""Foreign objects in and out: equal energies for every state, exact round trips, clear errors."""

import itertools
from fractions import Fraction

import dimod
import networkx as nx
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.problem.convert import from_bqm, from_graph, from_polynomial, to_bqm, to_graph, to_polynomial
from lehr.problem.qubo import from_ising, from_qubo, to_ising, to_qubo

quick = settings(max_examples=100, deadline=None, derandomize=True)

awkward = st.sampled_from([0.0, -0.0, 1e-300, 5e-324, 0.1 + 0.2, -1 / 3, 1e15, -7.0, 2.0**-1074 * 3])
coefficients = awkward | st.floats(-1e6, 1e6)
plain = st.integers(-(10**20), 10**20) | st.text(max_size=3) | st.floats(-10, 10)
labels = st.recursive(plain, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=3)


@st.composite
def parts(draw, max_order=2, hashables=labels):
    n = draw(st.integers(1, 6))
    sets = [c for k in range(1, max_order + 1) for c in itertools.combinations(range(n), k)]
    chosen = draw(st.lists(st.sampled_from(sets), unique=True, max_size=12))
    terms = {spins: draw(coefficients) for spins in chosen}
    named = draw(st.none() | st.lists(hashables, min_size=n, max_size=n, unique=True))
    return n, terms, draw(coefficients), named


def build(drawn):
    """The problem of `parts`; not within the strategy, where beartype's random checks would be an error."""
    n, terms, offset, named = drawn
    return Problem.from_terms(n, terms, offset=offset, labels=named)


def all_states(n):
    return np.array(list(itertools.product([1, -1], repeat=n)))


def content(problem):
    """What must survive: terms but for fields of zero, offset, labels (0..N-1 are no labels)."""
    terms = {
        tuple(spins): c
        for group in problem.terms
        for spins, c in zip(group.indices.tolist(), group.coefficients.tolist(), strict=True)
        if len(spins) > 1 or c != 0
    }
    named = list(range(problem.num_spins)) if problem.labels is None else list(problem.labels)
    return problem.num_spins, terms, float(problem.offset), named


@quick
@given(parts(hashables=labels | st.booleans() | st.none() | st.frozensets(st.integers(), max_size=2)))
def test_bqm_round_trip_is_exact(drawn):
    problem = build(drawn)
    assert content(from_bqm(to_bqm(problem))) == content(problem)


@quick
@given(parts(max_order=4))
def test_polynomial_round_trip_is_exact(drawn):
    problem = build(drawn)
    back = from_polynomial(to_polynomial(problem), labels=content(problem)[3])
    assert content(back) == content(problem)


def test_polynomial_keeps_spins_without_terms():
    problem = Problem.from_terms(4, {(0, 2): 1.0})
    assert to_polynomial(problem).variables == {0, 1, 2, 3}
    assert content(from_polynomial(to_polynomial(problem))) == content(problem)


@quick
@given(parts())
def test_ising_and_graph_round_trips_are_exact(drawn):
    problem = build(drawn)
    assert content(from_ising(*to_ising(problem))) == content(problem)
    graph = to_graph(problem, interpretation="ising")
    assert content(from_graph(graph, interpretation="ising")) == content(problem)


@quick
@given(parts())
def test_qubo_has_the_energies_of_the_problem(drawn):
    problem = build(drawn)
    Q, offset = to_qubo(problem)
    scale = 1 + abs(float(problem.offset)) + sum(np.abs(t.coefficients).sum() for t in problem.terms)
    states = all_states(problem.num_spins)
    variables = content(problem)[3]
    bits = [{v: (1 + s) // 2 for v, s in zip(variables, state, strict=True)} for state in states.tolist()]
    energies = [sum(c * x[u] * x[v] for (u, v), c in Q.items()) + offset for x in bits]
    np.testing.assert_allclose(energies, problem.energy(states), rtol=0, atol=1e-14 * scale)
    back = from_qubo(Q, offset)
    assert (back.labels or tuple(range(back.num_spins))) == tuple(variables)
    np.testing.assert_allclose(back.energy(states), problem.energy(states), rtol=0, atol=1e-14 * scale)


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
@pytest.mark.parametrize("names", [list(range(7)), list("gfedcba"), [0, "a", (1, "b"), 2.5, frozenset({1}), -3, ""]])
def test_bqm_energies_are_dimods(vartype, names):
    rng = np.random.default_rng(5)
    bqm = dimod.BinaryQuadraticModel(vartype)
    for v in names:
        bqm.add_variable(v, rng.normal())
    for u, v in list(itertools.combinations(names, 2))[::2]:
        bqm.add_quadratic(u, v, rng.normal())
    bqm.offset = 1.7
    states = all_states(7)
    values = states if vartype == "SPIN" else (states + 1) // 2
    expected = bqm.energies((values, names))
    problem = from_bqm(bqm)
    assert content(problem)[3] == names
    np.testing.assert_allclose(problem.energy(states), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(to_bqm(problem).energies((states, names)), expected, rtol=0, atol=1e-12)


def test_range_labels_are_none_and_numpy_labels_become_pythons():
    assert from_bqm(dimod.BQM({0: 1.0, 1: 0.0}, {}, 0, "SPIN")).labels is None
    graph = nx.Graph([(np.int64(5), np.int64(3))])
    found = from_graph(graph, interpretation="ising").labels
    assert found == (5, 3)
    assert [type(v) for v in found] == [int, int]


def test_zero_couplings_stay_and_float32_and_object_models_are_read():
    bqm = dimod.BQM({"a": 0.0, "b": 0.0, "c": 1.0}, {"ab": 0.0}, 0.0, "BINARY")
    problem = from_bqm(bqm)
    assert content(problem)[1] == {(2,): 0.5, (0, 1): 0.0}
    single = dimod.BQM({"a": 0.1}, {"ab": 0.2}, 0.3, "SPIN", dtype=np.float32)
    assert content(from_bqm(single))[1] == {(0,): float(np.float32(0.1)), (0, 1): float(np.float32(0.2))}
    fractions = dimod.BQM({"a": Fraction(1, 4)}, {"ab": Fraction(1, 2)}, 0, "SPIN", dtype=object)
    assert content(from_bqm(fractions))[1] == {(0,): 0.25, (0, 1): 0.5}


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_polynomial_energies_are_dimods(vartype):
    rng = np.random.default_rng(6)
    names = ["b", "a", "d", "c", "e"]
    sets = [c for k in range(5) for c in itertools.combinations(names, k)][::2]
    polynomial = dimod.BinaryPolynomial({s: rng.normal() for s in sets}, vartype)
    problem = from_polynomial(polynomial)
    assert problem.labels == ("a", "b", "c", "d", "e")
    states = all_states(5)
    values = states if vartype == "SPIN" else (states + 1) // 2
    expected = polynomial.energies((values, list("abcde")))
    np.testing.assert_allclose(problem.energy(states), expected, rtol=0, atol=1e-12)
    other = from_polynomial(polynomial, labels=[*names, "free"])
    assert other.labels == (*names, "free")


def test_qubo_mapping_and_matrices_agree_with_dimod():
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=(5, 5))
    matrix[1, 3] = matrix[3, 1] = 0.0
    mapping = {(i, j): matrix[i, j] for i in range(5) for j in range(5) if matrix[i, j]}
    states = all_states(5)
    expected = dimod.BQM.from_qubo(mapping, 0.5).energies(((states + 1) // 2, range(5)))
    for Q in (mapping, matrix, scipy.sparse.csr_array(matrix), scipy.sparse.coo_matrix(matrix)):
        problem = from_qubo(Q, 0.5)
        np.testing.assert_allclose(problem.energy(states), expected, rtol=0, atol=1e-12)
        assert (1, 3) not in content(problem)[1]
    stored_zero = scipy.sparse.coo_array(([1.0, 0.0], ([0, 0], [0, 1])), shape=(2, 2))
    assert content(from_qubo(stored_zero))[1] == {(0,): 0.5, (0, 1): 0.0}


def test_ising_in_dimods_sign_with_pairs_summed():
    h, J = {"x": 0.5, "y": -1.0}, {("y", "x"): 0.25, ("x", "y"): 0.5, ("y", "z"): -2.0}
    states = all_states(3)
    expected = dimod.BQM.from_ising(h, J, 3.0).energies((states, ["x", "y", "z"]))
    np.testing.assert_allclose(from_ising(h, J, 3.0).energy(states), expected)
    matrix = np.array([[0, 0.75, 0], [0, 0, -2.0], [0, 0, 0]])
    for upper in (matrix, scipy.sparse.csc_array(matrix)):
        np.testing.assert_allclose(from_ising([0.5, -1.0, 0.0], upper, 3.0).energy(states), expected)


def test_graph_as_maxcut_has_minus_the_cut_as_energy():
    rng = np.random.default_rng(8)
    graph = nx.gnp_random_graph(6, 0.6, seed=1)
    for u, v in graph.edges:
        graph[u][v]["w"] = rng.normal()
    problem = from_graph(graph, "w", interpretation="maxcut")
    for state in all_states(6):
        up = {v for v in graph if state[v] == 1}
        assert float(problem.energy(state)) == pytest.approx(-nx.cut_size(graph, up, weight="w"), abs=1e-13)
    back = to_graph(problem, interpretation="maxcut")
    assert nx.utils.edges_equal(back.edges(data="weight"), graph.edges(data="w"))
    assert content(from_graph(back, interpretation="maxcut")) == content(problem)


def triangle(**attributes):
    graph = nx.cycle_graph(3)
    graph.edges[0, 1].update(attributes)
    return graph


not_triangular = np.ones((2, 2))
cubic = Problem.from_terms(3, {(0, 1, 2): 1.0})
bad_calls = [
    (from_bqm, ["text"], "BinaryQuadraticModel, but it is a str"),
    (from_bqm, [dimod.BQM("SPIN")], "at least one variable"),
    (from_bqm, [dimod.BQM({"a": np.nan}, {}, 0, "SPIN")], "finite"),
    (from_bqm, [dimod.BQM({"a": 1}, {"ab": 1}, np.inf, "BINARY")], "finite"),
    (from_bqm, [dimod.BQM({"a": 1.5e308}, {"ab": 1.5e308, "ac": 1.7e308, "ad": 1.7e308}, 0, "BINARY")], "power of 2"),
    (to_bqm, [cubic], "order is 3"),
    (to_qubo, [cubic], "order is 3"),
    (to_qubo, [from_ising([1e308, 0], {})], "overflow"),
    (from_polynomial, [{}], "BinaryPolynomial, but it is a dict"),
    (from_polynomial, [dimod.BinaryPolynomial({}, "SPIN")], "at least one variable"),
    (from_polynomial, [dimod.BinaryPolynomial({"ab": np.nan}, "SPIN")], "finite"),
    (from_polynomial, [dimod.BinaryPolynomial({tuple(range(30)): 1.0}, "BINARY")], "1.07e+09 products"),
    (lambda p: from_polynomial(p, labels=["a"]), [dimod.BinaryPolynomial({"ab": 1.0}, "SPIN")], "'b' is missing"),
    (from_qubo, [{}], "at least one variable"),
    (from_qubo, [{"ab": 1.0}], "pairs"),
    (from_qubo, [{(0, 1, 2): 1.0}], "pairs"),
    (from_qubo, [{(0, 1): "1"}], "real numbers"),
    (from_qubo, [{(0, 1): None}], "real numbers"),
    (from_qubo, [{(0, 1): 1j}], "real numbers"),
    (from_qubo, [{(0, 1): 10**400}], "real numbers"),
    (from_qubo, [{(0, 1): np.inf}], "finite"),
    (from_qubo, [{(0, 1): 1.0}, np.nan], "finite"),
    (from_qubo, [np.ones((2, 3))], "square"),
    (from_qubo, [np.ones(4)], "square"),
    (from_qubo, [[[1.0]]], "NumPy or a SciPy matrix"),
    (from_qubo, [np.full((2, 2), np.nan)], "finite"),
    (from_ising, [{}, {("a", "a"): 1.0}], "itself"),
    (from_ising, [[0.0, 0.0], {(0, 2): 1.0}], "names 2"),
    (from_ising, [[0.0, 0.0], not_triangular], "np.triu"),
    (from_ising, [[0.0], np.zeros((2, 2))], "sequence of 2 fields"),
    (from_ising, [{}, {}], "at least one variable"),
    (from_ising, ["ab", {}], "real numbers"),
    (from_graph, [nx.Graph()], "at least one variable"),
    (from_graph, [nx.DiGraph([(0, 1)])], "undirected"),
    (from_graph, [nx.MultiGraph([(0, 1)])], "undirected"),
    (from_graph, [nx.Graph([(0, 0)])], "node 0 has one"),
    (from_graph, [triangle(weight=2.0)], "has none"),
    (from_graph, [nx.Graph([(0, 1, {"weight": np.nan})])], "finite"),
    (from_graph, [nx.Graph([(0, 1, {"weight": "1"})])], "real numbers"),
]


@pytest.mark.parametrize(("function", "arguments", "message"), bad_calls)
def test_bad_input_is_one_clear_line(function, arguments, message):
    keywords = {"interpretation": "ising"} if function is from_graph else {}
    with pytest.raises(InputError) as caught:
        function(*arguments, **keywords)
    assert message in str(caught.value)
    assert str(caught.value).startswith("Argument `")
    assert "\n" not in str(caught.value)


def test_graph_interpretation_is_never_guessed():
    with pytest.raises(TypeError, match="interpretation"):
        from_graph(nx.path_graph(2))
    for call in (from_graph, lambda g, interpretation: to_graph(cubic, interpretation=interpretation)):
        with pytest.raises(InputError, match='"maxcut" or "ising"'):
            call(nx.path_graph(2), interpretation="cut")
    with_field = nx.path_graph(2)
    with_field.nodes[0]["field"] = 1.0
    with pytest.raises(InputError, match="no fields"):
        from_graph(with_field, interpretation="maxcut")
    with pytest.raises(InputError, match="to be a Max-Cut"):
        to_graph(from_ising([1.0, 0.0], {(0, 1): 1.0}), interpretation="maxcut")
    with pytest.raises(InputError, match="halved"):
        from_graph(nx.Graph([(0, 1, {"weight": 5e-324})]), interpretation="maxcut")
