"""The compiled kernels of the linear ansatz, against the reference that XLA compiles."""

import ctypes
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import with_random_params
from lehr import Linear, Problem, edwards_anderson, native, newman_moore, sherrington_kirkpatrick
from lehr.anneal import VariationalAnnealing
from lehr.schedule import protocol

built = pytest.mark.skipif(not native.status().active, reason=native.status().reason)
FIELDS = Problem.from_terms(5, {(0, 1): 1.0, (1, 2): -0.5, (3,): 0.3, (2, 4): 0.9, (0,): -1.1}, offset=2.0)
PROBLEMS = {
    "lattice": edwards_anderson((6, 5), seed=1),
    "dense": sherrington_kirkpatrick(12, seed=1),
    "fields": FIELDS,
    "free spins": Problem.from_terms(3, {(1,): 0.7}),
}
# Less than a tile of samples, whole tiles, a tile and a part, and more tiles than gradients are kept for.
CASES = [("lattice", 37), ("dense", 64), ("dense", 601), ("fields", 5), ("fields", 1), ("free spins", 33)]


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def ansatz_of(problem):
    """A linear ansatz with asymmetric parameters, informed at beta = 0.8."""
    return with_random_params(Linear(problem), scale=0.3).informed(problem, jnp.asarray(0.8))


def reference(ansatz):
    """The same ansatz without kernels."""
    return eqx.tree_at(lambda a: a.tables, ansatz, None, is_leaf=lambda x: x is None)


def step_of(problem, ansatz, num_samples, normalise=True):
    """One plain estimate: what a step keeps of its samples, and the gradient."""
    schedule = protocol("vca", temperature=(1.25, 0.1), field=(0.0, 0.0), num_annealing_steps=2)
    annealing = VariationalAnnealing(schedule, num_samples=num_samples, normalise=normalise)
    return eqx.filter_jit(annealing._plain)(problem.bare(), ansatz, jax.random.key(7), schedule(0), jnp.asarray(1.3))


@built
def test_kernels_are_called_where_they_serve():
    ansatz = ansatz_of(FIELDS)
    calls = [
        str(jax.make_jaxpr(lambda a=a: (a.sample(jax.random.key(0), 3), estimate(a)))()).count("ffi_call[")
        for a in (ansatz, reference(ansatz))
    ]
    assert calls == [2, 0]
    other = jax.random.key(0, impl="rbg")  # with other random numbers
    assert "ffi_call[" not in str(jax.make_jaxpr(lambda: ansatz.sample(other, 3))())


def estimate(ansatz):
    return ansatz.thermal_estimate(jax.random.key(0), 3, jnp.asarray(1.0), jnp.asarray(1.0), normalise=True)


@pytest.fixture
def narrower_instruction_sets():
    """Each instruction set of this machine but the widest, in use when it is asked for; then the widest again."""
    library = native._library()[0]
    assert isinstance(library, ctypes.CDLL)
    widest = library.lehr_level()
    if widest == 0:
        pytest.skip("there is one instruction set alone")

    def each():
        for level in range(widest):
            library.lehr_limit_level(level)
            assert library.lehr_level() == level
            yield level

    yield each()
    library.lehr_limit_level(widest)


def assert_trees_agree(found, expected, tolerance):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_a_compiler_means_kernels():
    if jax.default_backend() != "cpu" or os.environ.get("LEHR_NATIVE") == "0":
        pytest.skip(native.status().reason)
    if shutil.which("c++") or shutil.which("g++"):
        assert native.status().active, native.status().reason


@built
@pytest.mark.parametrize(("name", "num_samples"), CASES)
def test_samples_are_those_of_the_reference(name, num_samples, double):
    ansatz = ansatz_of(PROBLEMS[name])
    draw = eqx.filter_jit(lambda a: a.sample(jax.random.key(3), num_samples))
    found, expected = draw(ansatz), draw(reference(ansatz))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12, atol=1e-14)


@built
@pytest.mark.parametrize(("name", "num_samples"), CASES)
def test_the_estimate_is_that_of_the_reference(name, num_samples, double):
    problem, normalise = PROBLEMS[name], num_samples % 2 == 1
    ansatz = ansatz_of(problem)
    found, gradient = step_of(problem, ansatz, num_samples, normalise)
    expected, expected_gradient = step_of(problem, reference(ansatz), num_samples, normalise)
    assert_trees_agree(found, expected, 1e-10)
    assert_trees_agree(gradient, expected_gradient, 1e-10)


@built
def test_single_precision_rounds_and_nothing_else():
    """Of some 2000 spins none is so undecided that rounding turns it, for this key."""
    problem = PROBLEMS["lattice"]
    ansatz = ansatz_of(problem)
    found, gradient = step_of(problem, ansatz, 64)
    expected, expected_gradient = step_of(problem, reference(ansatz), 64)
    assert_trees_agree(found, expected, 3e-5)
    assert_trees_agree(gradient, expected_gradient, 3e-5)


