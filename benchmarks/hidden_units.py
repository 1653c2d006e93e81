"""Do hidden units, or products of spins as inputs, pay in the linear ansatz?

`python benchmarks/hidden_units.py FAMILY [FAMILY ...] [--ansatz NAME ...]` prints for a family of `SMALL` problems how
far above the exact free energy each ansatz stays when enumeration trains it without noise, as beta (F - F_exact) in
nats at three temperatures, mean over the instances and standard error; and for one of `FAMILIES` how often its networks
meet the lowest known energy (Wilson's intervals) and how far above it they end in equal steps, and after each the
linear ansatz in equal seconds of the processor. All by XLA, so that the kernels of the linear ansatz decide nothing.
The lowest known energies are those of 64 anneals of 20 000 sweeps, or planted. Instances and seeds are fixed in
advance. The ansätze, built around the linear one, are in `larger_linear.py`.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float
from larger_linear import Hidden, Products, on_xla

import lehr
from lehr.anneal import VariationalAnnealing, energy_unit
from lehr.ansatz.base import Ansatz, with_params
from lehr.ansatz.linear import Linear
from lehr.batch import Batch
from lehr.metrics import wilson
from lehr.preset import default_settings
from lehr.problem.base import stack

# In units of the problem's own, and steps at each.
TEMPERATURES, LIMIT_STEPS = (1.0, 0.5, 0.25), 400


def three_spin_glass(num_spins: int, degree: int, seed: int, graph_seed: int = 0) -> lehr.Problem:
    """Terms of three spins with random signs on a random hypergraph in which every spin is in `degree` terms."""
    rng = np.random.default_rng(graph_seed)
    while True:
        stubs = rng.permutation(np.repeat(np.arange(num_spins), degree)).reshape(-1, 3)
        terms = {tuple(sorted(row)) for row in stubs.tolist() if len(set(row)) == 3}
        if len(terms) == len(stubs):
            break
    signs = np.random.default_rng([seed, num_spins]).choice([-1.0, 1.0], len(terms))
    return lehr.Problem.from_terms(
        num_spins, dict(zip(sorted(terms), signs.tolist(), strict=True)), name=f"p3-{num_spins}-{degree}-{seed}"
    )


def _three_spin(num_spins: int, degree: int, seeds: range) -> list[lehr.Problem]:
    return [three_spin_glass(num_spins, degree, seed) for seed in seeds]


# Small enough to enumerate, instances with the same interactions.
SMALL: dict[str, Callable[[], list[lehr.Problem]]] = {
    "small-sk": lambda: [lehr.sherrington_kirkpatrick(10, seed=s) for s in range(1, 5)],
    "small-wishart": lambda: [lehr.wishart(10, 0.5, seed=s) for s in range(1, 5)],
    "small-three": lambda: _three_spin(10, 6, range(1, 5)),
}
# Instances with the same interactions, steps, and replicas.
FAMILIES: dict[str, tuple[Callable[[], list[lehr.Problem]], int, int]] = {
    "sk100": (lambda: [lehr.sherrington_kirkpatrick(100, seed=s) for s in (3, 9)], 1000, 4),
    "wishart32": (lambda: [lehr.wishart(32, 0.25, seed=s) for s in range(1, 5)], 1000, 8),
    "wishart64": (lambda: [lehr.wishart(64, 0.5, seed=s) for s in range(1, 4)], 1000, 4),
    "ea20": (lambda: [lehr.edwards_anderson(20, seed=s) for s in range(1, 4)], 400, 4),
    "cube6": (
        lambda: [lehr.edwards_anderson((6,) * 3, "gaussian", boundary="periodic", seed=s) for s in (1, 2)],
        500,
        4,
    ),
    "three60": (lambda: _three_spin(60, 4, range(1, 4)), 1000, 5),
    "newman-moore5": (lambda: [lehr.newman_moore(5)], 500, 8),
    "newman-moore8": (lambda: [lehr.newman_moore(8)], 1000, 8),
}
ANSATZE: dict[str, Callable[[lehr.Problem], Ansatz]] = {
    "linear": lambda problem: on_xla(Linear(problem)),
    **{f"shared {k}": lambda problem, k=k: Hidden(problem, k) for k in (2, 4, 8, 16)},
    **{f"own {k}": lambda problem, k=k: Hidden(problem, k, own=True) for k in (1, 2, 4, 8)},
    "pairs": lambda problem: Products(problem, "pairs"),
    "constraints": lambda problem: Products(problem),
}


def limit(problems: list[lehr.Problem], ansatz: Ansatz) -> Float[np.ndarray, "temperatures instances"]:
    """beta (F - F_exact) in nats where exact gradients end, at each of `TEMPERATURES` from where the last one ended."""
    n, unit = problems[0].num_spins, float(energy_unit(problems[0]))
    states = jnp.asarray(2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) - 1)
    energies = jnp.stack([jnp.asarray(p.energy(np.asarray(states, int))) for p in problems])
    stacked, optimiser = stack(problems), optax.adam(optax.cosine_decay_schedule(3e-2, LIMIT_STEPS))

    def excess(params, problem, energy, beta):
        log_prob = with_params(ansatz.informed(problem, beta), params).log_prob(states).sum(1)
        return (jnp.exp(log_prob) * (beta * energy + log_prob)).sum() + jax.nn.logsumexp(-beta * energy)

    @jax.jit
    def minimise(params, beta):
        gradient = jax.vmap(jax.grad(excess), in_axes=(0, 0, 0, None))

        def step(carry, _):
            params, state = carry
            updates, state = optimiser.update(gradient(params, stacked, energies, beta), state)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), None, LIMIT_STEPS)
        return params, jax.vmap(excess, in_axes=(0, 0, 0, None))(params, stacked, energies, beta)

    params = jax.vmap(ansatz.fresh_params)(jax.random.split(jax.random.key(1), len(problems)))
    found = []
    for temperature in TEMPERATURES:
        params, values = minimise(params, jnp.asarray(1 / (temperature * unit)))
        found.append(np.asarray(values))
    return np.array(found)


def trained(
    problems: list[lehr.Problem], ansatz: Ansatz, num_steps: int, replicas: int
) -> tuple[Float[np.ndarray, "instances replicas"], float]:
    """The lowest energy that each network met, and milliseconds of the processor for a step of one network."""
    settings = default_settings(problems[0]).changed(num_steps=num_steps)
    annealing = VariationalAnnealing(settings.schedule(problems), learning_rate=settings.learning_rate)
    engine = Batch(annealing, ansatz, problems, replicas=replicas, num_final_samples=1, seed=0)
    moving = engine.start()
    engine.compile(moving)
    started = time.process_time()
    for taken in range(0, num_steps, engine.most_steps):
        moving, _ = engine.advance(moving, min(engine.most_steps, num_steps - taken))
    seconds = time.process_time() - started
    offsets = np.array([[float(problem.offset)] for problem in problems])
    lowest = np.asarray(moving.best_energy, float).reshape(len(problems), replicas) + offsets
    return lowest, 1e3 * seconds / num_steps / lowest.size


def _lowest_known(problem: lehr.Problem) -> float:
    if problem.ground_energy is not None:
        return float(problem.ground_energy)
    return lehr.solve(problem, "sa", replicas=64, num_steps=20_000, seed=0, progress=False).best_energy


def _shown(values: np.ndarray) -> str:
    return f"{values.mean():.5f} +- {values.std(ddof=1) / values.size**0.5:.5f}"


def limits(family: str, names: list[str]) -> None:
    """Print how far from the exact free energy each ansatz stays."""
    problems = SMALL[family]()
    for name in names:
        ansatz = ANSATZE[name](problems[0])
        told = "  ".join(map(_shown, limit(problems, ansatz)))
        print(f"{family:<14} {name:<10} {ansatz.num_parameters:5d} parameters  {told}", flush=True)


def anneals(family: str, names: list[str]) -> None:
    """Print what each ansatz finds in the steps of the family, and the linear one in as many seconds."""
    make, num_steps, replicas = FAMILIES[family]
    problems = make()
    known = np.array([[_lowest_known(problem)] for problem in problems])
    cost: dict[str, float] = {}
    runs = [(name, num_steps) for name in names]
    for name, steps in runs:
        lowest, milliseconds = trained(problems, ANSATZE[name](problems[0]), steps, replicas)
        if cost.setdefault(name, milliseconds) is milliseconds and name != "linear" and "linear" in cost:
            runs.append(("linear", int(steps * milliseconds / cost["linear"])))
        gap = (lowest - known) / problems[0].num_spins
        hits = int((gap < 1e-6).sum())
        share = wilson(hits, gap.size)
        print(
            f"{family:<14} {name:<10} {steps:6d} steps of {milliseconds:.2f} ms  lowest energy met by {hits} of "
            f"{gap.size} [{share.low:.2f}, {share.high:.2f}]  above it, per spin, {_shown(gap)}",
            flush=True,
        )


def main() -> None:
    """Print the tables of the families of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="+", choices=[*SMALL, *FAMILIES])
    parser.add_argument("--ansatz", nargs="+", default=["linear", "shared 8", "own 2"], choices=list(ANSATZE))
    arguments = parser.parse_args()
    for family in arguments.families:
        (limits if family in SMALL else anneals)(family, arguments.ansatz)


if __name__ == "__main__":
    main()
