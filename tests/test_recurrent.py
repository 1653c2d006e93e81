"""Recurrent ansätze against enumeration and against the papers' formulas written out site by site."""

import itertools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import stats

from lehr._types import InputError
from lehr.ansatz import scan
from lehr.ansatz.base import with_params
from lehr.ansatz.cells import make_cell
from lehr.ansatz.dilated import DilatedRNN
from lehr.ansatz.order import earlier_neighbours, given, raster, zigzag
from lehr.ansatz.rnn1d import RNN1D
from lehr.ansatz.rnn2d import RNN2D
from lehr.problem.base import Problem

CHAIN_ORDER, DILATED_ORDER = [3, 0, 4, 1, 2], [2, 5, 0, 6, 3, 1, 4]
HIDDEN = 3


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def randomised(ansatz, seed=0):
    """The ansatz with every parameter, biases included, away from zero."""
    leaves, structure = jax.tree.flatten(ansatz.params)
    rng = np.random.default_rng(seed)
    leaves = [jnp.asarray(rng.normal(0.1, 0.7, leaf.shape)) for leaf in leaves]
    return with_params(ansatz, jax.tree.unflatten(structure, leaves))


def make(name):
    geometry, cell, sharing, order = name.split("-")
    options = {"cell": cell, "hidden": HIDDEN, "shared": sharing == "shared"}
    if geometry == "1d":
        return randomised(RNN1D(5, order=CHAIN_ORDER if order == "given" else None, **options))
    if geometry == "dilated":
        return randomised(DilatedRNN(7, order=DILATED_ORDER if order == "given" else None, **options))
    return randomised(RNN2D((2, 3) if geometry == "2x3" else (3, 2), order=order, **options))


CELLS, SHARING = ("vanilla", "gru", "tensorised"), ("shared", "sites")
CASES = [
    "-".join(case)
    for case in (
        *itertools.product(["1d"], CELLS, SHARING, ["plain", "given"]),
        *itertools.product(["2x3", "3x2"], CELLS, SHARING, ["raster", "zigzag"]),
        *itertools.product(["dilated"], CELLS[:2], SHARING, ["plain", "given"]),
    )
]
# Both orders and both shapes share compiled programs, so the full product is cheap for `log_prob` only.
ONE_ORDER = [case for case in CASES if case.endswith(("given", "zigzag")) and not case.startswith("3x2")]
A_FEW = [
    "1d-tensorised-shared-given",
    "1d-gru-sites-given",
    "2x3-vanilla-shared-zigzag",
    "2x3-tensorised-sites-zigzag",
    "dilated-gru-shared-given",
    "dilated-vanilla-sites-given",
]


def all_states(num_spins):
    """All 2^N states; row k holds the binary digits of k, spin 0 first, up = 1."""
    return 2 * ((np.arange(2**num_spins)[:, None] >> np.arange(num_spins)[::-1]) & 1).astype(float) - 1


def row_of(states):
    return ((np.asarray(states) > 0) @ (1 << np.arange(states.shape[-1])[::-1])).astype(int)


def enumerated(ansatz):
    """All states and the conditional log-probabilities of each, [2^N, N]."""
    states = jnp.asarray(all_states(len(ansatz.order.sites)))
    return states, np.asarray(ansatz.log_prob(states))


def expected_flips(states, log_prob):
    """ln p(s^i) - ln p(s) of every state and site, from the table of all states."""
    flipped = np.asarray(states)[:, None] * (1 - 2 * np.eye(states.shape[1]))
    return log_prob.sum(1)[row_of(flipped)] - log_prob.sum(1)[:, None]


# --- the papers' formulas, written out; nothing below is shared with the library -------------------------------------


def elu(x):
    return np.where(x.real > 0, x, np.expm1(np.where(x.real > 0, 0, x)))


def affine(values, params):
    return np.einsum("mk,kd->md", values, params.kernel) + params.bias


