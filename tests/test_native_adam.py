"""Adam by its kernel, against optax."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lehr import RNN2D, batch, edwards_anderson
from lehr.anneal import VariationalAnnealing
from lehr.batch import Batch
from lehr.optimise import Adam
from lehr.schedule import protocol
from test_native import (
    assert_trees_agree,
    built,
    narrower_instruction_sets,  # noqa: F401 - a fixture
)

# Leaves of one number, of less than a portion of the kernel, and of several, beginning within one.
SHAPES = {"bias": (1,), "head": {"weights": (3, 7)}, "recurrent": (70, 500)}


def tree(seed, dtype, lead=()):
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(random.normal(size=lead + shape), dtype),
        SHAPES,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def by_optax(params, gradients, rate, most_norm=None):
    clip = optax.identity() if most_norm is None else optax.clip_by_global_norm(most_norm)
    optimiser = optax.chain(clip, optax.adam(rate))
    state = optimiser.init(params)
    for gradient in gradients:
        updates, state = optimiser.update(gradient, state)
        params = optax.apply_updates(params, updates)
    return params, optax.tree.get(state, "mu"), optax.tree.get(state, "nu"), optax.tree.get(state, "count")


@jax.jit
def by_kernel(adam, params, gradients, rate):
    state = adam.init(params)
    for gradient in gradients:
        params, state = adam.step(params, gradient, optax.tree.norm(gradient), state, rate)
    return params, state.mu, state.nu, state.count


@built
@pytest.mark.parametrize("most_norm", [None, 150.0])
@pytest.mark.parametrize(("x64", "tolerance"), [(False, 1e-5), (True, 1e-13)])
def test_the_kernel_does_what_optax_does(x64, tolerance, most_norm):
    with jax.enable_x64(x64):
        params, gradients = tree(0, float), [tree(1, float), tree(2, float), tree(3, float)]
        gradients[1] = jax.tree.map(lambda leaf: 0.5 * leaf, gradients[1])  # of norm 94, not clipped
        adam = Adam(most_norm)
        assert "lehr_adam" in str(jax.make_jaxpr(by_kernel)(adam, params, gradients, 0.1))
        assert_trees_agree(
            by_kernel(adam, params, gradients, 0.1), by_optax(params, gradients, 0.1, most_norm), tolerance
        )


@built
def test_networks_side_by_side_are_the_networks_alone():
    params, gradients = tree(0, jnp.float32, (2,)), [tree(1, jnp.float32, (2,)), tree(2, jnp.float32, (2,))]
    rates = jnp.array([0.1, 0.7])
    together = jax.vmap(by_kernel, in_axes=(None, 0, 0, 0))(Adam(200.0), params, gradients, rates)
    for place in range(2):
        own = jax.tree.map(lambda leaf, place=place: leaf[place], (params, gradients))
        found = jax.tree.map(lambda leaf, place=place: leaf[place], together)
        assert_trees_agree(found, by_kernel(Adam(200.0), *own, rates[place]), 0)


@built
def test_every_instruction_set_gives_the_same(narrower_instruction_sets):  # noqa: F811
    params, gradients = tree(0, jnp.float32), [tree(1, jnp.float32)]
    expected = by_kernel(Adam(), params, gradients, 0.1)
    for _ in narrower_instruction_sets:
        assert_trees_agree(by_kernel(Adam(), params, gradients, 0.1), expected, 2e-6)


@built
def test_what_is_not_a_number_is_not_hidden():
    params, gradient = tree(0, jnp.float32), tree(1, jnp.float32)
    gradient["recurrent"] = gradient["recurrent"].at[60, 3].set(jnp.nan)
    found = by_kernel(Adam(), params, [gradient], 0.1)[0]["recurrent"]
    assert np.argwhere(~np.isfinite(found)).tolist() == [[60, 3]]


def test_parameters_of_several_types_go_by_optax():
    with jax.enable_x64(True):
        params = {"single": jnp.array([1.0, 2.0], jnp.float32), "double": jnp.array([3.0])}
        gradient = {"single": jnp.array([1.0, -2.0], jnp.float32), "double": jnp.array([0.5])}
        assert "ffi_call" not in str(jax.make_jaxpr(by_kernel)(Adam(), params, [gradient], 0.1))
        assert_trees_agree(by_kernel(Adam(), params, [gradient], 0.1), by_optax(params, [gradient], 0.1), 1e-6)


@built
def test_training_copies_no_parameters():
    """Parameters and moments are copied where a chunk of steps begins and ends, not in its steps."""
    ansatz = RNN2D((4, 5), cell="tensorised", hidden=8, shared=False)
    schedule = protocol("vca", temperature=(1.0, 0.1), field=(0.0, 0.0), num_annealing_steps=9)
    annealing = VariationalAnnealing(schedule, num_samples=5)
    problem = edwards_anderson((4, 5), seed=1)
    networks = Batch(annealing, ansatz, [problem], replicas=2, num_final_samples=1, seed=0)
    program = batch._advance.lower(*networks._fixed, networks.start(), jnp.zeros((), int)).compile().compiled.as_text()
    (step,) = (part for part in program.split("\n}\n") if "lehr_adam" in part)
    weights = [line for line in step.splitlines() if re.search(r"= f32\[20,64,8\]", line)]
    assert len(weights) >= 4  # the gradient, and what becomes of parameters and moments
    assert not [line for line in weights if "copy" in line]
