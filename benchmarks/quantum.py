"""Does a network in a transverse field follow the ground state? Newman-Moore L = 3 and L = 5 against exact energies.

`python benchmarks/quantum.py [3] [5] [--seeds 10] [--start 1.2] [--stop 0.05] [--points 50]` anneals with Lehr's
defaults for a field, one network for each seed, and prints excesses over exact diagonalisation in percent, a line for
each seed and the verdict.

L = 3, one branch: every ten steps after the warm-up the energy of psi = sqrt(p) from the table of all 512 states,
without sampling noise; and the weight and the entropy (in units of ln 4) of the four classical ground states at the
end, from the same table.

L = 5, two branches: energies from the samples of the history, averaged over windows of equal length along the field
(`lehr.branches.lower_envelope`; 50 windows are 15 steps or 3000 samples each), against Lanczos in the sector of the
lattice's symmetries; the largest statistical error of a window stands beside the largest excess.
"""

import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import lehr
from lehr.anneal import informed_at
from lehr.branches import lower_envelope
from lehr.exact.quantum import field_energy, symmetric_field_energy
from lehr.plan import chosen_settings, make_plan


def follow(seeds: range, fields: tuple[float, float]) -> None:
    """L = 3 on the way down, without sampling noise."""
    problem = lehr.newman_moore(3)
    states = np.array(np.meshgrid(*[[1, -1]] * 9, indexing="ij")).reshape(9, -1).T
    energies = problem.energy(states)
    ground = energies - energies.min() < 1e-9
    flipped = np.arange(512)[:, None] ^ (1 << np.arange(8, -1, -1))
    settings = chosen_settings(problem, None, None, {"method": "vqa", "transverse_field": fields})
    engine = make_plan([problem], settings, {"ansatz": None, "schedule": None, "optimiser": None}).engine
    annealing, schedule = engine.annealing, engine.annealing.schedule
    step = eqx.filter_jit(annealing.step)

    @eqx.filter_jit
    def distribution(state):
        controls = schedule(state.step)
        ansatz, _ = informed_at(controls, state.problem, state.ansatz)
        return controls.field, jnp.exp(ansatz.log_prob(jnp.asarray(states, float)).sum(1))

    print("seed  largest excess %  mean excess %  ground states  entropy / ln 4")
    near = even = 0
    for seed in seeds:
        state = annealing.init(problem, engine.ansatz, jax.random.key(seed))
        gammas, found, p = [], [], np.zeros(512)
        for number in range(schedule.num_steps):
            state, _ = step(state)
            if number >= settings.num_warmup_steps and number % 10 == 9:
                gamma, p = (np.asarray(value, np.float64) for value in distribution(state))
                amplitude = np.sqrt(p / p.sum())
                gammas.append(float(gamma))
                found.append(amplitude**2 @ energies - gamma * (amplitude[:, None] * amplitude[flipped]).sum())
        exact = np.ravel(field_energy(problem, gammas))
        excess = 100 * (np.array(found) - exact) / np.abs(exact)
        shares = p[ground] / p[ground].sum()
        entropy = -(shares * np.log(shares)).sum() / np.log(4)
        print(f"{seed:4d}  {excess.max():16.2f}  {excess.mean():13.2f}  {p[ground].sum():13.3f}  {entropy:14.3f}")
        near += excess.max() <= 0.8
        even += entropy >= 0.95
    print(f"L = 3: within 0.8 % at every field for {near} of {len(seeds)} seeds; ", end="")
    print(f"entropy of the ground states at least 0.95 ln 4 for {even} of {len(seeds)}", flush=True)


def compare_branches(seeds: range, fields: tuple[float, float], num_points: int) -> None:
    """L = 5 on the way down and on the way up, from the samples of the history."""
    problem, exact = lehr.newman_moore(5), np.zeros(0)
    options = {"branches": 2, "replicas": 1, "transverse_field": fields, "progress": False}
    print("seed  largest excess %  at field  mean excess %  down alone %  up alone %  seconds")
    largest = []
    for seed in seeds:
        result = lehr.solve(problem, "vqa", seed=seed, **options)
        envelope = lower_envelope(result, num_points)
        if not exact.size:
            exact = np.ravel(symmetric_field_energy(problem, list(envelope.field)))
        excess, error, alone = (
            100 * values / np.abs(exact)
            for values in (envelope.energy[0] - exact, envelope.error[0], envelope.energies[:, 0] - exact)
        )
        worst = excess.argmax()
        largest.append([excess.max(), *alone.max(axis=1)])
        print(
            f"{seed:4d}  {excess[worst]:8.2f} +- {error[worst]:4.2f}  {envelope.field[worst]:8.3f}  "
            f"{excess.mean():13.2f}  {largest[-1][1]:12.2f}  {largest[-1][2]:10.2f}  {result.seconds['train']:7.1f}",
            flush=True,
        )
    both, down, up = (np.array(largest) <= 2).sum(axis=0)
    print(f"L = 5: within 2 % at every field for {both} of {len(seeds)} seeds by two branches, ", end="")
    print(f"{down} by the way down alone, {up} by the way up alone", flush=True)


def main() -> None:
    """Print the table of each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", type=int, nargs="*", choices=[3, 5])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--start", type=float, default=1.2)
    parser.add_argument("--stop", type=float, default=0.05)
    parser.add_argument("--points", type=int, default=50)
    arguments = parser.parse_args()
    sizes, seeds = arguments.sizes or [3, 5], range(arguments.seeds)
    fields = arguments.start, arguments.stop
    if 3 in sizes:
        follow(seeds, fields)
    if 5 in sizes:
        compare_branches(seeds, fields, arguments.points)


if __name__ == "__main__":
    main()