def reference_layer(cell, params, states, inputs):
    """One layer, from lists of [M, ...] arrays."""
    h, x = np.concatenate(states, 1), np.concatenate(inputs, 1)
    if cell == "vanilla":
        return elu(affine(np.concatenate([h, x], 1), params))
    if cell == "tensorised":
        tensor = params.kernel.reshape(x.shape[1], h.shape[1], -1)
        return elu(np.einsum("mq,qpd,mp->md", x, tensor, h) + params.bias)
    gates = 1 / (1 + np.exp(-affine(np.concatenate([h, x], 1), params["gates"])))
    r, z = gates[:, : h.shape[1]], gates[:, h.shape[1] :]
    new = elu(affine(np.concatenate([r * h, x], 1), params["candidate"]))
    merged = h @ params["merge"].kernel if len(states) > 1 else h
    return z * merged + (1 - z) * new


def reference_log_prob(name, params, spins):
    """Conditionals [M, N] of `spins`; analytic in `params`, so complex parameters give exact derivatives."""
    geometry, cell, sharing, order = name.split("-")
    spins, params = np.asarray(spins), jax.tree.map(np.asarray, params)
    num_samples, num_spins = spins.shape
    zero, nobody = np.zeros((num_samples, HIDDEN)), np.zeros((num_samples, 2))
    onehot = {i: np.stack([(1 + spins[:, i]) / 2, (1 - spins[:, i]) / 2], 1) for i in range(num_spins)}
    lx, ly = {"2x3": (2, 3), "3x2": (3, 2)}.get(geometry, (1, num_spins))
    if order in ("raster", "zigzag"):
        rows = [range(ly) if order == "raster" or x % 2 == 0 else range(ly - 1, -1, -1) for x in range(lx)]
        sequence = [x * ly + y for x in range(lx) for y in rows[x]]
    else:
        permutation = {"1d": CHAIN_ORDER, "dilated": DILATED_ORDER}[geometry]
        sequence = permutation if order == "given" else list(range(num_spins))
    state, result = {}, [None] * num_spins
    for t, i in enumerate(sequence):
        own = params if sharing == "shared" else jax.tree.map(lambda leaf, t=t: leaf[t], params)
        before = sequence[t - 1] if t else None
        if geometry == "dilated":
            top = onehot.get(before, nobody)
            for level, layer in enumerate(own["layers"]):
                top = state[t, level] = reference_layer(cell, layer, [state.get((t - 2**level, level), zero)], [top])
        else:
            seen = [before]
            if geometry != "1d":
                x, y = divmod(i, ly)
                step = -1 if order == "raster" or x % 2 == 0 else 1
                seen = [i - ly if x > 0 else None, i + step if 0 <= y + step < ly else None]
            read, inputs = [state.get(j, zero) for j in seen], [onehot.get(j, nobody) for j in seen]
            top = state[i] = reference_layer(cell, own["layers"][0], read, inputs)
        up, down = affine(top, own["head"]).T
        result[i] = np.where(spins[:, i] > 0, up, down) - np.log(np.exp(up) + np.exp(down))
    return np.stack(result, 1)


def check_gradient(name, params, gradient, spins, weights):
    """Compare with the derivative of the written-out formulas along random directions, exact by a complex step."""
    rng = np.random.default_rng(2)
    for _ in range(4):
        along = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
        tilted = jax.tree.map(lambda leaf, way: np.asarray(leaf) + 1e-30j * way, params, along)
        expected = (reference_log_prob(name, tilted, spins).imag / 1e-30 * weights).sum()
        slope = sum(jax.tree.leaves(jax.tree.map(lambda g, way: (g * way).sum(), gradient, along)))
        np.testing.assert_allclose(slope, expected, rtol=1e-10, atol=1e-10)


