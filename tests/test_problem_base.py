"""The problem: energies and flip costs against a plain loop, on every path, and every refusal."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lehr._types import InputError
from lehr.problem import base
from lehr.problem.base import Lattice, Problem, stack

NUM_SPINS = 9
PATHS = pytest.mark.parametrize("problem", ["dense", "gather"], indirect=True)


def random_terms(seed: int) -> dict[tuple[int, ...], float]:
    """Terms of orders 1, 2 and 3 with no symmetry: unsorted spins, shuffled terms, coefficients of no common size."""
    rng = np.random.default_rng(seed)
    candidates = [c for k, kept in ((1, 4), (2, 17), (3, 8)) for c in rng.permutation(_subsets(k))[:kept]]
    return {tuple(int(i) for i in rng.permutation(c)): float(rng.normal() * 3 ** rng.normal()) for c in candidates}


def _subsets(k: int) -> np.ndarray:
    return np.array(list(itertools.combinations(range(NUM_SPINS), k)))


def loop_energy(terms: dict[tuple[int, ...], float], offset: float, spins) -> float:
    return offset + math.fsum(c * math.prod(int(spins[i]) for i in term) for term, c in terms.items())


@pytest.fixture
def problem(request, monkeypatch) -> Problem:
    monkeypatch.setattr(base, "_DENSE_FILL", {"dense": 0.0, "gather": 4.0}[request.param])
    built = Problem.from_terms(NUM_SPINS, random_terms(5), offset=-1.7)
    assert (built.coupling_matrix is not None) == (request.param == "dense")
    return built


@pytest.fixture
def spins() -> np.ndarray:
    return np.random.default_rng(8).choice(np.array([-1, 1], dtype=np.int8), (2, 6, NUM_SPINS))


@PATHS
def test_energy_is_the_sum_over_terms(problem, spins):
    expected = [[loop_energy(random_terms(5), -1.7, s) for s in block] for block in spins]
    assert problem.energy(spins).dtype == np.float64
    np.testing.assert_allclose(problem.energy(spins), expected, rtol=0, atol=1e-12)


@PATHS
def test_flip_cost_is_the_energy_difference_of_each_flip(problem, spins):
    flipped = spins[..., None, :] * (1 - 2 * np.eye(NUM_SPINS, dtype=np.int8))
    expected = problem.energy(flipped) - problem.energy(spins)[..., None]
    assert len(np.unique(np.abs(expected).round(9))) > 50
    np.testing.assert_allclose(problem.flip_cost(spins), expected, rtol=0, atol=1e-12)


@PATHS
@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_jax_agrees_with_numpy_in_float32(problem, spins, dtype):
    s = jnp.asarray(spins, dtype)
    energy, cost = jax.jit(lambda p, s: p.energy(s))(problem, s), jax.jit(lambda s: problem.flip_cost(s))(s)
    eager = problem.energy(s)
    assert energy.dtype == cost.dtype == eager.dtype == jnp.float32
    np.testing.assert_allclose(energy, problem.energy(spins), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(eager, problem.energy(spins), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(cost, problem.flip_cost(spins), rtol=1e-5, atol=1e-5)


@PATHS
def test_jax_agrees_with_numpy_in_float64(problem, spins):
    with jax.enable_x64(True):
        s = jnp.asarray(spins, jnp.float64)
        energy, cost = jax.jit(lambda p, s: p.energy(s))(problem, s), jax.jit(lambda s: problem.flip_cost(s))(s)
        assert energy.dtype == cost.dtype == jnp.float64
        np.testing.assert_allclose(energy, problem.energy(spins), rtol=0, atol=1e-12)
        np.testing.assert_allclose(cost, problem.flip_cost(spins), rtol=0, atol=1e-12)


@PATHS
@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 1, 3)])
def test_batch_axes_come_out_as_they_went_in(problem, batch):
    s = np.random.default_rng(1).choice([-1.0, 1.0], (*batch, NUM_SPINS))
    for namespace in (np, jnp):
        assert problem.energy(namespace.asarray(s)).shape == batch
        assert problem.flip_cost(namespace.asarray(s)).shape == (*batch, NUM_SPINS)


def test_pairwise_problems_choose_the_matrix_by_their_density():
    ring = {(i, (i + 1) % 64): 1.0 for i in range(64)}
    assert Problem.from_terms(64, ring).coupling_matrix is None
    full = {pair: 1.0 + sum(pair) for pair in itertools.combinations(range(6), 2)}
    matrix = Problem.from_terms(6, full).coupling_matrix
    np.testing.assert_array_equal(matrix, [[0 if i == j else 1.0 + i + j for j in range(6)] for i in range(6)])


def test_the_order_of_terms_and_of_spins_in_a_term_is_irrelevant():
    terms = random_terms(3)
    mirrored = {term[::-1]: c for term, c in reversed(terms.items())}
    first, second = (Problem.from_terms(NUM_SPINS, t) for t in (terms, mirrored))
    assert eqx.tree_equal(first, second)


def test_counts_and_constant_terms():
    problem = Problem.from_terms(NUM_SPINS, {**random_terms(5), (): 0.25}, offset=2.0)
    assert (problem.order, problem.num_terms, float(problem.offset)) == (3, 29, 2.25)
    constant = Problem.from_terms(3, {}, offset=0.5)
    assert (constant.order, constant.num_terms) == (0, 0)
    np.testing.assert_array_equal(constant.energy(np.ones((2, 3))), [0.5, 0.5])
    np.testing.assert_array_equal(constant.flip_cost(np.ones((2, 3))), np.zeros((2, 3)))


@PATHS
def test_field_scale_is_the_spread_of_flip_costs_over_all_states(problem):
    every_state = np.array(list(itertools.product([-1, 1], repeat=NUM_SPINS)))
    expected = np.sqrt((problem.flip_cost(every_state) ** 2).mean(axis=0)) / 2
    np.testing.assert_allclose(problem.field_scale(), expected, rtol=1e-12)


def replicas() -> list[Problem]:
    terms = random_terms(5)
    return [
        Problem.from_terms(
            NUM_SPINS,
            {term: c * (factor + sum(term)) for term, c in terms.items()},
            offset=factor,
            name=f"replica {factor}",
            labels=[f"{factor}-{i}" for i in range(NUM_SPINS)],
            ground_energy=None if factor > 1 else -99.0,
        )
        for factor in (0.5, -1.25, 2.0)
    ]


def test_bare_keeps_the_energy_and_drops_what_names_the_problem(spins):
    named = replicas()[0]
    bare = named.bare()
    assert (bare.name, bare.labels, bare.ground_energy) == ("", None, None)
    assert named.name == "replica 0.5"
    np.testing.assert_array_equal(bare.energy(spins), named.energy(spins))
    assert jax.tree.structure(bare) == jax.tree.structure(replicas()[1].bare())
    jax.jit(lambda p: p.bare().offset)(named)


@pytest.mark.parametrize("fill", [0.0, 4.0])
def test_a_stack_under_vmap_equals_its_members(fill, monkeypatch):
    monkeypatch.setattr(base, "_DENSE_FILL", fill)
    problems = replicas()
    stacked = stack(problems)
    spins = np.random.default_rng(2).choice([-1.0, 1.0], (3, 4, NUM_SPINS))
    s = jnp.asarray(spins, jnp.float32)
    energy = jax.vmap(lambda p, s: p.energy(s))(stacked, s)
    expected = np.stack([p.energy(x) for p, x in zip(problems, spins, strict=True)])
    assert np.abs(expected[0] - expected[1]).min() > 0.1
    np.testing.assert_allclose(energy, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("fill", [0.0, 4.0])
def test_flip_costs_and_scales_of_a_stack_under_vmap_equal_those_of_its_members(fill, monkeypatch):
    monkeypatch.setattr(base, "_DENSE_FILL", fill)
    problems = replicas()
    stacked = stack(problems)
    spins = np.random.default_rng(2).choice([-1.0, 1.0], (3, 4, NUM_SPINS))
    s = jnp.asarray(spins, jnp.float32)
    cost = jax.vmap(lambda p, s: p.flip_cost(s))(stacked, s)
    expected = np.stack([p.flip_cost(x) for p, x in zip(problems, spins, strict=True)])
    np.testing.assert_allclose(cost, expected, rtol=2e-5, atol=2e-5)
    scale = jax.vmap(lambda p: p.field_scale())(stacked)
    np.testing.assert_allclose(scale, np.stack([p.field_scale() for p in problems]), rtol=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        Problem.from_terms(4, {(0, 1): 1.0, (1, 3): 1.0}),
        Problem.from_terms(4, {(0, 1): 1.0}),
        Problem.from_terms(4, {(0, 1): 1.0, (1, 2): 1.0, (3,): 1.0}),
        Problem.from_terms(5, {(0, 1): 1.0, (1, 2): 1.0}),
    ],
)
def test_a_stack_refuses_different_interactions(other):
    first = Problem.from_terms(4, {(0, 1): 1.0, (1, 2): 1.0})
    with pytest.raises(InputError, match=r"same interactions, but number 2 .* differs from number 0"):
        stack([first, first, other])


def test_an_empty_stack_is_refused():
    with pytest.raises(InputError, match="Argument `problems` must hold at least one problem, but it is empty"):
        stack([])


@PATHS
@pytest.mark.parametrize("shape", [(NUM_SPINS - 1,), (4, NUM_SPINS + 1), (NUM_SPINS, 2)])
@pytest.mark.parametrize("namespace", [np, jnp])
def test_spins_of_another_length_are_refused(problem, shape, namespace):
    for method in (problem.energy, problem.flip_cost):
        with pytest.raises(InputError, match="Argument `spins` must hold 9 spins on its last axis, but its shape is"):
            method(namespace.ones(shape))


def pairs(*indices, coefficients=None) -> tuple[np.ndarray, np.ndarray]:
    indices = np.array(indices)
    return indices, np.array([1.0] * len(indices) if coefficients is None else coefficients)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([pairs((0, 1), (2, 1), (1, 0))], "each set of spins once, but one occurs twice"),
        ([pairs((0, 1), (2, 2))], "not hold a spin twice in one term, but one does"),
        ([pairs((0, 1, 0))], "not hold a spin twice in one term, but one does"),
        ([pairs((0, 1), (1, 3))], "indices from 0 to 2, but they run from 0 to 3"),
        ([pairs((0, 1), (-1, 2))], "indices from 0 to 2, but they run from -1 to 2"),
        ([pairs((0, 2**32))], "indices from 0 to 2, but they run from 0 to 4294967296"),
        ([pairs((0, 1), coefficients=[math.nan])], "finite coefficients, but some are NaN or infinite"),
        ([pairs((0, 1), coefficients=[-math.inf])], "finite coefficients, but some are NaN or infinite"),
        ([pairs((0.0, 1.0))], "integer indices, but they are float64"),
        ([pairs((0, 1), coefficients=[1.0, 2.0])], r"indices\[m, k\] with coefficients\[m\], but their shapes are"),
        ([pairs((0, 1), coefficients=[[1.0]])], r"indices\[m, k\] with coefficients\[m\], but their shapes are"),
        ([pairs(0, 1)], r"indices\[m, k\] with coefficients\[m\], but their shapes are"),
        ([(np.zeros((1, 0), int), np.ones(1))], r"indices\[m, k\] with coefficients\[m\], but their shapes are"),
        ([pairs((0, 1)), pairs((1, 2))], r"each order once, but the orders are \[2, 2\]"),
    ],
)
def test_wrong_terms_are_refused(terms, message):
    with pytest.raises(InputError, match=f"^Argument `terms` must (hold )?{message}"):
        Problem(3, terms)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"offset": math.nan}, "Argument `offset` must be a finite number, but it is nan"),
        ({"ground_energy": math.inf}, "Argument `ground_energy` must be a finite number, but it is inf"),
        ({"labels": ["a", "b"]}, "Argument `labels` must name each of the 3 spins once, but it holds 2 labels"),
        ({"labels": ["a", "b", "a"]}, "but it holds 3 labels, 2 of them distinct"),
        ({"lattice": Lattice((2, 2))}, r"Argument `lattice` must have as many sites .* but \(2, 2\) is not 3 sites"),
    ],
)
def test_wrong_metadata_is_refused(metadata, message):
    with pytest.raises(InputError, match=message):
        Problem.from_terms(3, {(0, 1): 1.0}, **metadata)


@pytest.mark.parametrize("num_spins", [0, -2])
def test_a_problem_without_spins_is_refused(num_spins):
    with pytest.raises(InputError, match="Argument `num_spins` must be at least 1, but it is"):
        Problem(num_spins, [])


def test_duplicates_that_differ_only_in_order_are_refused_in_a_mapping():
    with pytest.raises(InputError, match="each set of spins once"):
        Problem.from_terms(3, {(0, 1): 1.0, (1, 0): 2.0})


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_field_scale_of_coefficients_whose_squares_are_beyond_single_precision(factor):
    problem = Problem.from_terms(3, {(0, 1): 3.0 * factor, (1, 2): 4.0 * factor})
    scale = jax.jit(lambda p: p.field_scale())(problem)
    np.testing.assert_allclose(scale / factor, [3.0, 5.0, 4.0], rtol=1e-6)


def test_empty_groups_of_terms_are_no_terms():
    problem = Problem(3, [(np.array([[0, 1]]), np.array([1.0])), (np.zeros((0, 3), int), np.zeros(0))])
    assert problem.order == 2
    assert len(problem.terms) == 1


def test_lattice_must_have_a_known_boundary():
    with pytest.raises(InputError, match="must have the boundary open or periodic, but it is 'cylinder'"):
        Problem.from_terms(4, {(0, 1): 1.0}, lattice=Lattice((2, 2), "cylinder"))
    with pytest.raises(InputError, match="as many sites as there are spins"):
        Problem.from_terms(4, {(0, 1): 1.0}, lattice=Lattice((-2, -2)))
