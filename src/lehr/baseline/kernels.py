"""Compiled Markov chains on k-local problems: Metropolis sweeps, Trotter rings, replica exchange.

A walker is one spin configuration with the costs of all its flips, kept up to date flip by flip. A read is an
independent chain of P walkers: one for simulated annealing, P Trotter slices for simulated quantum annealing, P
temperatures for parallel tempering. The random numbers of a sweep depend on seed, read and sweep alone: neither the
number of threads nor the points at which a run is interrupted change a bit of it.
"""

import math
import os
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# Incremental costs and energies are recomputed after so many sweeps, before rounding adds up.
_REFRESH = 1024


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return numba.njit(cache=True, nogil=True, fastmath=False)(function)


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
def random_state(seed, read, num_spins):
    """The spins with which a read starts."""
    state = _stream(seed, read, -1)
    spins = np.empty(num_spins, np.int8)
    for i in range(num_spins):
        spins[i] = 1 if _uniform(state) < 0.5 else -1
    return spins


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
def anneal(tables, spins, costs, energies, best, best_spins, betas, rings, seed, read, first):
    """Sweeps of P walkers, coupled on a Trotter ring where `rings[t]` is not 0; P = 1 is simulated annealing.

    `spins[P, N]`, `costs[P, N]`, `energies[P]`, `best[1]` and `best_spins[N]` are changed in place; `betas[t]` is the
    inverse temperature of sweep `first + t`, and `rings[t]` the coupling of neighbouring slices in units of
    temperature. On a ring, each sweep ends with a sweep of moves that flip a spin in all slices. Returns the mean and
    the lowest energy of the walkers after each sweep, [T, 2].
    """
    num_walkers, num_spins = spins.shape
    records = np.empty((len(betas), 2))
    for t in range(len(betas)):
        _refresh(tables, spins, costs, energies, first + t)
        state = _stream(seed, read, first + t)
        for k in range(num_walkers):
            above, below = spins[(k + 1) % num_walkers], spins[k - 1]
            energies[k], best[0] = _sweep(
                tables, spins[k], costs[k], energies[k], betas[t], rings[t], above, below, best[0], best_spins, state
            )
        if rings[t] != 0.0:
            for i in range(num_spins):
                cost = 0.0
                for k in range(num_walkers):
                    cost += costs[k, i]
                if _accepts(state, betas[t] * cost):
                    for k in range(num_walkers):
                        energies[k] += costs[k, i]
                        _flip(tables, spins[k], costs[k], i)
            _keep_best(spins, energies, best, best_spins)
        records[t, 0], records[t, 1] = energies.mean(), energies.min()
    return records


@_compiled
def temper(tables, spins, costs, energies, best, best_spins, betas, seed, read, first, num_sweeps):
    """Parallel tempering: sweeps of P walkers at the inverse temperatures `betas[P]`, hot to cold, with exchanges.

    Arrays as in `anneal`, with walker k at `betas[k]`: an exchange swaps the states of neighbours, in turn of the even
    and of the odd pairs. Returns the mean and the lowest energy of the coldest walker and of all walkers, [T, 2].
    """
    num_walkers, num_spins = spins.shape
    records = np.empty((num_sweeps, 2))
    for t in range(num_sweeps):
        _refresh(tables, spins, costs, energies, first + t)
        state = _stream(seed, read, first + t)
        for k in range(num_walkers):
            energies[k], best[0] = _sweep(
                tables, spins[k], costs[k], energies[k], betas[k], 0.0, spins[k], spins[k], best[0], best_spins, state
            )
        for k in range((first + t) % 2, num_walkers - 1, 2):
            if _accepts(state, (betas[k + 1] - betas[k]) * (energies[k + 1] - energies[k]) * -1.0):
                for i in range(num_spins):
                    spins[k, i], spins[k + 1, i] = spins[k + 1, i], spins[k, i]
                    costs[k, i], costs[k + 1, i] = costs[k + 1, i], costs[k, i]
                energies[k], energies[k + 1] = energies[k + 1], energies[k]
        records[t, 0], records[t, 1] = energies[num_walkers - 1], energies.min()
    return records


@_compiled
def _keep_best(spins, energies, best, best_spins):
    lowest = np.argmin(energies)
    if energies[lowest] < best[0]:
        best[0] = energies[lowest]
        best_spins[:] = spins[lowest]


def num_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