# --- exact -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_normalised_causal_and_as_in_the_papers(name):
    ansatz = make(name)
    states, log_prob = enumerated(ansatz)
    np.testing.assert_allclose(np.exp(log_prob.sum(1)).sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(log_prob, reference_log_prob(name, ansatz.params, states), atol=1e-12)
    sites = ansatz.order.sites
    shape = {"2x3": (2, 3), "3x2": (3, 2)}.get(name.split("-")[0])
    for t, site in enumerate(sites):
        flipped = log_prob[row_of(np.where(np.arange(len(sites)) == site, -states, states))]
        moved = np.abs(flipped - log_prob).max(0)
        np.testing.assert_allclose(moved[sites[:t]], 0, atol=1e-15)
        np.testing.assert_allclose(np.exp(flipped[:, site]) + np.exp(log_prob[:, site]), 1, rtol=1e-12)
        for later in sites[t + 1 :]:
            # In raster order nothing travels backwards along a row; otherwise every later spin depends on this one.
            hears = not name.endswith("raster") or later % shape[1] >= site % shape[1]
            assert (moved[later] > 1e-6) == hears


@jax.jit
def draw_and_pull(ansatz, key, weights):
    """Spins, their log-probabilities, and the gradient of the weighted sum of these, all from one sampling pass."""
    log_prob, pull, spins = jax.vjp(
        lambda p: with_params(ansatz, p).sample(key, len(weights))[::-1], ansatz.params, has_aux=True
    )
    return spins, log_prob, pull(weights)[0]


@pytest.mark.parametrize("name", ONE_ORDER)
def test_sampling_pass_is_the_log_probability_and_its_gradient(name):
    ansatz = make(name)
    states, log_prob = enumerated(ansatz)
    weights = np.random.default_rng(1).normal(size=states.shape)
    spins, drawn, gradient = draw_and_pull(ansatz, jax.random.key(3), weights)
    np.testing.assert_allclose(drawn, log_prob[row_of(spins)], atol=1e-13)
    assert min(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) > 1e-3
    check_gradient(name, ansatz.params, gradient, spins, weights)


@pytest.mark.parametrize("name", ["2x3-gru-shared-zigzag", "dilated-vanilla-sites-given"])
def test_gradient_of_log_prob(name):
    ansatz = make(name)
    states = jnp.asarray(all_states(len(ansatz.order.sites)))
    weights = np.random.default_rng(1).normal(size=states.shape)
    gradient = jax.grad(lambda p: (with_params(ansatz, p).log_prob(states) * weights).sum())(ansatz.params)
    check_gradient(name, ansatz.params, gradient, states, weights)


@pytest.mark.parametrize("name", ["1d-gru-shared-given", "2x3-tensorised-sites-zigzag", "dilated-vanilla-sites-given"])
def test_samples_follow_the_enumerated_distribution(name):
    ansatz = make(name)
    _, log_prob = enumerated(ansatz)
    spins, _ = ansatz.sample(jax.random.key(7), 40_000)
    assert np.isin(spins, (-1, 1)).all()
    expected = 40_000 * np.exp(log_prob.sum(1))
    counts = np.bincount(row_of(spins), minlength=len(expected)).astype(float)
    rare = expected < 5  # pooled, as the test demands
    pooled = [np.append(v[~rare], v[rare].sum() + 1e-9) for v in (counts, expected)]
    assert stats.chisquare(pooled[0], pooled[1] * pooled[0].sum() / pooled[1].sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", A_FEW)
def test_flip_log_ratio(name):
    ansatz = make(name)
    states, log_prob = enumerated(ansatz)
    np.testing.assert_allclose(ansatz.flip_log_ratio(states), expected_flips(states, log_prob), atol=1e-10)


@pytest.mark.parametrize(
    ("budget", "blocks"),
    [(2**28, 1), (2**28, 3), (2**28, 4), (5 * 64 * 6 * 24, 1), (7 * 6 * 24, 8), (0, 8)],
    ids=["one block", "blocks of 2", "uneven blocks", "blocks by budget", "chunks of samples", "one sample at a time"],
)
def test_flip_log_ratio_in_blocks_and_chunks(budget, blocks):
    ansatz = make("1d-gru-sites-given")
    states, log_prob = enumerated(ansatz)

    @jax.jit
    def flips(drawn):
        return scan.flip_log_ratio(ansatz._network, drawn, ansatz.order.ends, budget=budget, blocks=blocks)

    ratio = ansatz.order.by_spin(flips(ansatz._by_position(states)))
    np.testing.assert_allclose(ratio, expected_flips(states, log_prob), atol=1e-10)


# --- JAX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["2x3-vanilla-shared-zigzag", "dilated-gru-sites-given"])
def test_jit_takes_the_ansatz_and_vmap_its_params(name):
    replicas = [make(name), randomised(make(name), seed=5)]
    num_spins = len(replicas[0].order.sites)
    states, keys = jnp.asarray(all_states(num_spins)), jax.random.split(jax.random.key(0), 2)

    def everything(ansatz, params, key):
        log_prob, pull, spins = jax.vjp(lambda p: with_params(ansatz, p).sample(key, 16)[::-1], params, has_aux=True)
        return spins, log_prob, pull(spins)[0], with_params(ansatz, params).flip_log_ratio(states)

    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(r.params for r in replicas))
    spins, drawn, gradient, flips = jax.jit(jax.vmap(everything, in_axes=(None, 0, 0)))(replicas[0], params, keys)
    for r, replica in enumerate(replicas):
        _, log_prob = enumerated(replica)
        np.testing.assert_allclose(drawn[r], log_prob[row_of(spins[r])], atol=1e-12)
        np.testing.assert_allclose(flips[r], expected_flips(states, log_prob), atol=1e-10)
        own = jax.tree.map(lambda leaf, r=r: leaf[r], gradient)
        check_gradient(name, replica.params, own, spins[r], np.asarray(spins[r]))


@pytest.mark.parametrize("name", ["2x3-tensorised-sites-zigzag", "dilated-vanilla-sites-given"])
def test_float32(name):
    ansatz = make(name)
    states, log_prob = enumerated(ansatz)
    flips = ansatz.flip_log_ratio(states)
    with jax.enable_x64(False):
        single = with_params(ansatz, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), ansatz.params))
        ours = single.log_prob(states)
        assert ours.dtype == single.sample(jax.random.key(0), 2)[0].dtype == jnp.float32
        np.testing.assert_allclose(ours, log_prob, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(single.flip_log_ratio(states), flips, rtol=1e-4, atol=1e-4)
        assert single.fresh_params(jax.random.key(0))["head"].kernel.dtype == jnp.float32


def count_equations(jaxpr):
    inner = [j for e in jaxpr.eqns for v in e.params.values() for j in jax.tree.leaves(v) if hasattr(j, "eqns")]
    closed = [j.jaxpr for e in jaxpr.eqns for v in e.params.values() for j in jax.tree.leaves(v) if hasattr(j, "jaxpr")]
    return len(jaxpr.eqns) + sum(map(count_equations, inner + closed))


@pytest.mark.parametrize(
    "build",
    [
        lambda n: RNN1D(n, cell="gru", hidden=2),
        lambda n: RNN2D((n // 4, 4), cell="tensorised", hidden=2, shared=False),
        lambda n: DilatedRNN(n, num_layers=3, hidden=2),
    ],
    ids=["1d", "2d", "dilated"],
)
def test_program_does_not_grow_with_the_number_of_spins(build):
    def program(ansatz):
        lp, pull, s = jax.vjp(
            lambda p: with_params(ansatz, p).sample(jax.random.key(0), 4)[::-1], ansatz.params, has_aux=True
        )
        return pull(lp), ansatz.flip_log_ratio(s)

    small, large = (count_equations(jax.make_jaxpr(program)(build(n)).jaxpr) for n in (8, 64))
    assert 50 < small == large


# --- construction ----------------------------------------------------------------------------------------------------


def test_orders_and_neighbours():
    assert zigzag((3, 2)).sites.tolist() == [0, 1, 3, 2, 4, 5]
    assert raster((3, 2)).sites.tolist() == list(range(6))
    assert earlier_neighbours(raster((3, 2)), (3, 2)).tolist() == [[0, 0], [0, 1], [1, 0], [2, 3], [3, 0], [4, 5]]
    # Both horizontal neighbours of site 1 were drawn before it: the later one, site 0 at position 1, is read.
    assert earlier_neighbours(given(3, [2, 0, 1]), (1, 3)).tolist() == [[0, 0], [0, 0], [0, 2]]


def test_published_parameter_counts():
    def count(build):
        return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda: build().params)))

    assert count(lambda: RNN1D(7, cell="tensorised", shared=False)) == 7 * 3322
    assert count(lambda: RNN2D((10, 10), cell="tensorised", shared=False)) == 100 * 12922
    assert count(lambda: RNN2D((16, 16))) == 3482
    assert count(lambda: DilatedRNN(100)) == 2_124_200
    assert count(lambda: DilatedRNN(32, hidden=20)) == 121_024