@built
def test_gradients_pass_through_drawn_samples(double):
    ansatz = ansatz_of(PROBLEMS["fields"])
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(9, 5)))

    def weighted(params, a):
        return (weights * eqx.tree_at(lambda x: x.params, a, params).sample(jax.random.key(1), 9)[1]).sum()

    grad = eqx.filter_jit(jax.grad(weighted))
    assert_trees_agree(grad(ansatz.params, ansatz), grad(ansatz.params, reference(ansatz)), 1e-12)


@built
def test_networks_side_by_side_are_the_networks_alone(double):
    """Replicas have parameters and keys of their own; structure and couplings are shared, or not."""
    ansatz = ansatz_of(PROBLEMS["lattice"])
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, -leaf]), ansatz.params)
    keys = jax.random.split(jax.random.key(2), 3)
    betas = jnp.asarray([0.5, 1.0, 2.0])

    def one(params, key, beta):
        a = eqx.tree_at(lambda a: (a.params, a.inverse_temperature), ansatz, (params, beta))
        estimate = a.thermal_estimate(key, 40, 1 / beta, jnp.asarray(1.0), normalise=True)
        return estimate, a.sample(key, 40)

    together = jax.jit(jax.vmap(one))(params, keys, betas)
    nested = jax.jit(jax.vmap(jax.vmap(one, (None, 0, None)), (0, None, 0)))(params, keys, betas)
    for r in range(3):
        alone = jax.jit(one)(jax.tree.map(lambda leaf, r=r: leaf[r], params), keys[r], betas[r])
        assert_trees_agree(jax.tree.map(lambda leaf, r=r: leaf[r], together), alone, 0)
        assert_trees_agree(jax.tree.map(lambda leaf, r=r: leaf[r, r], nested), alone, 0)


@built
@pytest.mark.parametrize(("x64", "tolerance"), [(True, 1e-12), (False, 3e-5)])
def test_every_instruction_set_gives_the_same(x64, tolerance, narrower_instruction_sets):
    with jax.enable_x64(x64):
        ansatz = ansatz_of(PROBLEMS["lattice"])
        expected = step_of(PROBLEMS["lattice"], ansatz, 37)
        for _ in narrower_instruction_sets:
            assert_trees_agree(step_of(PROBLEMS["lattice"], ansatz, 37), expected, tolerance)


@built
def test_what_is_not_a_number_is_not_hidden(double):
    ansatz = ansatz_of(FIELDS)
    lost = eqx.tree_at(lambda a: a.params.bias, ansatz, ansatz.params.bias * jnp.nan)
    drawn, gradient = step_of(FIELDS, lost, 5)
    assert np.isnan(drawn.free_energy).all()
    assert np.isnan(gradient.bias).any()


@built
def test_a_pickled_ansatz_finds_its_kernels_elsewhere():
    """In a process that has not asked for them."""
    code = """
import pickle, sys
import jax
ansatz = pickle.loads(sys.stdin.buffer.read())
print(ansatz.tables is not None, ansatz.sample(jax.random.key(0), 2)[0].shape)
"""
    given = pickle.dumps(Linear(FIELDS))
    told = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, check=True).stdout
    assert told.split() == [b"True", b"(2,", b"5)"]


def on_one_core_and_on_two(code: str) -> list[str]:
    """What a program prints in a process that may use one core, and in one that may use two."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core only, or no way to use one only")
    few = "import os, sys\nos.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])\n"
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return [
        subprocess.run(
            [sys.executable, "-c", few + code, count], env=here, capture_output=True, text=True, check=True
        ).stdout
        for count in ("1", "2")
    ]


@built
def test_results_do_not_depend_on_the_number_of_threads():
    one, two = on_one_core_and_on_two("""
import lehr
result = lehr.solve(lehr.edwards_anderson((6, 6), seed=2), num_steps=30, replicas=3, num_final_samples=8)
print(result.history.gradient_norm.values.tobytes().hex(), result.samples.tobytes().hex())
""")
    assert one == two
    assert len(one) > 1000


def test_without_kernels_the_reference_does_the_work(monkeypatch, tmp_path):
    given = Linear(FIELDS)
    monkeypatch.setenv("LEHR_NATIVE", "0")
    assert native.status() == (False, "switched off by LEHR_NATIVE=0")
    assert Linear(FIELDS).tables is None
    assert "ffi_call[" not in str(jax.make_jaxpr(lambda: given.sample(jax.random.key(0), 3))())
    monkeypatch.delenv("LEHR_NATIVE")
    native._library.cache_clear()
    try:
        monkeypatch.setattr(native, "_LIBRARY", tmp_path / "missing.so")
        assert not native.status().active
        assert "no C++ compiler" in native.status().reason
        native._library.cache_clear()
        monkeypatch.setattr(native, "_LIBRARY", tmp_path / "broken.so")
        (tmp_path / "broken.so").write_text("not a library")
        assert "built for another machine" in native.status().reason
        monkeypatch.undo()
        native._library.cache_clear()
        monkeypatch.setattr(native, "_SOURCES", native._SOURCES[:1])
        assert native.status().active is False
    finally:
        monkeypatch.undo()
        native._library.cache_clear()


def test_terms_of_many_spins_have_no_kernel():
    assert Linear(newman_moore((3, 3))).tables is None
