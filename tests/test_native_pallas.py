"""The kernels for GPUs, in the interpreter against the reference scan, and lowered for CUDA."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import with_random_params
from lehr import RNN1D
from lehr.ansatz import scan
from lehr.ansatz.base import with_params
from lehr.native import pallas
from test_native import assert_trees_agree
from test_native_recurrent import MIXED, NETWORKS, PROBLEMS, noise_for

# Every cell, one layer and several, weights that are shared or not, sites that hear or do not.
CASES = [
    *("heard", "chain", "sites of their own", "dilated", "tensorised", "tensorised, shared, heard"),
    *("gated", "gated, two states", "gated, sites of their own", "gated, dilated"),
]


def network_of(name):
    ansatz = with_random_params(NETWORKS[name](), scale=0.4)
    return ansatz.informed(PROBLEMS.get(name, MIXED), jnp.asarray(0.8))._network


def noise_of(name, num_samples=19):  # a tile and a part
    return noise_for(NETWORKS[name](), num_samples)


def flips(path, network, spins):
    """Of every other spin as if only the next depended on it; with so little memory that the kernel's blocks have
    several flips, and as the scan makes them one by one."""
    places = np.arange(len(spins))
    ends = np.where(places % 2, np.minimum(places + 2, len(spins)), len(spins))
    limits = {"budget": 40_000} if path is pallas else {"blocks": len(spins)}
    return path.flip_log_ratio(network, spins, ends, **limits)


@partial(jax.jit, static_argnums=(0, 1))
def passes(path, name, noise, weights):
    """Drawn, evaluated, the gradient, products of the scores of samples, and flips."""
    network = network_of(name)
    drawn = path.forward(network, noise, draw=True)
    given = path.forward(network, drawn.spins[1:], draw=False)
    outer = path.outer_products(network, drawn, weights)
    flipped = flips(path, network, drawn.spins[1:])
    return drawn, given, outer.pull(jnp.ones_like(weights[0])), outer.gram(), flipped


@pytest.mark.parametrize("name", CASES)
def test_the_kernels_agree_with_the_scan(name):
    noise = noise_of(name)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=noise.shape), jnp.float32)
    found, expected = (passes(path, name, noise, weights) for path in (pallas, scan))
    np.testing.assert_array_equal(found[0].spins, expected[0].spins)
    assert_trees_agree(found, expected, 2e-4)


def lowered(network, noise, monkeypatch):
    """All passes as CUDA would compile them."""
    monkeypatch.setattr(pallas, "_interpreted", lambda: False)

    def everything(noise):
        drawn = pallas.forward(network, noise, draw=True)
        gradient = pallas.outer_products(network, drawn, jnp.ones_like(noise)).pull(jnp.ones_like(noise[0]))
        return gradient, flips(pallas, network, drawn.spins[1:])

    return jax.jit(everything).trace(noise).lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize("name", CASES)
def test_they_can_be_lowered_for_a_gpu(name, monkeypatch):
    assert lowered(network_of(name), noise_of(name), monkeypatch).count("__gpu$xla.gpu.triton") == 4


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softplus"])  # the cases have the others
def test_every_activation_can_be_lowered_for_gated_cells(activation, monkeypatch):
    ansatz = RNN1D(2, cell="gru", hidden=2, activation=activation)
    assert "__gpu$xla.gpu.triton" in lowered(ansatz._network, noise_for(ansatz, 3), monkeypatch)


def test_networks_side_by_side_are_the_networks_alone():
    noise = jnp.stack([noise_of("heard", 5), 1 - noise_of("heard", 5)])
    network = network_of("heard")

    @jax.jit
    def step(noise):
        drawn = pallas.forward(network, noise, draw=True)
        outer = pallas.outer_products(network, drawn, jnp.ones_like(noise))
        return drawn, outer.pull(jnp.ones_like(noise[0])), flips(pallas, network, drawn.spins[1:])

    together = jax.vmap(step)(noise)
    for place in range(2):
        found = jax.tree.map(lambda leaf, place=place: leaf[place], together)
        assert_trees_agree(found, step(noise[place]), 1e-5)


def test_a_step_does_not_depend_on_the_path(monkeypatch):
    monkeypatch.setenv("LEHR_NATIVE", "0")
    ansatz = with_random_params(RNN1D(4, hidden=3), scale=0.4)

    def step():
        def draw(params):
            return with_params(ansatz, params).sample(jax.random.key(0), 7)[1]

        log_prob, pull = jax.vjp(draw, ansatz.params)
        spins, _, scores = ansatz.sample_scored(jax.random.key(0), 7)
        return log_prob, pull(jnp.arange(28.0).reshape(7, 4)), scores.gram(), ansatz.flip_log_ratio(spins)

    assert ansatz._path is scan
    expected = step()
    monkeypatch.setenv("LEHR_PALLAS", "1")
    assert ansatz._path is pallas
    assert_trees_agree(step(), expected, 1e-4)
    assert str(jax.make_jaxpr(ansatz.flip_log_ratio)(jnp.ones((2, 4)))).count("pallas_call") == 2
    assert RNN1D(4, cell="gru", hidden=3)._path is pallas
    assert RNN1D(4, activation="gelu")._path is RNN1D(4, hidden=129)._path is scan