def test_initial_parameters():
    d = 40
    params = RNN2D((1, 3), cell="tensorised", hidden=d, shared=False).fresh_params(jax.random.key(1))
    layer, head = params["layers"][0], params["head"]
    bounds = [
        (layer.kernel, np.sqrt(6 / (2 * d**2 + 4 * d))),
        (layer.bias, np.sqrt(3 / d)),
        (head.kernel, np.sqrt(6 / (d + 2))),
        (RNN1D(3, cell="tensorised", hidden=d).params["layers"][0].kernel, np.sqrt(6 / (d**2 + 2 * d))),
        (DilatedRNN(3, hidden=d).params["layers"][1].kernel, np.sqrt(6 / (3 * d))),
    ]
    for leaf, bound in bounds:
        assert leaf.dtype == jnp.float64
        assert 0.9 * bound < float(jnp.abs(leaf).max()) <= bound
        assert float(leaf.std()) == pytest.approx(bound / np.sqrt(3), rel=0.15)
    assert not head.bias.any()
    assert not any(layer.bias.any() for layer in DilatedRNN(3, hidden=d).params["layers"])
    assert not np.array_equal(layer.kernel[0], layer.kernel[1])
    structure = jax.tree.structure(params)
    assert structure == jax.tree.structure(RNN2D((1, 3), cell="tensorised", hidden=2, shared=False).params)


