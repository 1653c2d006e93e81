"""Compiled Markov chains on k-local problems: Metropolis sweeps, Trotter rings, replica exchange.

A walker is one spin configuration with the costs of all its flips, kept up to date flip by flip. A read is an
independent chain of P walkers: one for simulated annealing, P Trotter slices for simulated quantum annealing, P
temperatures for parallel tempering. The random numbers of a sweep depend on seed, read and sweep alone: neither the
number of threads nor the points at which a run is interrupted change a bit of it.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# Incremental costs and energies are recomputed after so many sweeps, before rounding adds up.
_REFRESH = 1024


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # A type checker that has wrapped the function at import is taken off: compiled code knows its types.
    return numba.njit(cache=True, nogil=True)(inspect.unwrap(function))


@_compiled
def _mixed(z):
    """One output of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@_compiled
def _stream(seed, read, sweep):
    """Start of the random numbers of one sweep of one read."""
    state = np.empty(1, np.uint64)
    state[0] = _mixed(_mixed(_mixed(np.uint64(seed)) + np.uint64(read)) + np.uint64(sweep))
    return state


@_compiled
def _uniform(state):
    """The next number, uniform on [0, 1)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    return float(_mixed(state[0]) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@_compiled
def begin(tables, spins, costs, energies, best, best_spins, seed, first_read):
    """Random states, the same for all walkers of a read; arrays as in `anneal`."""
    for r in range(len(spins)):
        state = _stream(seed, first_read + r, -1)
        for i in range(spins.shape[2]):
            spins[r, :, i] = 1 if _uniform(state) < 0.5 else -1
        energies[r] = prepare(tables, spins[r, 0], costs[r, 0])
        costs[r] = costs[r, 0]
        best[r] = energies[r, 0]
        best_spins[r] = spins[r, 0]


@_compiled
def prepare(tables, spins, costs):
    """Fill `costs[N]`, the energy change of every flip; returns the energy without the problem's offset."""
    energy = 0.0
    for i in range(len(spins)):
        own = tables.fields[i] * spins[i]
        pairs = 0.0
        for entry in range(tables.pair_start[i], tables.pair_start[i + 1]):
            pairs += tables.pair_coefficients[entry] * spins[tables.pair_spins[entry]]
        pairs *= spins[i]
        costs[i] = -2 * (own + pairs)
        energy += own + pairs / 2
    for term in range(len(tables.coefficients)):
        value = _term(tables, spins, term)
        energy += value
        for entry in range(tables.term_start[term], tables.term_start[term + 1]):
            costs[tables.term_spins[entry]] -= 2 * value
    return energy


@_compiled
def _term(tables, spins, term):
    value = tables.coefficients[term]
    for entry in range(tables.term_start[term], tables.term_start[term + 1]):
        value *= spins[tables.term_spins[entry]]
    return value


@_compiled
def _flip(tables, spins, costs, i):
    """Flip spin i and bring the costs up to date."""
    four = 4.0 * spins[i]
    if len(tables.couplings):
        for j in range(len(spins)):  # a whole row: the compiler makes vectors of it
            costs[j] += four * tables.couplings[i, j] * spins[j]
    else:
        for entry in range(tables.pair_start[i], tables.pair_start[i + 1]):
            j = tables.pair_spins[entry]
            costs[j] += four * tables.pair_coefficients[entry] * spins[j]
    for entry in range(tables.spin_start[i], tables.spin_start[i + 1]):
        term = tables.spin_terms[entry]
        change = 4.0 * _term(tables, spins, term)
        for member in range(tables.term_start[term], tables.term_start[term + 1]):
            j = tables.term_spins[member]
            if j != i:
                costs[j] += change
    costs[i] = -costs[i]
    spins[i] = -spins[i]


@_compiled
def _accepts(state, exponent):
    """Metropolis: accept with probability min(1, exp(-exponent))."""
    if exponent <= 0.0:
        return True
    if exponent > 40.0:
        return False
    uniform = _uniform(state)
    # exp(x) exceeds its Taylor polynomial, which settles nearly all rejections without the exponential.
    polynomial = 1.0 + exponent * (1.0 + exponent * (1 / 2 + exponent * (1 / 6 + exponent * (1 / 24))))
    return uniform * polynomial < 1.0 and uniform < math.exp(-exponent)


@_compiled
def _sweep(tables, spins, costs, energy, beta, ring, above, below, best, best_spins, state):
    """One Metropolis sweep over the spins of one walker in their order, at inverse temperature `beta`.

    A flip of spin i also costs `2 ring s_i (above_i + below_i)`, in units of temperature: the walker's neighbours on
    the Trotter ring. Returns the new energy and the lowest one seen so far, whose state is in `best_spins`.
    """
    unsaved = False
    for i in range(len(spins)):
        exponent = beta * costs[i]
        if ring != 0.0:
            exponent += 2.0 * ring * spins[i] * (above[i] + below[i])
        if _accepts(state, exponent):
            if unsaved and costs[i] > 0.0:  # a new lowest state is copied when it is left, not on every step down
                best_spins[:] = spins
                unsaved = False
            energy += costs[i]
            _flip(tables, spins, costs, i)
            if energy < best:
                best = energy
                unsaved = True
    if unsaved:
        best_spins[:] = spins
    return energy, best


