"""An ansatz of one's own, trained step by step by one's own loop.

Independent spins, p(s) = prod_i sigmoid(params_i s_i), are the mean-field theory of the problem. An ansatz is a pytree
with `params` and the methods below; everything else (objective, gradient, schedule) is Lehr's.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

import lehr


class MeanField(lehr.Ansatz):
    """Independent spins."""

    params: Any
    order: lehr.SiteOrder

    def __init__(self, num_spins: int):
        self.params = jnp.zeros(num_spins)
        self.order = lehr.SiteOrder.sequential(range(num_spins))

    def fresh_params(self, key):
        """Small random fields, which break the symmetry."""
        return 0.1 * jax.random.normal(key, self.params.shape)

    def informed(self, problem, inverse_temperature):
        """This one does not look at the Hamiltonian."""
        return self

    def sample(self, key, num_samples):
        """Spins, and ln p of the very draw."""
        noise = jax.random.logistic(key, (num_samples, self.params.size))
        spins = jnp.where(jax.lax.stop_gradient(self.params)[None] > noise, 1.0, -1.0)
        return spins, self.log_prob(spins)

    def log_prob(self, spins):
        """ln p of every spin."""
        return jax.nn.log_sigmoid(spins * self.params[None])

    def flip_log_ratio(self, spins):
        """ln p(one spin flipped) - ln p."""
        return -spins * self.params[None]


def main(num_steps: int = 400) -> dict[str, float]:
    """Anneal a small lattice from T = 2 to 0.05 and show every fourth part of the way."""
    problem = lehr.edwards_anderson(4, seed=1)
    schedule = lehr.Schedule(lehr.GeometricRamp(2.0, 0.05), None, num_annealing_steps=num_steps)
    annealing = lehr.VariationalAnnealing(schedule, num_samples=200, learning_rate=0.05)
    state = annealing.init(problem, MeanField(problem.num_spins), jax.random.key(0))
    step = eqx.filter_jit(annealing.step)
    for number in range(num_steps):
        state, info = step(state)
        if (number + 1) % (num_steps // 4) == 0:
            print(f"step {number + 1}: T {info.temperature:.3f}  F {info.free_energy:.3f}  E {info.energy_mean:.3f}")
    return {"best": float(state.best_energy), "ground": float(lehr.exact(problem).ground_energy)}


if __name__ == "__main__":
    found = main()
    print(f"lowest energy met {found['best']:.4f}, ground energy {found['ground']:.4f}")
