"""The compiled kernels of recurrent networks, against the reference scan."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import with_random_params
from lehr import RNN1D, RNN2D, DilatedRNN, Problem, native, newman_moore, sherrington_kirkpatrick
from lehr.ansatz import scan
from lehr.ansatz.recurrent import Recurrent
from lehr.native import recurrent as kernels
from test_native import (
    assert_trees_agree,
    built,
    narrower_instruction_sets,  # noqa: F401 - a fixture
    on_one_core_and_on_two,
)

DENSE = sherrington_kirkpatrick(9, seed=1)
MIXED = Problem.from_terms(6, {(0, 1): 1.0, (1, 2, 4): -0.5, (3,): 0.3, (2, 5): 0.9, (0, 3, 4, 5): -1.1})
# Widths that fill registers and that do not, one layer and several, one spin, and all that a site can hear.
NETWORKS = {
    "raster": lambda: RNN2D((3, 4), hidden=8),
    "heard": lambda: RNN2D((3, 3), hidden=5, problem=newman_moore(3)),
    "sites of their own": lambda: RNN2D((3, 4), hidden=7, shared=False, activation="tanh"),
    "tensorised": lambda: RNN2D((3, 4), cell="tensorised", hidden=8, shared=False),
    "tensorised, shared, heard": lambda: RNN1D(6, cell="tensorised", hidden=3, problem=MIXED, activation="softplus"),
    "tensorised, heard": lambda: RNN1D(6, cell="tensorised", hidden=9, shared=False, problem=MIXED),
    "chain": lambda: RNN1D(6, hidden=17, order=[2, 0, 1, 5, 3, 4], problem=MIXED, activation="sigmoid"),
    "gated": lambda: RNN1D(6, cell="gru", hidden=8, problem=MIXED),
    "gated, two states": lambda: RNN2D((3, 3), cell="gru", hidden=5, activation="tanh", problem=newman_moore(3)),
    "gated, sites of their own": lambda: RNN2D((3, 3), cell="gru", hidden=4, shared=False),
    "gated, dilated": lambda: DilatedRNN(7, cell="gru", hidden=8, num_layers=3),
    "dilated": lambda: DilatedRNN(9, hidden=6, problem=DENSE, activation="relu"),
    "dilated, shared": lambda: DilatedRNN(9, hidden=16, shared=True),
    "one spin": lambda: RNN1D(1, hidden=4),
}
PROBLEMS = {"heard": newman_moore(3), "gated, two states": newman_moore(3), "dilated": DENSE}
SAMPLES = {"raster": 100, "heard": 33, "dilated": 31, "tensorised": 25, "chain": 2, "gated, two states": 18}


@pytest.fixture(params=NETWORKS)
def case(request):
    """A network in double precision with asymmetric parameters, shown its problem at beta = 0.8, and the noise that
    draws its samples; the samples of some make one tile, of others several and a part."""
    with jax.enable_x64(True):
        ansatz = with_random_params(NETWORKS[request.param](), scale=0.4)
        ansatz = ansatz.informed(PROBLEMS.get(request.param, MIXED), jnp.asarray(0.8))
        yield ansatz, noise_for(ansatz, SAMPLES.get(request.param, 1))


def noise_for(ansatz, num_samples):
    return jax.random.uniform(jax.random.key(5), (len(ansatz.order.sites), num_samples), minval=1e-9)


@jax.jit
def by_kernels(ansatz, noise, weights):
    """All that the kernels compute: drawn, evaluated, the gradient, scores where they are shared, and flips."""
    network, ends = ansatz._network, ansatz.order.ends
    drawn = kernels.forward(network, noise, draw=True)
    given = kernels.forward(network, drawn.spins[1:], draw=False)
    scores = kernels.scores(network, drawn) if network.shared else None
    gradient = kernels.gradient(network, drawn, weights)
    return drawn[:3], given[:3], gradient, scores, kernels.flip_log_ratio(network, drawn.spins[1:], ends)


@jax.jit
def by_scan(ansatz, noise, weights):
    network, ends = ansatz._network, ansatz.order.ends
    drawn = scan.forward(network, noise, draw=True)
    given = scan.forward(network, drawn.spins[1:], draw=False)
    ones = jnp.ones_like(weights)
    outer = scan.outer_products(network, drawn, ones)
    scores = jax.vmap(outer.pull)(jnp.eye(noise.shape[1])) if network.shared else None
    gradient = scan.outer_products(network, drawn, weights).pull(ones[0])
    flips = scan.flip_log_ratio(network, drawn.spins[1:], ends)
    return tuple(drawn), tuple(given), gradient, scores, flips


@built
def test_kernels_agree_with_the_scan(case):
    """Samples, states, log-probabilities, gradients, scores and flips."""
    ansatz, noise = case
    weights = jnp.asarray(np.random.default_rng(0).normal(size=noise.shape))
    assert ansatz._path is kernels
    found, expected = by_kernels(ansatz, noise, weights), by_scan(ansatz, noise, weights)
    np.testing.assert_array_equal(found[0][1], expected[0][1])
    assert_trees_agree(found, expected, 1e-11)


@built
@pytest.mark.parametrize("num_samples", [3, 30, 61])
def test_every_number_of_samples_is_dealt_into_tiles(num_samples):
    with jax.enable_x64(True):
        ansatz = with_random_params(RNN1D(4, hidden=4), scale=0.4)
        noise = noise_for(ansatz, num_samples)
        weights = jnp.ones_like(noise)
        assert_trees_agree(by_kernels(ansatz, noise, weights), by_scan(ansatz, noise, weights), 1e-11)


@built
def test_results_do_not_depend_on_the_number_of_threads():
    one, two = on_one_core_and_on_two("""
