"""Conditioning sets and the linear ansatz, against enumeration."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from scipy.stats import chisquare

from enumeration import all_states, energies, mixed_problem, with_random_params
from lehr import InputError, Lattice, Linear, Problem, edwards_anderson, newman_moore, sherrington_kirkpatrick
from lehr.ansatz import blocks
from lehr.ansatz.dissection import conditioning_sets, neighbours, nested_dissection

ORDERS = {"dissection": None, "given": (3, 0, 5, 1, 4, 2)}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


# One program per problem and question: evaluated operation by operation, the tests would mostly compile.
log_prob_of = eqx.filter_jit(lambda ansatz, spins: ansatz.log_prob(spins))
sample_of = eqx.filter_jit(lambda ansatz, key, num_samples: ansatz.sample(key, num_samples))
flips_of = eqx.filter_jit(lambda ansatz, spins: ansatz.flip_log_ratio(spins))


@eqx.filter_jit
def flipped_log_prob(ansatz, spins):
    """ln p of all spins with spin i flipped, for every i, directly."""
    signs = 1 - 2 * jnp.eye(spins.shape[1])
    return jax.vmap(lambda sign: ansatz.log_prob(spins * sign[None]))(signs)


def _informed(problem, sites=None, scale=0.4):
    return with_random_params(Linear(problem, sites), scale=scale).informed(problem, jnp.asarray(0.8))


def _problems():
    rng = np.random.default_rng(0)
    dense = {pair: rng.normal() for pair in itertools.combinations(range(6), 2)}
    tree = {(0, 1): 1.0, (1, 2): -0.5, (1, 3): 0.3, (3, 4): 0.9, (3, 5): -1.1}
    return {
        "mixed": mixed_problem(6),
        "dense": Problem.from_terms(6, dense),
        "tree": Problem.from_terms(6, tree),
        "two parts": Problem.from_terms(6, {(0, 4): 1.0, (1, 5): 0.5, (1, 2): -0.4}),
        "four-body": Problem.from_terms(6, {(0, 1, 2, 3): 0.7, (2, 4, 5): -1.2, (1,): 0.2}),
    }


PROBLEMS = _problems()


@pytest.mark.parametrize("sites", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_conditioning_sets_are_exact_and_minimal(name, sites):
    """The Boltzmann conditional of a spin is a function of its parents, and of no smaller set.

    A term of many spins may leave no trace once one of them is summed over, so only the first half holds for those.
    """
    problem = PROBLEMS[name]
    sets = conditioning_sets(problem, nested_dissection(problem) if sites is None else np.array(sites))
    order = sets.order.sites
    states = all_states(problem.num_spins)[:, order]
    weight = np.exp(-0.9 * energies(problem))
    for t in range(problem.num_spins):
        prefix, group = np.unique(states[:, :t], axis=0, return_inverse=True)
        up = np.bincount(group, weight * (states[:, t] > 0)) / np.bincount(group, weight)
        for dropped in [None, *sets.parents[t]]:
            kept = [p for p in sets.parents[t] if p != dropped]
            _, same = np.unique(prefix[:, kept], axis=0, return_inverse=True)
            spread = max(np.ptp(up[same == value]) for value in np.unique(same))
            if dropped is None:
                assert spread < 1e-12
            elif name != "four-body":
                assert spread > 1e-6


@pytest.mark.parametrize("sites", ORDERS.values(), ids=ORDERS)
def test_subtrees_hold_all_that_depends_on_a_spin(sites):
    problem = PROBLEMS["mixed"]
    sets = conditioning_sets(problem, nested_dissection(problem) if sites is None else np.array(sites))
    for t, parents in enumerate(sets.parents):
        assert all(p < t < sets.order.ends[p] for p in parents)
    assert sets.order.ends[0] == problem.num_spins


def test_lattice_dissection_has_the_known_number_of_parameters():
    counts = [Linear(edwards_anderson(side, seed=1)).num_parameters for side in (20, 40)]
    assert counts == [5230, 29612]


@pytest.mark.parametrize("boundary", ["open", "periodic"])
def test_lattice_cuts_separate(boundary):
    """Every order of a rectangle, open or periodic, draws each spin once and keeps the parents few."""
    problem = edwards_anderson((5, 8), boundary=boundary, seed=2)
    sets = conditioning_sets(problem, nested_dissection(problem))
    assert sorted(sets.order.sites.tolist()) == list(range(40))
    assert max(map(len, sets.parents)) <= (8 if boundary == "open" else 22)
    assert (sets.order.ends < 40).any()


def test_general_graphs_are_dissected():
    graph = nx.random_regular_graph(3, 60, seed=1)
    problem = Problem.from_terms(60, {tuple(sorted(edge)): 1.0 for edge in graph.edges})
    found = sum(map(len, conditioning_sets(problem, nested_dissection(problem)).parents))
    assert found < 0.7 * sum(map(len, conditioning_sets(problem, np.arange(60)).parents))


def test_neighbours():
    assert neighbours(newman_moore((3, 4)))[0] == {1, 4, 3, 7, 8, 9} - {1, 9} | {1, 9}


def test_order_must_list_every_spin():
    with pytest.raises(InputError, match=r"`sites` must list each of the 6 spins once"):
        Linear(PROBLEMS["tree"], [0, 1, 2, 3, 4, 4])


@pytest.mark.parametrize("sites", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_distribution(name, sites):
    """Normalised; ln p of the drawing pass is that of log_prob; flips and gradients agree with plain evaluation."""
    problem = PROBLEMS[name]
    ansatz = _informed(problem, sites)
    everything = jnp.asarray(all_states(problem.num_spins))
    assert np.exp(log_prob_of(ansatz, everything).sum(1)).sum() == pytest.approx(1, abs=1e-13)

    spins, log_prob = sample_of(ansatz, jax.random.key(1), 40)
    np.testing.assert_allclose(log_prob_of(ansatz, spins), log_prob, atol=1e-13)
    ratio = flipped_log_prob(ansatz, spins).sum(2).T - log_prob.sum(1, keepdims=True)
    np.testing.assert_allclose(flips_of(ansatz, spins), ratio, atol=1e-12)

    weights = jnp.asarray(np.random.default_rng(2).normal(size=log_prob.shape))

    @jax.jit
    def both(params):
        def at(params):
            return eqx.tree_at(lambda a: a.params, ansatz, params)

        drawn = jax.grad(lambda p: (at(p).sample(jax.random.key(1), 40)[1] * weights).sum())(params)
        return drawn, jax.grad(lambda p: (at(p).log_prob(spins) * weights).sum())(params)

    drawn, given = both(ansatz.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-11), drawn, given)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(given)) > 1e-3


@pytest.mark.parametrize("name", PROBLEMS)
def test_causality(name):
    """Flipping a spin moves no conditional drawn before it, and only those that have it among their parents."""
    problem = PROBLEMS[name]
    ansatz = _informed(problem)
    spins, log_prob = sample_of(ansatz, jax.random.key(3), 25)
    position = ansatz.order.positions
    moved = np.abs(flipped_log_prob(ansatz, spins) - log_prob[None]).max(1) > 1e-9
    sets = conditioning_sets(problem, nested_dissection(problem))
    for i, j in itertools.permutations(range(problem.num_spins), 2):
        assert moved[i, j] == (position[i] in sets.parents[position[j]])


def test_starts_exact_to_first_order_at_high_temperature():
    problem = PROBLEMS["mixed"]
    gaps = []
    for beta in (0.02, 0.01):
        ansatz = Linear(problem).informed(problem, jnp.asarray(beta))
        exact = np.exp(-beta * energies(problem))
        p = np.exp(log_prob_of(ansatz, jnp.asarray(all_states(6))).sum(1))
        gaps.append(np.abs(p * 64 - exact / exact.mean()).max())
    assert 3.5 < gaps[0] / gaps[1] < 4.5


@pytest.mark.parametrize("name", ["mixed", "dense"])
def test_samples_follow_the_distribution(name):
    problem = PROBLEMS[name]
    ansatz = _informed(problem, scale=0.2)
    spins, _ = sample_of(ansatz, jax.random.key(7), 40_000)
    index = ((1 - np.asarray(spins)) / 2 @ 2.0 ** np.arange(5, -1, -1)).astype(int)
    expected = np.exp(log_prob_of(ansatz, jnp.asarray(all_states(6))).sum(1)) * len(spins)
    common = expected > 5
    counts = np.bincount(index, minlength=64)
    observed = [*counts[common], counts[~common].sum()]
    assert chisquare(observed, [*expected[common], expected[~common].sum()]).pvalue > 1e-3


def test_long_runs_are_cut_into_blocks_that_agree(monkeypatch):
    problem = sherrington_kirkpatrick(9, seed=1)
    whole = _informed(problem, scale=0)
    monkeypatch.setattr(blocks, "_LONGEST_RUN", 2)
    cut = _informed(problem, scale=0)
    assert len(cut.buckets[0].rows) > 1
    spins, log_prob = sample_of(whole, jax.random.key(0), 30)
    again, cut_log_prob = sample_of(cut, jax.random.key(0), 30)
    np.testing.assert_array_equal(again, spins)
    np.testing.assert_allclose(cut_log_prob, log_prob, atol=1e-12)


def test_program_does_not_grow_with_the_problem():
    """The reference's program follows the number of buckets, which the cost model bounds."""
    sizes = {}
    for side in (12, 48):
        ansatz = Linear(edwards_anderson(side, seed=1))
        ansatz = eqx.tree_at(lambda a: a.tables, ansatz, None, is_leaf=lambda x: x is None)
        program = jax.make_jaxpr(lambda key, ansatz=ansatz: ansatz.sample(key, 4))(jax.random.key(0))
        sizes[side] = len(str(program).splitlines()) / len(ansatz.buckets)
        assert len(ansatz.buckets) <= 10
    assert sizes[48] == pytest.approx(sizes[12], rel=0.4)
    raster = Linear(edwards_anderson(24, seed=1), np.arange(576))
    assert len(raster.buckets) <= 2


def test_padding_is_not_counted():
    chain = Problem.from_terms(64, {(i, i + 1): 1.0 for i in range(63)}, lattice=Lattice((64,)))
    assert Linear(chain).num_parameters == 2 * 64 + sum(
        map(len, conditioning_sets(chain, nested_dissection(chain)).parents)
    )


def test_log_prob_has_second_derivatives():
    """Of ln p = ln sigmoid(b s) in its bias b: -p(1 - p)."""
    ansatz = with_random_params(Linear(Problem.from_terms(2, {(0,): 0.5, (1,): -1.0})), seed=3)
    spins = jnp.array([[1.0, -1.0]])

    def log_prob(bias):
        return eqx.tree_at(lambda a: a.params.bias, ansatz, bias).log_prob(spins)[0]

    bias = jnp.asarray(ansatz.params.bias)
    p = np.exp(np.asarray(log_prob(bias)))
    found = np.asarray(jax.hessian(log_prob)(bias)).sum(2).sum(1)
    np.testing.assert_allclose(found, -p * (1 - p), rtol=1e-5)
