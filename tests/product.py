"""An ansatz of one's own: independent spins. It compiles fast, so it is what the tests of the training loop train."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from lehr import Ansatz, SiteOrder


class Product(Ansatz):
    """`p(s) = prod_i sigmoid(params_i s_i)`; `traces` counts how often a program with it was traced."""

    traces: ClassVar[list[int]] = []
    params: Any
    order: SiteOrder

    def __init__(self, num_spins: int):
        self.params = jnp.zeros(num_spins)
        self.order = SiteOrder.sequential(range(num_spins))

    def fresh_params(self, key):
        return 0.1 * jax.random.normal(key, self.params.shape)

    def informed(self, problem, inverse_temperature):
        return self

    def sample(self, key, num_samples):
        Product.traces.append(num_samples)
        noise = jax.random.logistic(key, (num_samples, self.params.size))
        spins = jnp.where(jax.lax.stop_gradient(self.params)[None] > noise, 1.0, -1.0)
        return spins, self.log_prob(spins)

    def log_prob(self, spins):
        return jax.nn.log_sigmoid(spins * self.params[None])

    def flip_log_ratio(self, spins):
        return -spins * self.params[None]
