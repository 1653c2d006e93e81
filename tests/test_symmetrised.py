"""The mean over a group of symmetries against enumeration, and the symmetries that problems are found to have."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import all_states, assert_gradient_is_unbiased, with_random_params
from lehr import (
    RNN1D,
    RNN2D,
    Controls,
    InputError,
    Lattice,
    Linear,
    Problem,
    Settings,
    build_ansatz,
    edwards_anderson,
    newman_moore,
    solve,
)
from lehr.ansatz.choose import kind_of
from lehr.ansatz.symmetrised import Symmetrised, log_means
from lehr.plan import make_plan
from lehr.symmetry import MOST_ELEMENTS, Group, check_unchanged, global_flip, kernel, symmetries, translations

# Spins (x, y) of a 2 x 3 torus, coupled to their neighbours along y and, in fours, to the plaquette.
RING = {(3 * x + y, 3 * x + (y + 1) % 3): 0.7 for x in (0, 1) for y in range(3)}
FOURS = {tuple(sorted((y, (y + 1) % 3, 3 + y, 3 + (y + 1) % 3))): -0.4 for y in range(3)}
PROBLEM = Problem.from_terms(6, RING | FOURS, lattice=Lattice((2, 3), "periodic"))
SPLIT = Problem.from_terms(6, RING, lattice=Lattice((2, 3), "periodic"))  # whose linear ansatz is drawn in two branches
STATES = all_states(6)
CASES = {
    "linear": (lambda: Linear(SPLIT), SPLIT, "translations,kernel"),
    "rnn1d": (lambda: RNN1D(6, hidden=3, order=[2, 0, 5, 1, 4, 3]), PROBLEM, "flip,translations"),
    "rnn2d informed": (lambda: RNN2D((2, 3), hidden=3, problem=PROBLEM), PROBLEM, "kernel"),
}
BETA = 0.6
CONTROLS = {"vca": Controls(jnp.asarray(0.7), None), "vqa": Controls(None, jnp.asarray(0.9))}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=CASES)
def case(request):
    build, problem, kinds = CASES[request.param]
    ansatz = Symmetrised(with_random_params(build()), symmetries(problem, kinds))
    return ansatz.informed(problem, jnp.asarray(BETA)), problem


def log_p(ansatz, states=STATES) -> np.ndarray:
    return np.asarray(ansatz.log_prob(jnp.asarray(states)).sum(1))


def moved(group: Group, number: int, states=STATES) -> np.ndarray:
    """g s, spin by spin."""
    image = np.empty_like(states)
    for i in range(states.shape[1]):
        image[:, i] = group.signs[number, i] * states[:, group.permutations[number, i]]
    return image


def test_group_sizes_of_the_cases():
    sizes = {name: symmetries(problem, kinds).size for name, (_, problem, kinds) in CASES.items()}
    assert sizes == {"linear": 24, "rnn1d": 12, "rnn2d informed": 4}


def test_p_is_the_normalised_symmetric_mean(case):
    ansatz, _ = case
    found = log_p(ansatz)
    p = np.exp(found)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    own = np.exp(log_p(ansatz.ansatz))
    elements = range(ansatz.group.size)
    number = {tuple(state): k for k, state in enumerate(STATES)}
    places = [[number[tuple(state)] for state in moved(ansatz.group, g)] for g in elements]
    np.testing.assert_allclose(p, sum(own[place] for place in places) / len(elements), atol=1e-14)
    for place in places:
        np.testing.assert_allclose(found[place], found, atol=1e-12)
    assert max(np.abs(own[place] - own).max() for place in places) > 0.01


def test_the_network_is_informed():
    told = Symmetrised(Linear(SPLIT), global_flip(SPLIT)).informed(SPLIT, jnp.asarray(BETA)).ansatz
    assert eqx.tree_equal(told, Linear(SPLIT).informed(SPLIT, jnp.asarray(BETA)))
    assert not eqx.tree_equal(told, Linear(SPLIT))


def test_images_and_invariance(case):
    ansatz, problem = case
    images = ansatz.group.images(STATES)
    for number, image in enumerate(images):
        np.testing.assert_array_equal(image, moved(ansatz.group, number))
        np.testing.assert_allclose(problem.energy(image), problem.energy(STATES), atol=1e-12)


def test_samples_and_their_log_probabilities(case):
    ansatz, _ = case
    spins, log_prob = jax.jit(lambda a: a.sample(jax.random.key(1), 4000))(ansatz)
    np.testing.assert_allclose(log_prob, ansatz.log_prob(spins), atol=1e-12)
    states, counts = np.unique(np.asarray(spins), axis=0, return_counts=True)
    expected = np.zeros(64)
    expected[((states < 0) @ (1 << np.arange(5, -1, -1))).astype(int)] = counts
    p = 4000 * np.exp(log_p(ansatz))
    # 5 standard deviations of chi-square with 63 degrees of freedom
    assert ((expected - p) ** 2 / p).sum() < 63 + 5 * np.sqrt(2 * 63)


def test_all_blame_is_on_the_first_spin(case):
    ansatz, _ = case
    log_prob = np.asarray(ansatz.log_prob(jnp.asarray(STATES)))
    assert (np.delete(log_prob, ansatz.order.sites[0], axis=1) == 0).all()
    np.testing.assert_array_equal(ansatz.order.ends, 6)


def test_flips_against_direct_evaluation(case):
    ansatz, _ = case
    states = STATES[::5]
    ratio = ansatz.flip_log_ratio(jnp.asarray(states))
    for i in range(6):
        flipped = np.where(np.arange(6) == i, -states, states)
        np.testing.assert_allclose(ratio[:, i], log_p(ansatz, flipped) - log_p(ansatz, states), atol=1e-11)


@pytest.mark.parametrize("room", [1, 130])
def test_chunks_change_nothing(room):
    """Images of 24 elements, one by one, or four at a time where there is room for five."""
    ansatz, states = (
        Symmetrised(with_random_params(Linear(SPLIT)), symmetries(SPLIT, "translations,kernel")),
        STATES[:4],
    )
    expected, found = (
        log_means(ansatz, jnp.asarray(states), flips=True, **options) for options in ({}, {"room": room})
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)
    scores = (ansatz.scores(jnp.asarray(states), **options).gram() for options in ({}, {"room": room}))
    np.testing.assert_allclose(*scores, atol=1e-12)


def test_scores_are_the_derivatives(case):
    ansatz, _ = case
    states = jnp.asarray(STATES[::5])
    flat, rebuild = jax.flatten_util.ravel_pytree(ansatz.params)

    def mean(flat):
        """ln p from the images one by one."""
        own = eqx.tree_at(lambda a: a.params, ansatz.ansatz, rebuild(flat))
        images = [jnp.asarray(moved(ansatz.group, g, np.asarray(states))) for g in range(ansatz.group.size)]
        return jax.nn.logsumexp(jnp.stack([own.log_prob(image).sum(1) for image in images]), axis=0)

    expected = np.asarray(jax.jacrev(mean)(flat))
    scores = jax.jit(lambda a, s: a.scores(s))(ansatz, states)
    np.testing.assert_allclose(scores.gram(), expected @ expected.T, atol=1e-10)
    assert np.abs(expected).max() > 0.1


def test_gradient_is_unbiased(case):
    assert_gradient_is_unbiased(*case, CONTROLS, tolerance=1e-10)


def test_replicas_and_gradients_of_samples(case):
    """Under vmap over parameters and keys the drawn log-probabilities have the gradients of `log_prob`."""
    ansatz, _ = case
    params = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf), 0.5 * jnp.asarray(leaf)]), ansatz.params)

    def drawn(params, key):
        return eqx.tree_at(lambda a: a.params, ansatz, params).sample(key, 5)

    def given(params, spins):
        return eqx.tree_at(lambda a: a.params, ansatz, params).log_prob(spins)

    keys = jax.random.split(jax.random.key(2), 2)
    spins, _ = jax.vmap(drawn)(params, keys)
    first = jax.vmap(jax.grad(lambda p, key: drawn(p, key)[1].sum()))(params, keys)
    second = jax.vmap(jax.grad(lambda p, s: given(p, s).sum()))(params, spins)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-11), first, second)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(first)) > 0.1


def test_kernels():
    assert [kernel(newman_moore(side)).size for side in (3, 4, 5, 6)] == [4, 1, 1, 16]
    group = kernel(newman_moore(3))
    np.testing.assert_array_equal(group.permutations, np.tile(np.arange(9), (4, 1)))
    ground = newman_moore(3).ground_spins * group.signs
    np.testing.assert_allclose(newman_moore(3).energy(ground), -4.5)
    glass = edwards_anderson(3, seed=2)
    assert sorted(kernel(glass).signs.tolist()) == sorted(global_flip(glass).signs.tolist()) == [[-1] * 9, [1] * 9]
    assert kernel(Problem.from_terms(2, {(0, 1): 1.0, (0,): 0.0})).size == 2
    assert kernel(Problem.from_terms(2, {(0, 1): 1.0, (0,): 0.1})).size == 1


def test_global_flip():
    assert global_flip(PROBLEM).size == global_flip(Problem.from_terms(2, {(0, 1): 1.0, (0,): 0.0})).size == 2
    assert global_flip(Problem.from_terms(2, {(0, 1): 1.0, (0,): 1.0})).size == global_flip(newman_moore(3)).size == 1


def test_translations():
    neighbours = {tuple(sorted((3 * x + y, 3 * x + (y + 1) % 3))): -1.0 for x in range(4) for y in range(3)}
    neighbours |= {tuple(sorted((3 * x + y, 3 * ((x + 1) % 4) + y))): -0.5 for x in range(4) for y in range(3)}
    lattice = Lattice((4, 3), "periodic")
    ferromagnet = Problem.from_terms(12, neighbours, lattice=lattice)
    assert translations(ferromagnet).size == 12
    disordered = Problem.from_terms(12, neighbours | {(0, 1): -1.1}, lattice=lattice)
    assert translations(disordered).size == translations(edwards_anderson(3, seed=2)).size == 1
    striped = Problem.from_terms(12, neighbours | {(0,): 0.2, (1,): 0.2, (2,): 0.2}, lattice=lattice)
    group = translations(striped)  # along the stripe only
    assert group.size == 3
    assert {tuple(row) for row in group.permutations[:, :3]} == {(0, 1, 2), (2, 0, 1), (1, 2, 0)}
    assert translations(Problem.from_terms(12, neighbours)).size == 1


def test_products_are_groups():
    group = symmetries(PROBLEM, "flip,translations,kernel")
    assert group.size == 24  # the flip is in the kernel
    check_unchanged(group, PROBLEM)
    assert symmetries(newman_moore(6), "translations,kernel").size == 36 * 16


FREE = Problem.from_terms(14, {(0, 1): 1.0})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Group([[0, 1, 2], [1, 2, 0]]), "`permutations` must form a group with their signs, but a product"),
        (lambda: Group([[0, 1]], [[-1, -1]]), "`permutations` must form a group"),
        (lambda: Group([[0, 1], [0, 1]]), "`permutations` must form a group"),
        (lambda: Group([[0, 0]]), "`permutations` must hold permutations of the spins"),
        (lambda: Group([[0, 1]], [[1, 0]]), "`signs` must be 1 or -1"),
        (lambda: Group([[0, 1]], [1, 1]), r"`signs` must have the shape \[G, N\]"),
        (lambda: Group(np.zeros((MOST_ELEMENTS + 1, 1), int)), "`permutations` must hold at most 4096 elements"),
        (lambda: kernel(FREE), r"at most 4096 elements, but the kernel of problem has 2\*\*13"),
        (lambda: check_unchanged(global_flip(PROBLEM), newman_moore((2, 3))), "changes that of Newman-Moore 2x3"),
        (lambda: check_unchanged(global_flip(PROBLEM), FREE), "`group` must act on the 14 spins"),
        (lambda: Symmetrised(RNN1D(5), global_flip(PROBLEM)), "`group` must act on the 5 spins of the ansatz"),
        (
            lambda: Symmetrised(Linear(newman_moore((2, 3))), global_flip(PROBLEM)).informed(
                newman_moore((2, 3)), jnp.ones(())
            ),
            "`group` must leave the energy",
        ),
        (lambda: build_ansatz(newman_moore(3), symmetrise="flip"), "has none of the kind 'flip'"),
        (lambda: build_ansatz(newman_moore(4), symmetrise="translations,kernel"), "has none of the kind 'kernel'"),
        (lambda: build_ansatz(newman_moore(3), symmetrise="kernel,rotations"), "or several joined by commas"),
        (
            lambda: solve(PROBLEM, ansatz=Symmetrised(Linear(PROBLEM), global_flip(PROBLEM)), symmetrise="flip"),
            "`symmetrise` must be left out for an ansatz that is symmetrised already",
        ),
        (lambda: solve(PROBLEM, "sa", symmetrise="flip"), "`symmetrise` must be left out for sa"),
    ],
)
def test_errors_in_one_line(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_every_problem_of_a_stack_must_have_the_symmetries():
    other = Problem.from_terms(6, RING | {(0, 1): 0.6}, lattice=SPLIT.lattice, name="disordered")
    with pytest.raises(InputError, match="changes that of disordered"):
        solve([SPLIT, other], symmetrise="translations", num_steps=2)


def test_networks_run_as_the_inner_ones_do():
    """Recurrent networks one after the other, linear ones side by side."""
    linear, network = Linear(PROBLEM), RNN1D(6, hidden=2)
    assert [Symmetrised(q, global_flip(PROBLEM)).side_by_side for q in (linear, network)] == [True, False]


def test_off_by_default_and_told_where_on():
    problem = newman_moore(3)

    def told(ansatz=None, **options):
        settings = Settings(ansatz="rnn1d", ansatz_options={"hidden": 2}, **options)
        return make_plan(
            [problem], settings, {"ansatz": ansatz, "schedule": None, "optimiser": None}
        ).engine.description

    plain = told()
    assert plain.startswith("rnn1d, hidden 2 (")
    assert "symmetris" not in plain
    mean = "symmetrised: p is the mean over"
    assert told(symmetrise="translations,kernel") == f"{plain}; {mean} 36 symmetries (translations,kernel)"
    own = RNN1D(9, hidden=2)
    given = f"RNN1D ({own.num_parameters} parameters): as given"
    assert told(own, symmetrise="kernel") == f"{given}; {mean} 4 symmetries (kernel)"
    assert told(Symmetrised(own, kernel(problem))) == f"Symmetrised{given[5:]}; {mean} 4 symmetries"
    assert kind_of(PROBLEM, Symmetrised(Linear(PROBLEM), global_flip(PROBLEM))) == "linear"
    assert "symmetrised (kernel)" in Settings(symmetrise="kernel").outline
    assert "symmetris" not in Settings().outline


VANILLA = {
    "ansatz": "rnn2d", "ansatz_options": {"informed": False, "hidden": 8}, "temperature": (2.0, 0.1), "seed": 0,
    "num_steps": 200, "num_samples": 40, "num_final_samples": 1000, "replicas": 2, "optimiser": "adam",
    "learning_rate": 0.02,
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"optimiser": "natural", "learning_rate": 0.2}])
def test_all_ground_states_evenly(options):
    """Newman-Moore L = 3 has four."""
    result = solve(newman_moore(3), symmetrise="kernel", **VANILLA | options)
    for replica in range(2):
        shares = _shares(result, replica)
        assert len(shares) == 4
        assert shares.sum() > 0.95
        error = np.sqrt(3 / 16 / 1000)
        np.testing.assert_allclose(shares / shares.sum(), 0.25, atol=4 * error)


def test_without_symmetries_the_same_network_collapses():
    result = solve(newman_moore(3), **VANILLA)
    assert max(len(_shares(result, replica)) for replica in range(2)) == 1


def _shares(result, replica: int) -> np.ndarray:
    """The shares of the samples that are in each of the ground states found."""
    ground = result.samples[replica][result.energies[replica] < -4.5 + 1e-9]
    return np.unique(ground, axis=0, return_counts=True)[1] / len(result.samples[replica])
