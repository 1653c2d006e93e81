"""Does anything lead out of the wrong valley that all short anneals share?

`python benchmarks/elite.py INSTANCE [INSTANCE ...] [--ways NAME ...] [--seeds 8]` anneals one network for each seed, by
the kernel where there is one, and prints for each of the `WAYS` how many of them met the ground state (Wilson's
interval) and how far above it they ended, in equal steps:

* plain: as `lehr.solve` does;
* replay: the lowest eight states that were met enter every gradient with the weight min(F_loc - mean F_loc, 0), so that
  the network keeps at least their share of the Boltzmann distribution;
* chains: eight Metropolis chains, one sweep at each step and its temperature, which may jump to states that the
  network proposes (accepted as an independence sampler's), enter every gradient by their ln p;
* repel: pairs of networks, each of which pays strength * T ln p(s) for what the other finds probable; the strength goes
  to zero at three quarters of the anneal.

Ground energies are the published ones, and planted. Instances and seeds are fixed in advance.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import optax
from jaxtyping import Array, Float, Int

import lehr
from lehr.anneal import State, VariationalAnnealing, energy_unit, informed_at
from lehr.ansatz.base import Ansatz, with_params
from lehr.metrics import wilson
from lehr.objective import advantages, local_values
from lehr.preset import default_settings

ORACLES = json.loads((Path(__file__).parent.parent / "tests/data/oracles.json").read_text())


def instance(name: str) -> tuple[lehr.Problem, float, int]:
    """A problem, its ground energy, and the steps of an anneal."""
    family, seed = name.split("-")
    if family == "ea40":
        return lehr.edwards_anderson(40, seed=int(seed)), ORACLES["EA"]["40"][seed] * 1600, 5000
    if family == "sk100":
        return lehr.sherrington_kirkpatrick(100, seed=int(seed)), ORACLES["SK"][seed] * 100, 2000
    problem = lehr.wishart(64, 0.5, seed=int(seed))
    return problem, float(problem.ground_energy), 4000


INSTANCES = ("ea40-8", "sk100-3", "sk100-9", *(f"wishart64-{seed}" for seed in range(1, 6)))
STRENGTHS = {"plain": 0.0, "replay": 1.0, "chains": 0.3, "repel": 0.3}
NUM_ELITES = 8


class Pool(NamedTuple):
    """States kept beside the network, and their energies."""

    spins: Float[Array, "p n"]
    energy: Float[Array, " p"]


class Colours(NamedTuple):
    """Spins by colour, and the neighbours and couplings of each, for sweeps in parallel; padded with the spin N."""

    spins: Int[Array, "c w"]
    neighbours: Int[Array, "n1 d"]
    couplings: Float[Array, "n1 d"]


def coloured(problem: lehr.Problem) -> Colours:
    """A colouring in which no two neighbours have the same colour."""
    n, graph = problem.num_spins, nx.Graph()
    graph.add_nodes_from(range(n))
    (pairs,) = problem.terms
    for (i, j), coupling in zip(np.asarray(pairs.indices).tolist(), np.asarray(pairs.coefficients), strict=True):
        graph.add_edge(i, j, coupling=coupling)
    colour = nx.greedy_color(graph)
    classes = [[i for i in range(n) if colour[i] == c] for c in range(max(colour.values()) + 1)]
    spins = np.full((len(classes), max(map(len, classes))), n)
    neighbours = np.full((n + 1, max(degree for _, degree in graph.degree)), n)
    couplings = np.zeros(neighbours.shape)
    for row, members in zip(spins, classes, strict=True):
        row[: len(members)] = members
    for i in range(n):
        for k, (j, edge) in enumerate(graph[i].items()):
            neighbours[i, k], couplings[i, k] = j, edge["coupling"]
    return Colours(jnp.asarray(spins), jnp.asarray(neighbours), jnp.asarray(couplings, jnp.float32))


def swept(colours: Colours, key, spins: Float[Array, "p n"], temperature) -> Float[Array, "p n"]:
    """One Metropolis sweep of each chain."""

    def update(padded, xs):
        members, key = xs
        mine = padded[:, members]
        field = (padded[:, colours.neighbours[members]] * colours.couplings[members]).sum(-1)
        accept = jnp.log(jax.random.uniform(key, mine.shape)) < 2 * mine * field / temperature
        return padded.at[:, members].set(jnp.where(accept, -mine, mine)), None

    keys = jax.random.split(key, len(colours.spins))
    return jax.lax.scan(update, jnp.pad(spins, ((0, 0), (0, 1))), (colours.spins, keys))[0][:, :-1]


def energies(problem: lehr.Problem, spins: Float[Array, "p n"]) -> Float[Array, " p"]:
    """H without its offset, on the device."""
    return jnp.asarray(sum(terms.products(spins) @ jnp.asarray(terms.coefficients) for terms in problem.terms))


def replayed(strength, ansatz: Ansatz, pool: Pool, temperature, estimate) -> tuple[Any, Pool]:
    """The gradient of the elites, and the pool with the lowest sample in place of its highest state, if it is lower
    and not there yet."""
    lowest = estimate.energy.min()
    new = (lowest < pool.energy.max()) & ~(pool.spins == estimate.lowest).all(1).any()
    here = new & (jnp.arange(NUM_ELITES) == jnp.argmax(pool.energy))
    pool = Pool(jnp.where(here[:, None], estimate.lowest, pool.spins), jnp.where(here, lowest, pool.energy))
    local = estimate.energy + temperature * estimate.log_prob

    def loss(params):
        log_prob = with_params(ansatz, params).log_prob(pool.spins).sum(1)
        lacking = pool.energy + temperature * jax.lax.stop_gradient(log_prob) - local.mean()
        weight = jnp.clip(lacking / (local.std() + 1e-6), -3, 0)
        return strength * jnp.where(jnp.isfinite(pool.energy), weight * log_prob, 0).mean()

    return jax.grad(loss)(ansatz.params), pool


def chained(strength, colours: Colours, problem, key, ansatz: Ansatz, pool: Pool, temperature) -> tuple[Any, Pool]:
    """The gradient of -ln p of the chains, and the chains after a proposal of the network and a sweep."""
    jump, propose, sweep = jax.random.split(key, 3)
    proposed, log_proposed = ansatz.sample(propose, NUM_ELITES)
    energy = energies(problem, proposed)

    def loss(params):
        log_prob = with_params(ansatz, params).log_prob(pool.spins).sum(1)
        return -strength * log_prob.mean(), log_prob

    gradient, log_prob = jax.grad(loss, has_aux=True)(ansatz.params)
    ratio = (pool.energy - energy) / temperature + log_prob - log_proposed.sum(1)
    accept = ~jnp.isfinite(pool.energy) | (jnp.log(jax.random.uniform(jump, ratio.shape)) < ratio)
    spins = swept(colours, sweep, jnp.where(accept[:, None], proposed, pool.spins), temperature)
    return gradient, Pool(spins, energies(problem, spins))


def stepped(annealing: VariationalAnnealing, state: State, gradient, lowest) -> State:
    """The state after the optimiser's step."""
    params, moments = annealing.optimiser.step(
        state.ansatz.params, gradient, optax.tree.norm(gradient), state.optimiser_state, annealing.learning_rate
    )
    best = jnp.minimum(lowest, state.best_energy)
    return eqx.tree_at(
        lambda s: (s.ansatz, s.optimiser_state, s.step, s.best_energy),
        state,
        (with_params(state.ansatz, params), moments, state.step + 1, best),
    )


