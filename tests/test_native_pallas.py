"""The kernels for GPUs, in the interpreter against the reference scan, and lowered for CUDA."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import with_random_params
from lehr import RNN1D, newman_moore
from lehr.ansatz import scan
from lehr.ansatz.base import with_params
from lehr.native import pallas
from test_native import assert_trees_agree
from test_native_recurrent import DENSE, MIXED, NETWORKS, noise_for

# Both cells, one layer and several, weights that are shared or not, sites that hear or do not.
CASES = ["heard", "chain", "sites of their own", "tensorised", "tensorised, shared, heard", "dilated"]


def network_of(name):
    problem = {"heard": newman_moore(3), "dilated": DENSE}.get(name, MIXED)
    return with_random_params(NETWORKS[name](), scale=0.4).informed(problem, jnp.asarray(0.8))._network


def noise_of(name, num_samples=19):  # a tile and a part
    return noise_for(NETWORKS[name](), num_samples)


@partial(jax.jit, static_argnums=(0, 1))
def passes(path, name, noise, weights):
    """Drawn, evaluated, the gradient, and products of the scores of samples."""
    network = network_of(name)
    drawn = path.forward(network, noise, draw=True)
    given = path.forward(network, drawn.spins[1:], draw=False)
    outer = path.outer_products(network, drawn, weights)
    return drawn, given, outer.pull(jnp.ones_like(weights[0])), outer.gram()


@pytest.mark.parametrize("name", CASES)
def test_the_kernels_agree_with_the_scan(name):
    noise = noise_of(name)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=noise.shape), jnp.float32)
    found, expected = (passes(path, name, noise, weights) for path in (pallas, scan))
    np.testing.assert_array_equal(found[0].spins, expected[0].spins)
    assert_trees_agree(found, expected, 2e-4)


@pytest.mark.parametrize("name", CASES)
def test_they_can_be_lowered_for_a_gpu(name, monkeypatch):
    monkeypatch.setattr(pallas, "_interpreted", lambda: False)
    network = network_of(name)

    def both(noise):
        drawn = pallas.forward(network, noise, draw=True)
        return pallas.outer_products(network, drawn, jnp.ones_like(noise)).pull(jnp.ones_like(noise[0]))

    lowered = jax.jit(both).trace(noise_of(name)).lower(lowering_platforms=("cuda",)).as_text()
    assert lowered.count("__gpu$xla.gpu.triton") == 2


def test_networks_side_by_side_are_the_networks_alone():
    noise = jnp.stack([noise_of("heard", 5), 1 - noise_of("heard", 5)])
    network = network_of("heard")

    @jax.jit
    def gradient(noise):
        drawn = pallas.forward(network, noise, draw=True)
        return drawn, pallas.outer_products(network, drawn, jnp.ones_like(noise)).pull(jnp.ones_like(noise[0]))

    together = jax.vmap(gradient)(noise)
    for place in range(2):
        found = jax.tree.map(lambda leaf, place=place: leaf[place], together)
        assert_trees_agree(found, gradient(noise[place]), 1e-5)


def test_a_step_does_not_depend_on_the_path(monkeypatch):
    monkeypatch.setenv("LEHR_NATIVE", "0")
    ansatz = with_random_params(RNN1D(4, hidden=3), scale=0.4)

    def step():
        def draw(params):
            return with_params(ansatz, params).sample(jax.random.key(0), 7)[1]

        log_prob, pull = jax.vjp(draw, ansatz.params)
        return log_prob, pull(jnp.arange(28.0).reshape(7, 4)), ansatz.sample_scored(jax.random.key(0), 7)[2].gram()

    assert ansatz._path is scan
    expected = step()
    monkeypatch.setenv("LEHR_PALLAS", "1")
    assert ansatz._path is pallas
    assert_trees_agree(step(), expected, 1e-4)
    assert RNN1D(4, cell="gru", hidden=3)._path is RNN1D(4, hidden=129)._path is scan
