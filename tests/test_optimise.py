"""Scores and natural gradient against enumeration, for every kind of network."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import all_states, mixed_problem, with_random_params
from lehr import RNN1D, RNN2D, DilatedRNN, Lattice, Linear, VariationalAnnealing, newman_moore, solve
from lehr.anneal import informed_at
from lehr.ansatz.base import Ansatz, with_params
from lehr.ansatz.scores import Jacobian
from lehr.objective import flipped_at_random, local_values
from lehr.optimise import NaturalGradient
from lehr.schedule import Controls, protocol

PROBLEM = mixed_problem(6, lattice=Lattice((2, 3)))
STATES = all_states(6)
ANSATZE = {
    "linear": lambda: Linear(PROBLEM),
    "rnn1d": lambda: RNN1D(6, hidden=3, order=[2, 0, 5, 1, 4, 3]),
    "rnn1d tensorised sites": lambda: RNN1D(6, cell="tensorised", hidden=2, shared=False),
    "rnn2d gru": lambda: RNN2D((2, 3), cell="gru", hidden=3),
    "rnn2d gru sites informed": lambda: RNN2D((2, 3), cell="gru", hidden=2, shared=False, problem=PROBLEM),
    "rnn2d informed": lambda: RNN2D((2, 3), hidden=3, problem=PROBLEM),
    "dilated informed": lambda: DilatedRNN(6, hidden=3, problem=PROBLEM),
    "dilated gru shared": lambda: DilatedRNN(6, hidden=2, cell="gru", shared=True),
}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def jacobian(ansatz: Ansatz, spins) -> tuple[np.ndarray, np.ndarray]:
    """ln p and its derivatives [M, P], by automatic differentiation of each sample."""
    flat, rebuild = jax.flatten_util.ravel_pytree(ansatz.params)

    @jax.jit
    def log_prob(flat):
        return with_params(ansatz, rebuild(flat)).log_prob(jnp.asarray(spins)).sum(1)

    return np.asarray(log_prob(flat)), np.asarray(jax.jit(jax.jacrev(log_prob))(flat))


def flattened(tree) -> np.ndarray:
    return np.asarray(jax.flatten_util.ravel_pytree(tree)[0])


@pytest.mark.parametrize("name", ANSATZE)
def test_scores_are_the_jacobian(name):
    ansatz = with_random_params(ANSATZE[name]())
    spins = STATES[::5]
    weights = np.random.default_rng(0).normal(size=len(spins))
    _, expected = jacobian(ansatz, spins)
    for scores in (ansatz.scores(jnp.asarray(spins)), Ansatz.scores(ansatz, jnp.asarray(spins))):
        np.testing.assert_allclose(scores.gram(), expected @ expected.T, atol=1e-10)
        np.testing.assert_allclose(flattened(scores.pull(jnp.asarray(weights))), weights @ expected, atol=1e-10)


@pytest.mark.parametrize("name", ANSATZE)
def test_one_pass_samples_and_scores(name):
    ansatz, key = with_random_params(ANSATZE[name]()), jax.random.key(2)
    spins, log_prob, scores = ansatz.sample_scored(key, 7)
    drawn, expected = ansatz.sample(key, 7)
    np.testing.assert_array_equal(spins, drawn)
    np.testing.assert_allclose(log_prob, expected, atol=1e-12)
    np.testing.assert_allclose(scores.gram(), ansatz.scores(drawn).gram(), atol=1e-12)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=7))
    np.testing.assert_allclose(
        flattened(scores.pull(weights)), flattened(ansatz.scores(drawn).pull(weights)), atol=1e-12
    )


@pytest.mark.parametrize("name", ["linear", "rnn2d informed"])
def test_update_is_the_fisher_preconditioned_gradient(name):
    """With every state weighted by p, minSR is -rate (F + lambda)^-1 g: exact Fisher matrix F, exact gradient g."""
    ansatz = with_random_params(ANSATZE[name]())
    log_prob, scores = jacobian(ansatz, STATES)
    p = np.exp(log_prob)
    target = np.random.default_rng(1).normal(size=64)
    centred = scores - p @ scores
    fisher, gradient = centred.T @ (p[:, None] * centred), centred.T @ (p * (target - p @ target))
    natural = NaturalGradient(damping=1e-3, clip=np.inf, most_change=np.inf)
    updates, norm = natural.updates(ansatz.scores(jnp.asarray(STATES)), jnp.asarray(target), jnp.asarray(p), 0.3)
    damped = fisher + (1e-3 * np.trace(fisher) / 64 + 1e-5) * np.eye(len(fisher))
    np.testing.assert_allclose(flattened(updates), -0.3 * np.linalg.solve(damped, gradient), atol=1e-9)
    assert float(norm) == pytest.approx(np.linalg.norm(gradient))


def test_step_control():
    """A step that would change ln p by more than allowed is shortened, not turned; far targets are moved nearer."""
    scores = Jacobian(jnp.asarray(np.random.default_rng(2).normal(size=(20, 30))))
    weights = jnp.full(20, 1 / 20)
    target = jnp.asarray(np.random.default_rng(3).normal(size=20)).at[4].set(40.0)
    options = {"damping": 1e-6, "clip": np.inf}
    whole, _ = NaturalGradient(**options, most_change=np.inf).updates(scores, target, weights, 0.5)
    short, _ = NaturalGradient(**options, most_change=0.25).updates(scores, target, weights, 0.5)
    centred = scores.leaves - scores.leaves.mean(0, keepdims=True)
    assert float(jnp.abs(centred @ whole).max()) > 5
    assert float(jnp.abs(centred @ short).max()) == pytest.approx(0.25)
    np.testing.assert_allclose(short / jnp.abs(short).max(), whole / jnp.abs(whole).max(), atol=1e-12)
    spread = float(target.std())
    clipped, _ = NaturalGradient(damping=1e-6, clip=2.0, most_change=np.inf).updates(scores, target, weights, 0.5)
    nearer = target.at[4].set(target.mean() + 2 * spread)
    expected, _ = NaturalGradient(**options, most_change=np.inf).updates(scores, nearer, weights, 0.5)
    np.testing.assert_allclose(clipped, expected, atol=1e-8)


@pytest.mark.parametrize(
    ("most_divergence", "divergence", "expected"),
    [
        (0.25, jnp.square, 2.0),  # 1/4 of the step is the first that goes no farther than 1/2 from 1.5 to 2
        (np.inf, jnp.square, 3.5),
        (0.25, lambda way: way + jnp.inf, 1.5 + 2 / 1024),
        (0.25, lambda way: jnp.where(way > 0.1, jnp.nan, 0.0), 1.5 + 2 / 32),
    ],
)
def test_steps_are_halved_until_the_distribution_is_near(most_divergence, divergence, expected):
    natural = NaturalGradient(most_divergence=most_divergence)
    start, updates = {"bias": jnp.asarray([1.5])}, {"bias": jnp.asarray([2.0])}
    moved = natural.moved(start, updates, lambda params: divergence(params["bias"][0] - 1.5))
    assert float(moved["bias"][0]) == expected


def test_a_step_leaves_no_distribution_at_once():
    """The divergence of p after a step from p before it, from the table of all states: small, but for sampling noise,
    where it is asked for, and large where it is not."""
    ansatz, schedule = (
        ANSATZE["rnn2d informed"](),
        protocol("vca", temperature=(0.5, 0.1), field=(0.0, 0.0), num_annealing_steps=5),
    )

    def divergence(most):
        natural = NaturalGradient(clip=np.inf, most_change=np.inf, most_divergence=most)
        annealing = VariationalAnnealing(schedule, num_samples=400, learning_rate=5.0, optimiser=natural)
        state = annealing.init(PROBLEM, ansatz, jax.random.key(1))
        before, after = (
            np.asarray(informed_at(schedule(0), PROBLEM, one.ansatz)[0].log_prob(jnp.asarray(STATES)).sum(1))
            for one in (state, annealing.step(state)[0])
        )
        return np.exp(before) @ (before - after)

    assert divergence(np.inf) > 1
    assert 0.05 < divergence(0.25) < 0.4


def test_nothing_moves_where_all_samples_agree():
    updates, norm = NaturalGradient().updates(Jacobian(jnp.ones((4, 3))), jnp.ones(4), jnp.full(4, 0.25), 1.0)
    assert not np.asarray(updates).any()
    assert float(norm) == 0


def test_weights_of_the_flip_mixture():
    """p / q with q = (1 - mu) p + mu times p with one random spin flipped, from the table of all states."""
    ansatz = with_random_params(ANSATZE["rnn2d informed"]())
    states = jnp.asarray(STATES)
    log_prob = ansatz.log_prob(states)
    p = np.exp(np.asarray(log_prob.sum(1)))
    mixed = 0.7 * p + 0.3 * (STATES @ STATES.T == 4) @ p / 6
    controls = Controls(None, jnp.asarray(0.5))
    values = local_values(PROBLEM, ansatz, states, log_prob, controls, 0.3)
    np.testing.assert_allclose(values.weights, p / mixed / (p / mixed).sum(), atol=1e-12)
    plain = local_values(PROBLEM, ansatz, states, log_prob, controls)
    np.testing.assert_allclose(plain.weights, 1 / 64)
    np.testing.assert_allclose(values.free_energy, plain.free_energy)


def test_flipped_at_random():
    spins = jnp.ones((6000, 5))
    flips = np.asarray(flipped_at_random(jax.random.key(0), spins, 0.3) < 0)
    assert set(flips.sum(1)) == {0, 1}
    error = np.sqrt(0.06 * 0.94 / 6000)
    np.testing.assert_allclose(flips.mean(0), 0.06, atol=4 * error)


def test_rounding_is_not_inverted():
    """Scores that are equal but for rounding leave a matrix of rounding errors, which need not be positive."""
    noise = np.random.default_rng(4).normal(size=(300, 40, 30))
    for equal in (0.3 + 1e-7 * noise).astype(np.float32):
        target = jnp.asarray(equal[:, 0] - 0.3)
        weights = jnp.full(40, 1 / 40, jnp.float32)
        updates, norm = NaturalGradient().updates(Jacobian(jnp.asarray(equal)), target, weights, 0.2)
        assert np.isfinite(updates).all()
        assert np.abs(updates).max() < 1
        assert np.isfinite(norm)


def test_certain_networks_stay_where_they_are():
    """Where p is certain of one state, scores vanish and targets are rounding: nothing may be blown up by it."""
    rng = np.random.default_rng(5)
    for certainty in 10.0 ** -np.arange(3, 12):
        scores = Jacobian(jnp.asarray(certainty * (1 + 1e-6 * rng.normal(size=(40, 30)))))
        target = jnp.asarray(1e-5 * rng.normal(size=40))
        updates, _ = NaturalGradient().updates(scores, target, jnp.full(40, 1 / 40), 0.2)
        assert np.abs(updates).max() < 1e-3


@pytest.mark.parametrize("method", ["vca", "vqa"])
def test_natural_gradient_finds_all_ground_states(method):
    """Newman-Moore L = 3 has four; the entropy of the samples says how evenly they are drawn."""
    options = {"temperature": (1.0, 0.1)} if method == "vca" else {"transverse_field": (1.2, 0.05)}
    result = solve(
        newman_moore(3), method, seed=1, optimiser="natural", learning_rate=0.3, num_steps=150, ramp="linear",
        num_final_samples=1000, replicas=1, **options,
    )  # fmt: skip
    ground = result.energies[0] < -4.5 + 1e-9
    assert ground.mean() > 0.9
    _, counts = np.unique(result.samples[0][ground], axis=0, return_counts=True)
    share = counts / counts.sum()
    assert len(counts) == 4
    assert -(share * np.log(share)).sum() > 0.9 * np.log(4)


def test_rate_of_an_object_is_the_learning_rate():
    """A `NaturalGradient` of one's own takes the learning rate of the settings; by name it is the default one."""
    options = {"seed": 0, "num_steps": 5, "replicas": 1, "num_final_samples": 20, "learning_rate": 0.1}
    named = solve(newman_moore(3), optimiser="natural", **options)
    given = solve(newman_moore(3), optimiser=NaturalGradient(), **options)
    other = solve(newman_moore(3), optimiser=NaturalGradient(damping=0.5), **options)
    np.testing.assert_array_equal(named.log_probs, given.log_probs)
    assert not np.array_equal(named.log_probs, other.log_probs)
    assert eqx.tree_equal(NaturalGradient(), NaturalGradient(0.01, 3.0, 1.0))