@partial(jax.jit, static_argnames="way")
def annealed(
    annealing: VariationalAnnealing, problem, ansatz: Ansatz, colours: Colours, key, num_steps, way: str, strength
):
    """The lowest energy that one network met."""
    pool = Pool(jnp.ones((NUM_ELITES, problem.num_spins)), jnp.full(NUM_ELITES, jnp.inf))

    def step(_, carry):
        state, pool = carry
        controls = annealing.schedule(state.step)
        temperature = controls.temperature
        ansatz, _ = informed_at(controls, state.problem, state.ansatz)
        own, other = jax.random.split(jax.random.fold_in(state.key, state.step))
        estimate = ansatz.thermal_estimate(
            own, annealing.num_samples, temperature, energy_unit(problem), normalise=True
        )
        gradient = estimate.gradient
        if way == "replay":
            extra, pool = replayed(strength, ansatz, pool, temperature, estimate)
            gradient = jax.tree.map(jnp.add, gradient, extra)
        elif way == "chains":
            extra, pool = chained(strength, colours, problem, other, ansatz, pool, temperature)
            gradient = jax.tree.map(jnp.add, gradient, extra)
        return stepped(annealing, state, gradient, estimate.energy.min()), pool

    start = annealing.init(problem, ansatz, key), pool
    return jax.lax.fori_loop(0, num_steps, step, start)[0].best_energy