def test_it_does_not_look_at_the_problem():
    ansatz = make("1d-vanilla-shared-plain")
    assert ansatz.informed(Problem.from_terms(5, {(0, 1): 1.0}), jnp.asarray(2.0)) is ansatz


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RNN1D(0), "`num_spins` must"),
        (lambda: DilatedRNN(0), "`num_spins` must"),
        (lambda: RNN1D(3, hidden=0), "`hidden` must"),
        (lambda: RNN1D(3, cell="lstm"), "`cell` must"),
        (lambda: RNN1D(3, order=[0, 1, 1]), "`order` must"),
        (lambda: RNN1D(3, order=[0, 1]), "`order` must"),
        (lambda: DilatedRNN(3, cell="tensorised"), "`cell` must"),
        (lambda: DilatedRNN(3, num_layers=0), "`num_layers` must"),
        (lambda: RNN2D((0, 3)), "`shape` must"),
        (lambda: RNN2D((2, 3), order="spiral"), "`order` must"),
        (lambda: RNN1D(3, hidden=2).log_prob(jnp.ones((2, 4))), "`spins` must"),
        (lambda: RNN1D(3, hidden=2).flip_log_ratio(jnp.ones((2, 4))), "`spins` must"),
        (lambda: RNN1D(3, hidden=2).sample(jax.random.key(0), 0), "`num_samples` must"),
    ],
)
def test_mistakes_are_named(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_activations_have_names():
    named, given = (RNN1D(3, hidden=2, activation=activation) for activation in ("tanh", jnp.tanh))
    spins = jnp.array([[1.0, -1.0, 1.0]])
    np.testing.assert_array_equal(named.log_prob(spins), given.log_prob(spins))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "step"}, "`activation` must be a function or one of elu, .*, but it is 'step'"),
        ({"activation": 3}, "`activation` must be a function"),
        ({"hidden": 2.5}, "`hidden` must be an integer of at least 1, but it is 2.5"),
        ({"hidden": True}, "`hidden` must be an integer"),
        ({"depth": 1.5}, "`num_layers` must be an integer"),
    ],
)
def test_cells_refuse_what_json_may_hold(change, message):
    jaxtyping.config.update("jaxtyping_disable", True)  # without the type checks of the tests
    try:
        options = {"hidden": 2, "num_states": 1, "num_spins": 1, "activation": "elu", **change}
        with pytest.raises(InputError, match=message):
            make_cell("vanilla", **options)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("build", [lambda: RNN2D((1, 1), hidden=2), lambda: DilatedRNN(1, hidden=2)])
def test_a_single_spin(build):
    both, ansatz = jnp.array([[1.0], [-1.0]]), build()
    log_prob = ansatz.log_prob(both)
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(ansatz.flip_log_ratio(both), log_prob[::-1] - log_prob, atol=1e-12)