@_compiled
def _refresh(tables, spins, costs, energies, sweep):
    if sweep % _REFRESH == 0:
        for walker in range(len(spins)):
            energies[walker] = prepare(tables, spins[walker], costs[walker])


@_compiled
def _keep_best(spins, energies, best, best_spins):
    lowest = np.argmin(energies)
    if energies[lowest] < best[0]:
        best[0] = energies[lowest]
        best_spins[:] = spins[lowest]


@_compiled
def anneal(tables, spins, costs, energies, best, best_spins, betas, rings, seed, first_read, first_sweep):
    """Sweeps of P walkers in each read, coupled on a Trotter ring where `rings[t]` is not 0; P = 1 is simulated
    annealing.

    `spins[R, P, N]`, `costs[R, P, N]`, `energies[R, P]`, `best[R, 1]` and `best_spins[R, N]` are changed in place;
    `betas[t]` is the inverse temperature of sweep `first_sweep + t`, and `rings[t]` the coupling of neighbouring slices
    in units of temperature. On a ring, each sweep ends with a sweep of moves that flip a spin in all slices. Returns
    the mean and the lowest energy of the walkers after each sweep, [R, T, 2].
    """
    records = np.empty((len(spins), len(betas), 2))
    for r in range(len(spins)):
        for t in range(len(betas)):
            _refresh(tables, spins[r], costs[r], energies[r], first_sweep + t)
            state = _stream(seed, first_read + r, first_sweep + t)
            num_walkers = spins.shape[1]
            for k in range(num_walkers):
                above, below = spins[r, (k + 1) % num_walkers], spins[r, k - 1]
                energies[r, k], best[r, 0] = _sweep(
                    tables, spins[r, k], costs[r, k], energies[r, k], betas[t], rings[t], above, below,
                    best[r, 0], best_spins[r], state,
                )  # fmt: skip
            if rings[t] != 0.0:
                _sweep_lines(tables, spins[r], costs[r], energies[r], betas[t], best[r], best_spins[r], state)
            records[r, t, 0], records[r, t, 1] = energies[r].mean(), energies[r].min()
    return records


@_compiled
def _sweep_lines(tables, spins, costs, energies, beta, best, best_spins, state):
    """One Metropolis sweep of moves that flip a spin in all slices, which leave the ring's own energy as it is."""
    for i in range(spins.shape[1]):
        if _accepts(state, beta * costs[:, i].sum()):
            for k in range(len(spins)):
                energies[k] += costs[k, i]
                _flip(tables, spins[k], costs[k], i)
            _keep_best(spins, energies, best, best_spins)


@_compiled
def temper(tables, spins, costs, energies, best, best_spins, betas, seed, first_read, first_sweep, num_sweeps):
    """Parallel tempering: sweeps of P walkers at the inverse temperatures `betas[P]`, hot to cold, with exchanges.

    Arrays as in `anneal`, with walker k at `betas[k]`: an exchange swaps the states of neighbours, in turn of the even
    and of the odd pairs. Returns the energy of the coldest walker and the lowest of all, [R, T, 2].
    """
    records = np.empty((len(spins), num_sweeps, 2))
    for r in range(len(spins)):
        for t in range(num_sweeps):
            _refresh(tables, spins[r], costs[r], energies[r], first_sweep + t)
            state = _stream(seed, first_read + r, first_sweep + t)
            for k in range(len(betas)):
                energies[r, k], best[r, 0] = _sweep(
                    tables, spins[r, k], costs[r, k], energies[r, k], betas[k], 0.0, spins[r, k], spins[r, k],
                    best[r, 0], best_spins[r], state,
                )  # fmt: skip
            _exchange(spins[r], costs[r], energies[r], betas, (first_sweep + t) % 2, state)
            records[r, t, 0], records[r, t, 1] = energies[r, len(betas) - 1], energies[r].min()
    return records


@_compiled
def _exchange(spins, costs, energies, betas, first, state):
    """Swap the states of neighbouring temperatures with probability min(1, exp((b' - b) (E' - E)))."""
    for k in range(first, len(betas) - 1, 2):
        if _accepts(state, -(betas[k + 1] - betas[k]) * (energies[k + 1] - energies[k])):
            for i in range(spins.shape[1]):
                spins[k, i], spins[k + 1, i] = spins[k + 1, i], spins[k, i]
                costs[k, i], costs[k + 1, i] = costs[k + 1, i], costs[k, i]
            energies[k], energies[k + 1] = energies[k + 1], energies[k]
