"""Local values and the gradient estimator against enumeration, for every ansatz."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from enumeration import all_states, energies, field_matrix, mixed_problem, with_random_params

from lehr import Controls, DilatedRNN, Lattice, Linear, RNN1D, RNN2D
from lehr.objective import LocalValues, advantages, closing_energy, local_values

PROBLEM = mixed_problem(6, lattice=Lattice((2, 3)))
STATES = all_states(6)
BETA = 0.6
CONTROLS = {
    "vca": Controls(jnp.asarray(0.7), None),
    "vqa": Controls(None, jnp.asarray(0.9)),
    "rvqa": Controls(jnp.asarray(0.7), jnp.asarray(0.9)),
    "cqo": Controls(None, None),
}
ANSATZE = {
    "linear": lambda: Linear(PROBLEM),
    "linear given order": lambda: Linear(PROBLEM, [5, 2, 0, 3, 1, 4]),
    "rnn1d": lambda: RNN1D(6, cell="vanilla", hidden=3, shared=True, order=[2, 0, 5, 1, 4, 3]),
    "rnn1d gru": lambda: RNN1D(6, cell="gru", hidden=3, shared=False),
    "rnn2d": lambda: RNN2D((2, 3), cell="vanilla", hidden=3, shared=True, order="raster"),
    "rnn2d tensorised": lambda: RNN2D((2, 3), cell="tensorised", hidden=3, shared=False, order="zigzag"),
    "dilated": lambda: DilatedRNN(6, hidden=3, shared=False),
}
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}


def _ansatz(name):
    return with_random_params(ANSATZE[name]()).informed(PROBLEM, jnp.asarray(BETA))


def _exact_objective(log_p, controls):
    """<H> - Gamma <sum sigma^x> - T S of psi = sqrt(p), from the whole table of ln p."""
    p = jnp.exp(log_p)
    total = p @ energies(PROBLEM)
    if controls.temperature is not None:
        total = total + controls.temperature * (p @ log_p)
    if controls.field is not None:
        psi = jnp.exp(log_p / 2)
        total = total + controls.field * (psi @ (field_matrix(6) @ psi))
    return total


@pytest.fixture(params=TOLERANCE)
def tolerance(request):
    with jax.enable_x64(request.param == "float64"):
        yield TOLERANCE[request.param]


@pytest.mark.parametrize("protocol", CONTROLS)
@pytest.mark.parametrize("name", ANSATZE)
def test_local_values(name, protocol, tolerance):
    """Energies term by term; E_loc = (H psi)(s) / psi(s); the mean of F_loc under p is the exact objective."""
    ansatz, controls = _ansatz(name), CONTROLS[protocol]
    states = jnp.asarray(STATES, float)
    log_prob = ansatz.log_prob(states)
    values = jax.jit(local_values)(PROBLEM, ansatz, states, log_prob, controls)
    log_p = np.asarray(log_prob.sum(1), np.float64)
    scale = np.abs(energies(PROBLEM)).max()

    np.testing.assert_allclose(values.energy, energies(PROBLEM), atol=tolerance * scale)
    np.testing.assert_allclose(values.site_cost.sum(1) + values.transverse, values.free_energy, atol=tolerance * scale)
    if controls.field is not None:
        psi = np.exp(log_p / 2)
        transverse = float(controls.field) * (field_matrix(6) @ psi) / psi
        np.testing.assert_allclose(values.transverse, transverse, rtol=10 * tolerance)
    exact = _exact_objective(log_p, jax.tree.map(lambda x: np.asarray(x, np.float64), controls))
    assert np.exp(log_p) @ np.asarray(values.free_energy) == pytest.approx(float(exact), rel=10 * tolerance)


@pytest.mark.parametrize("protocol", CONTROLS)
@pytest.mark.parametrize("name", ANSATZE)
def test_gradient_is_unbiased(name, protocol, tolerance):
    """The estimator averaged over *all* batches of two samples is the gradient of the exact objective."""
    ansatz, controls = _ansatz(name), CONTROLS[protocol]
    states = jnp.asarray(STATES, float)

    def log_prob(params):
        found = eqx.tree_at(lambda a: a.params, ansatz, params)
        return found.informed(PROBLEM, jnp.asarray(BETA)).log_prob(states)

    @jax.jit
    def both(params):
        exact = jax.grad(lambda q: _exact_objective(log_prob(q).sum(1), controls))(params)
        table, score = jax.vjp(log_prob, params)
        p = jnp.exp(table.sum(1))
        values = local_values(PROBLEM, ansatz, states, table, controls)

        def of_batch(a, b):
            batch = jax.tree.map(lambda leaf: leaf[jnp.stack([a, b])], values)
            return p[a] * p[b] * advantages(batch, ansatz.order) / 2

        every = jnp.arange(len(states))
        weights = jax.vmap(lambda a: jax.vmap(lambda b: of_batch(a, b))(every))(every)
        return exact, score(weights[:, :, 0].sum(1) + weights[:, :, 1].sum(0))[0]

    exact, estimated = both(ansatz.params)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(exact))
    assert largest > 0.02
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b, a, atol=10 * tolerance * largest),
        exact,
        estimated,
    )


def test_closing_energy_is_causal():
    """The energy booked at a spin knows no spin drawn later."""
    order = Linear(PROBLEM, [5, 2, 0, 3, 1, 4]).order
    states = jnp.asarray(STATES)
    booked = closing_energy(PROBLEM, order, states)
    for later in range(6):
        change = np.abs(closing_energy(PROBLEM, order, states.at[:, later].multiply(-1)) - booked).max(0)
        assert (change[order.sites[: order.positions[later]]] < 1e-6).all()
    assert float(jnp.abs(booked).max()) > 0.5


def test_variance_vanishes_at_the_boltzmann_distribution():
    """F_loc of the exact distribution is one number, -T ln Z."""
    temperature = 0.8
    weights = np.exp(-energies(PROBLEM) / temperature)
    log_p = np.log(weights / weights.sum())
    values = LocalValues(energies(PROBLEM), np.zeros(64), energies(PROBLEM) + temperature * log_p, np.zeros((64, 6)))
    assert np.ptp(values.free_energy) < 1e-12
    assert values.free_energy[0] == pytest.approx(-temperature * np.log(weights.sum()))
