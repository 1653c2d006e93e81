"""Exact answers by enumeration of all 2^N states, written without the library's own formulas, and the check of the one
estimator against them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from lehr.ansatz.base import Ansatz, with_params
from lehr.objective import advantages, local_values
from lehr.problem.base import Problem
from lehr.schedule import Controls


def all_states(num_spins: int) -> np.ndarray:
    """All ±1 states, [2^N, N]."""
    return np.array(list(itertools.product([1.0, -1.0], repeat=num_spins)))


def mixed_problem(num_spins: int, seed: int = 3, lattice=None) -> Problem:
    """Asymmetric terms of orders 1, 2 and 3 on a sparse set of spins, with an offset."""
    rng = np.random.default_rng(seed)
    n = num_spins
    terms: dict[tuple[int, ...], float] = {(i,): rng.normal() for i in range(0, n, 2)}
    terms |= {(i, i + 1): rng.normal() for i in range(n - 1) if i != 2}
    terms |= {(0, n - 2): rng.normal(), (0, 2, n - 1): rng.normal(), (1, 2, 3): rng.normal()}
    return Problem.from_terms(n, terms, offset=0.7, lattice=lattice)


def energies(problem: Problem) -> np.ndarray:
    """H of all states, term by term, without the offset."""
    states = all_states(problem.num_spins)
    total = np.zeros(len(states))
    for terms in problem.terms:
        for indices, coefficient in zip(terms.indices, terms.coefficients, strict=True):
            total += coefficient * states[:, indices].prod(axis=1)
    return total


def field_matrix(num_spins: int) -> np.ndarray:
    """Matrix of -sum_i sigma^x_i in the order of `all_states`."""
    states = all_states(num_spins)
    overlap = states @ states.T
    return -(overlap == num_spins - 2).astype(float)


def with_random_params(ansatz, seed: int = 5, scale: float = 0.4):
    """The ansatz with random numbers added to all its parameters."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda x: jnp.asarray(x) + scale * rng.normal(size=x.shape), ansatz.params)
    return with_params(ansatz, params)


def exact_objective(problem: Problem, log_p, controls: Controls):
    """<H> - Gamma <sum sigma^x> - T S of psi = sqrt(p), from the whole table of ln p; without the offset."""
    p = jnp.exp(log_p)
    total = p @ energies(problem)
    if controls.temperature is not None:
        total = total + controls.temperature * (p @ log_p)
    if controls.field is not None:
        psi = jnp.exp(log_p / 2)
        total = total + controls.field * (psi @ (field_matrix(problem.num_spins) @ psi))
    return total


def assert_gradient_is_unbiased(ansatz: Ansatz, problem: Problem, protocols: dict[str, Controls], tolerance: float):
    """The estimator averaged over *all* batches of two samples is the gradient of the exact objective."""
    states = jnp.asarray(all_states(problem.num_spins), float)
    every = jnp.arange(len(states))

    @jax.jit
    def both(params):
        table, score = jax.vjp(lambda p: with_params(ansatz, p).log_prob(states), params)
        log_p = table.sum(1)
        p = jnp.exp(log_p)
        results = {}
        for protocol, controls in protocols.items():
            values = local_values(problem, ansatz, states, table, controls)

            def of_batch(a, b, values=values):
                batch = jax.tree.map(lambda leaf: leaf[jnp.stack([a, b])], values)
                return p[a] * p[b] * advantages(batch, ansatz.order) / 2

            weights = jax.vmap(lambda a, of=of_batch: jax.vmap(lambda b: of(a, b))(every))(every)
            # d objective / d ln p_i(s) is d objective / d ln p(s), whatever the site i
            slope = jax.grad(lambda log_p, c=controls: exact_objective(problem, log_p, c))(log_p)
            exact = jnp.broadcast_to(slope[:, None], table.shape)
            results[protocol] = score(exact)[0], score(weights[:, :, 0].sum(1) + weights[:, :, 1].sum(0))[0]
        return results

    for exact, estimated in both(ansatz.params).values():
        largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(exact))
        assert largest > 0.02
        jax.tree.map(
            lambda a, b, atol=tolerance * largest: np.testing.assert_allclose(b, a, atol=atol), exact, estimated
        )
