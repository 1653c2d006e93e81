"""Local values and the gradient estimator against enumeration, for every ansatz."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import (
    all_states,
    assert_gradient_is_unbiased,
    energies,
    exact_objective,
    field_matrix,
    mixed_problem,
    with_random_params,
)
from lehr import RNN1D, RNN2D, Controls, DilatedRNN, Lattice, Linear, Problem
from lehr.objective import closing_energy, local_values

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


@pytest.fixture(params=TOLERANCE)
def tolerance(request):
    with jax.enable_x64(request.param == "float64"):
        yield TOLERANCE[request.param]


@pytest.mark.parametrize("name", ANSATZE)
def test_local_values(name, tolerance):
    """Energies term by term; E_loc = (H psi)(s) / psi(s); the mean of F_loc under p is the exact objective."""
    ansatz = _ansatz(name)
    states = jnp.asarray(STATES, float)
    log_prob = ansatz.log_prob(states)
    log_p = np.asarray(log_prob.sum(1), np.float64)
    scale = np.abs(energies(PROBLEM)).max()
    compute = jax.jit(lambda: {key: local_values(PROBLEM, ansatz, states, log_prob, c) for key, c in CONTROLS.items()})
    for protocol, values in compute().items():
        controls = CONTROLS[protocol]
        np.testing.assert_allclose(values.energy, energies(PROBLEM), atol=tolerance * scale)
        parts = values.site_cost.sum(1) + values.transverse
        np.testing.assert_allclose(parts, values.free_energy, atol=tolerance * scale)
        if controls.field is not None:
            psi = np.exp(log_p / 2)
            transverse = float(controls.field) * (field_matrix(6) @ psi) / psi
            np.testing.assert_allclose(values.transverse, transverse, rtol=tolerance)
        exact = float(exact_objective(PROBLEM, log_p, controls))
        assert np.exp(log_p) @ np.asarray(values.free_energy) == pytest.approx(exact, rel=tolerance)


@pytest.mark.parametrize("name", ANSATZE)
def test_gradient_is_unbiased(name, tolerance):
    assert_gradient_is_unbiased(_ansatz(name), PROBLEM, CONTROLS, tolerance)


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
    """Drawn along the chain, the linear ansatz starts as the exact distribution of an open chain: F_loc = -T ln Z."""
    chain = Problem.from_terms(6, {(i, i + 1): 0.5 - 0.3 * i for i in range(5)})
    temperature = 0.8
    controls = Controls(jnp.asarray(temperature), None)
    ansatz = Linear(chain, range(6)).informed(chain, jnp.asarray(1 / temperature))
    states = jnp.asarray(STATES, jnp.float32)
    values = local_values(chain, ansatz, states, ansatz.log_prob(states), controls)
    log_z = np.log(np.exp(-energies(chain) / temperature).sum())
    np.testing.assert_allclose(values.free_energy, -temperature * log_z, rtol=1e-5)
