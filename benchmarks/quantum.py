"""Does a network in a transverse field follow the ground state? Newman-Moore L = 3, energies without sampling noise.

`python benchmarks/quantum.py [--seeds 3] [--start 1.2] [--stop 0.05]` anneals with Lehr's defaults for a field and
computes, every ten steps after the warm-up, the energy of psi = sqrt(p) from the table of all 512 states. It prints the
largest and the mean excess over exact diagonalisation in percent, and the weight and the entropy (in units of ln 4) of
the four classical ground states at the end.
"""

import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import lehr
from lehr.anneal import informed_at
from lehr.exact.quantum import field_energy
from lehr.plan import chosen_settings, make_plan

PROBLEM = lehr.newman_moore(3)
STATES = np.array(np.meshgrid(*[[1, -1]] * 9, indexing="ij")).reshape(9, -1).T
ENERGIES = PROBLEM.energy(STATES)
GROUND = ENERGIES - ENERGIES.min() < 1e-9
FLIPPED = np.arange(512)[:, None] ^ (1 << np.arange(8, -1, -1))


def follow(seed: int, start: float, stop: float) -> tuple[float, float, float, float]:
    """(largest excess %, mean excess %, weight of ground states, entropy / ln 4) of one anneal."""
    settings = chosen_settings(PROBLEM, None, None, {"method": "vqa", "transverse_field": (start, stop)})
    engine = make_plan([PROBLEM], settings, {"ansatz": None, "schedule": None, "optimiser": None}).engine
    annealing, schedule = engine.annealing, engine.annealing.schedule
    step = eqx.filter_jit(annealing.step)

    @eqx.filter_jit
    def distribution(state):
        controls = schedule(state.step)
        ansatz, _ = informed_at(controls, state.problem, state.ansatz)
        return controls.field, jnp.exp(ansatz.log_prob(jnp.asarray(STATES, float)).sum(1))

    state = annealing.init(PROBLEM, engine.ansatz, jax.random.key(seed))
    fields, found, p = [], [], np.zeros(512)
    for number in range(schedule.num_steps):
        state, _ = step(state)
        if number >= settings.num_warmup_steps and number % 10 == 9:
            field, p = (np.asarray(value, np.float64) for value in distribution(state))
            amplitude = np.sqrt(p / p.sum())
            fields.append(float(field))
            found.append(amplitude**2 @ ENERGIES - field * (amplitude[:, None] * amplitude[FLIPPED]).sum())
    exact = np.ravel(field_energy(PROBLEM, fields))
    excess = 100 * (np.array(found) - exact) / np.abs(exact)
    ground = p[GROUND]
    shares = ground / ground.sum()
    return excess.max(), excess.mean(), ground.sum(), -(shares * np.log(shares)).sum() / np.log(4)


def main() -> None:
    """Follow the ground state with several seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--start", type=float, default=1.2)
    parser.add_argument("--stop", type=float, default=0.05)
    arguments = parser.parse_args()
    print("seed  largest excess %  mean excess %  ground states  entropy / ln 4")
    for seed in range(arguments.seeds):
        largest, mean, ground, entropy = follow(seed, arguments.start, arguments.stop)
        print(f"{seed:4d}  {largest:16.2f}  {mean:13.2f}  {ground:13.3f}  {entropy:14.3f}", flush=True)


if __name__ == "__main__":
    main()