import jax
from test_native_recurrent import NETWORKS, by_kernels, noise_for, with_random_params

for name in ("raster", "gated, two states", "tensorised, heard"):
    ansatz = with_random_params(NETWORKS[name](), scale=0.4)
    noise = noise_for(ansatz, 50)
    for leaf in jax.tree.leaves(by_kernels(ansatz, noise, noise)):
        print(jax.numpy.asarray(leaf).tobytes().hex())
""")
    assert one == two
    assert len(one) > 10_000


@built
@pytest.mark.parametrize(("x64", "tolerance"), [(True, 1e-12), (False, 3e-5)])
def test_every_instruction_set_gives_the_same(x64, tolerance, narrower_instruction_sets):  # noqa: F811
    with jax.enable_x64(x64):
        ansatz = with_random_params(RNN2D((3, 3), hidden=10, problem=newman_moore(3)), scale=0.4)
        noise = noise_for(ansatz, 35)
        expected = by_kernels(ansatz, noise, noise)
        for _ in narrower_instruction_sets:
            assert_trees_agree(by_kernels(ansatz, noise, noise), expected, tolerance)


@built
@pytest.mark.parametrize(
    "build",
    [
        lambda: RNN2D((4, 4), hidden=12, problem=newman_moore(4)),
        # The rows of two gates side by side are as long as one padded to eight lanes.
        lambda: RNN1D(5, cell="gru", hidden=4),
    ],
    ids=["heard", "gated"],
)
def test_single_precision_rounds_and_nothing_else(build):
    ansatz = with_random_params(build(), scale=0.3)
    noise = noise_for(ansatz, 40)
    found, expected = by_kernels(ansatz, noise, noise), by_scan(ansatz, noise, noise)
    np.testing.assert_array_equal(found[0][1], expected[0][1])
    assert_trees_agree(found, expected, 1e-4)


@built
def test_networks_side_by_side_are_the_networks_alone():
    ansatz = with_random_params(RNN1D(5, hidden=4), scale=0.4)
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, -leaf]), ansatz.params)
    keys = jax.random.split(jax.random.key(2), 3)

    def one(params, key):
        spins, log_prob = type(ansatz).sample(with_params_of(ansatz, params), key, 6)
        return spins, log_prob, jax.grad(lambda p: with_params_of(ansatz, p).log_prob(spins).sum())(params)

    together = jax.jit(jax.vmap(one))(params, keys)
    for r in range(3):
        alone = jax.jit(one)(jax.tree.map(lambda leaf, r=r: leaf[r], params), keys[r])
        assert_trees_agree(jax.tree.map(lambda leaf, r=r: leaf[r], together), alone, 0)


def with_params_of(ansatz, params):
    return eqx.tree_at(lambda a: a.params, ansatz, params)


def test_what_has_no_kernel_goes_by_the_scan(monkeypatch):
    assert RNN1D(3, hidden=2, activation="gelu")._path is scan
    served = RNN1D(3, hidden=2)
    active = native.status().active
    assert served._path is (kernels if active else scan)
    assert ("ffi_call[" in str(jax.make_jaxpr(lambda: served.sample(jax.random.key(0), 3))())) == active
    monkeypatch.setenv("LEHR_NATIVE", "0")
    assert served._path is scan
    assert "ffi_call[" not in str(jax.make_jaxpr(lambda: served.sample(jax.random.key(0), 3))())


@built
def test_what_is_not_a_number_is_not_hidden():
    ansatz = with_random_params(RNN1D(3, hidden=4), scale=0.4)
    lost = with_params_of(ansatz, jax.tree.map(lambda leaf: leaf * jnp.nan, ansatz.params))
    assert np.isnan(lost.log_prob(jnp.ones((2, 3)))).all()


@built
def test_the_estimate_of_a_step_does_not_depend_on_the_path(monkeypatch):
    """What the ansatz gives to everything above it."""
    with jax.enable_x64(True):
        ansatz = with_random_params(NETWORKS["heard"](), scale=0.4).informed(newman_moore(3), jnp.asarray(0.8))

        def everything():
            spins, log_prob, scores = ansatz.sample_scored(jax.random.key(0), 7)
            weights = jnp.arange(7.0)
            return spins, log_prob, scores.gram(), scores.pull(weights), ansatz.flip_log_ratio(spins)

        found = everything()
        monkeypatch.setattr(Recurrent, "_path", scan)
        assert_trees_agree(found, everything(), 1e-11)
