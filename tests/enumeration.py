"""Exact answers by enumeration of all 2^N states, written without the library's own formulas."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lehr.problem.base import Problem


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
    return eqx.tree_at(lambda a: a.params, ansatz, params)