@jax.jit
def repelled(annealing: VariationalAnnealing, problem, ansatz: Ansatz, key, num_steps, strength) -> Float[Array, " 2"]:
    """The lowest energies of two networks that avoid each other."""
    unit = energy_unit(problem)

    def one(state: State, other: State) -> State:
        controls = annealing.schedule(state.step)
        ansatz, _ = informed_at(controls, problem, state.ansatz)
        avoided, _ = informed_at(controls, problem, other.ansatz)
        share = strength * jnp.maximum(0, 1 - state.step / (0.75 * num_steps))

        def draw(params):
            key = jax.random.fold_in(state.key, state.step)
            spins, log_prob = with_params(ansatz, params).sample(key, annealing.num_samples)
            return log_prob, spins

        log_prob, score, spins = jax.vjp(draw, ansatz.params, has_aux=True)
        values = local_values(problem, ansatz, spins, log_prob, controls)
        cost = values.site_cost + share * controls.temperature * avoided.log_prob(spins)
        weights = advantages(eqx.tree_at(lambda v: v.site_cost, values, cost), ansatz.order) / unit
        weights = weights / jnp.maximum(jnp.sqrt((weights**2).mean()), 1e-5) / annealing.num_samples
        return stepped(annealing, state, score(weights)[0], values.energy.min())

    states = tuple(annealing.init(problem, ansatz, each) for each in jax.random.split(key))
    states = jax.lax.fori_loop(0, num_steps, lambda _, s: (one(s[0], s[1]), one(s[1], s[0])), states)
    return jnp.stack([state.best_energy for state in states])


def main() -> None:
    """Print a line for each instance and way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("instances", nargs="+", choices=INSTANCES)
    parser.add_argument("--ways", nargs="+", default=list(STRENGTHS), choices=list(STRENGTHS))
    parser.add_argument("--seeds", type=int, default=8)
    arguments = parser.parse_args()
    for name in arguments.instances:
        problem, ground, num_steps = instance(name)
        settings = default_settings(problem).changed(num_steps=num_steps)
        annealing = VariationalAnnealing(settings.schedule([problem]), learning_rate=settings.learning_rate)
        given = annealing, problem.bare(), lehr.Linear(problem)
        colours = coloured(problem)
        for way in arguments.ways:
            strength, lowest, started = jnp.asarray(STRENGTHS[way]), [], time.process_time()
            for seed in range(arguments.seeds if way != "repel" else arguments.seeds // 2):
                key = jax.random.key(seed)
                if way == "repel":
                    lowest.extend(repelled(*given, key, num_steps, strength).tolist())
                else:
                    lowest.append(float(annealed(*given, colours, key, num_steps, way, strength)))
            seconds = (time.process_time() - started) / len(lowest)
            gaps = np.array(lowest) + float(problem.offset) - ground
            hits = int((gaps < 1e-5 * abs(ground)).sum())
            share = wilson(hits, len(gaps))
            told = f"{hits} of {len(gaps)} [{share.low:.2f}, {share.high:.2f}]"
            print(
                f"{name:<10} {way:<7} ground state met by {told}, above it {gaps.mean():.3f} on average, "
                f"{gaps.min():.3f} to {gaps.max():.3f}, {seconds:.1f} s of the processor for a network",
                flush=True,
            )


if __name__ == "__main__":
    main()
