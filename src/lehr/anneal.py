"""One annealing step: sample, weigh, update. Pure functions of the state."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from lehr._types import ArrayLike, Key
from lehr.ansatz.base import Ansatz, check_fits, with_params
from lehr.objective import LocalValues, advantages, effective_sample_size, flipped_at_random, local_values
from lehr.optimise import Adam, NaturalGradient, descended
from lehr.problem.base import Problem
from lehr.schedule import Controls, Schedule, effective_inverse_temperature, effective_problem
from lehr.shares import gathered, num_shares, own_share, summed


class State(eqx.Module):
    """All that the next step needs: the problem, the ansatz with its parameters, the optimiser, the best state seen
    (its energy without the problem's offset), and whether the schedule is passed on its way back (`upward`).

    The random numbers of step t come from `fold_in(key, t)`, so a run continued from a saved state is the same run.
    """

    problem: Problem
    ansatz: Ansatz
    optimiser_state: Any
    key: Key
    step: Int[Array, ""]
    upward: Bool[Array, ""]
    best_spins: Float[Array, " n"]
    best_energy: Float[Array, ""]


class Info(eqx.Module):
    """What an observer sees of one step. Energies and free energies are in the units of H, not per spin and without the
    problem's constant offset, which no float32 sum should carry; entropy is
    in nats; `free_energy_variance` is the variance of F_loc over the samples (0 where p is the Boltzmann
    distribution); `effective_sample_size` is the share of the samples, from 1/M to 1, that reweighting them to the
    Boltzmann distribution at the temperature of the next step would leave (NaN where p is not meant to be Boltzmann's:
    without a temperature, or in a field); `gradient_norm` is that of the objective in units of
    `energy_unit`, divided by the root mean square of the advantages where these are normalised; with natural gradient
    that of the plain gradient, in units of 1 / beta."""

    temperature: Float[Array, ""]
    field: Float[Array, ""]
    energy_mean: Float[Array, ""]
    energy_min: Float[Array, ""]
    energy_std: Float[Array, ""]
    free_energy: Float[Array, ""]
    free_energy_variance: Float[Array, ""]
    entropy: Float[Array, ""]
    effective_sample_size: Float[Array, ""]
    gradient_norm: Float[Array, ""]


class _Drawn(NamedTuple):
    """What a step keeps of the samples of all devices: the lowest, and of each its energy, free energy, ln p(s) and
    weight."""

    lowest: Float[Array, " n"]
    energy: Float[Array, " m"]
    free_energy: Float[Array, " m"]
    log_prob: Float[Array, " m"]
    weights: Float[Array, " m"]

    @classmethod
    def of(cls, spins: Float[Array, "m n"], log_prob: Float[Array, "m n"], values: LocalValues) -> "_Drawn":
        spins, log_prob = gathered((spins, log_prob.sum(1)))
        return cls(spins[jnp.argmin(values.energy)], values.energy, values.free_energy, log_prob, values.weights)


class VariationalAnnealing(eqx.Module):
    """Trains an ansatz on the objective of its schedule, one gradient step after the other (paper A, fig. 2).

    Arguments: `schedule`; `num_samples` M per step; `learning_rate`, the length of the steps of `optimiser`, which is
    an `Adam` (the default), a `NaturalGradient`, or any optax transformation that leaves the step size out; with
    `learning_rate=None` an optax optimiser's updates are taken as they are, and the others have rate 1. `normalise`
    divides the advantages by their root mean square. In a field, natural gradient flips a random spin of each sample
    with `flip_probability`, and weights the samples accordingly.

    >>> from lehr.ansatz.linear import Linear
    >>> from lehr.schedule import protocol
    >>> chain = Problem.from_terms(3, {(0, 1): -1.0, (1, 2): 0.5})
    >>> schedule = protocol("vca", temperature=(1.0, 0.0), field=(0.0, 0.0), num_annealing_steps=2)
    >>> annealing = VariationalAnnealing(schedule, num_samples=8, learning_rate=0.01)
    >>> state, info = annealing.step(annealing.init(chain, Linear(chain), jax.random.key(0)))
    >>> int(state.step), float(state.best_energy)
    (1, -1.5)
    """

    schedule: Schedule
    num_samples: int = eqx.field(static=True, default=64)
    learning_rate: Float[ArrayLike, ""] | None = eqx.field(
        default=1e-2, converter=lambda rate: None if rate is None else jnp.asarray(rate)
    )
    optimiser: optax.GradientTransformation | Adam | NaturalGradient = eqx.field(static=True, default=Adam())
    normalise: bool = eqx.field(static=True, default=True)
    flip_probability: float = eqx.field(static=True, default=0.1)

    def init(self, problem: Problem, ansatz: Ansatz, key: Key, upward: bool | Bool[Array, ""] = False) -> State:
        """The state before the first step, with new parameters for the ansatz drawn from `key`; `upward` for a run on
        the schedule's way back.

        Errors: `InputError` where the ansatz was built for another problem.
        """
        check_fits(ansatz, problem)
        key, params_key = jax.random.split(key)
        params = ansatz.fresh_params(params_key)
        dtype = jnp.result_type(float)
        return State(
            problem=problem.bare(),
            ansatz=with_params(ansatz, params),
            optimiser_state=self.optimiser.init(params),
            key=key,
            step=jnp.zeros((), int),
            upward=jnp.asarray(upward),
            best_spins=jnp.ones(problem.num_spins, dtype),
            best_energy=jnp.asarray(jnp.inf, dtype),
        )

    def step(self, state: State) -> tuple[State, Info]:
        """One gradient step at the controls of `state.step`."""
        controls, problem = self.schedule(state.step, state.upward), state.problem
        unit = energy_unit(problem)
        ansatz, beta = informed_at(controls, problem, state.ansatz)
        key = jax.random.fold_in(state.key, state.step)
        if isinstance(self.optimiser, NaturalGradient):
            drawn, params, gradient_norm = self._natural(self.optimiser, problem, ansatz, key, controls, beta)
            optimiser_state = state.optimiser_state
        else:
            drawn, gradient = self._plain(problem, ansatz, key, controls, unit)
            gradient_norm = optax.tree.norm(gradient)
            params, optimiser_state = self._descended(
                self.optimiser, ansatz.params, gradient, gradient_norm, state.optimiser_state
            )

        lowest_energy = drawn.energy.min()
        better = lowest_energy < state.best_energy
        following = self.schedule(state.step + 1, state.upward)
        share = _boltzmann_share(drawn, following, effective_inverse_temperature(following, unit))
        info = _info(drawn, controls, share, gradient_norm)
        state = State(
            problem=problem,
            ansatz=with_params(state.ansatz, params),
            optimiser_state=optimiser_state,
            key=state.key,
            step=state.step + 1,
            upward=state.upward,
            best_spins=jnp.where(better, drawn.lowest, state.best_spins),
            best_energy=jnp.where(better, lowest_energy, state.best_energy),
        )
        return state, info

    def _plain(self, problem, ansatz, key, controls, unit) -> tuple[_Drawn, Any]:
        """Samples, and the gradient by the scores of the very pass that drew them."""
        if controls.field is None and num_shares() == 1:  # an `Estimate` is of all samples
            temperature = jnp.zeros(()) if controls.temperature is None else controls.temperature
            found = ansatz.thermal_estimate(key, self.num_samples, temperature, unit, normalise=self.normalise)
            if found is not None:
                weights = jnp.full_like(found.energy, 1 / self.num_samples)
                free_energy = found.energy + temperature * found.log_prob
                return _Drawn(found.lowest, found.energy, free_energy, found.log_prob, weights), found.gradient

        def draw(params):
            spins, log_prob = with_params(ansatz, params).sample(key, self.num_samples)
            return log_prob, spins

        log_prob, score, spins = jax.vjp(draw, ansatz.params, has_aux=True)
        values = local_values(problem, ansatz, spins, log_prob, controls)
        (gradient,) = score(own_share(self._weights(advantages(values, ansatz.order) / unit)))
        return _Drawn.of(spins, log_prob, values), summed(gradient)

    def _descended(self, optimiser, params, gradient, gradient_norm, state) -> tuple[Any, Any]:
        """The parameters after the optimiser's step down the gradient, and its new state."""
        rate = self.learning_rate
        if isinstance(optimiser, Adam):
            return optimiser.step(params, gradient, gradient_norm, state, 1.0 if rate is None else rate)
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates) if rate is None else descended(params, updates, rate), state

    def _natural(self, optimiser, problem, ansatz, key, controls, beta) -> tuple[_Drawn, Any, Float[Array, ""]]:
        """Samples, the parameters after a step of natural gradient, and the norm of the plain gradient."""
        if controls.field is None:
            spins, log_prob, scores = ansatz.sample_scored(key, self.num_samples)
            values = local_values(problem, ansatz, spins, log_prob, controls)
        else:
            # A superposition lives by amplitudes that its own samples rarely show: look a flip away from them.
            draw_key, flip_key = jax.random.split(key)
            spins = flipped_at_random(flip_key, ansatz.sample(draw_key, self.num_samples)[0], self.flip_probability)
            log_prob, scores = ansatz.log_prob(spins), ansatz.scores(spins)
            values = local_values(problem, ansatz, spins, log_prob, controls, self.flip_probability)
        drawn = _Drawn.of(spins, log_prob, values)
        rate = jnp.asarray(1.0 if self.learning_rate is None else self.learning_rate)
        updates, norm = optimiser.updates(scores, beta * drawn.free_energy, drawn.weights, rate)

        def divergence(params):
            return drawn.weights @ (drawn.log_prob - gathered(with_params(ansatz, params).log_prob(spins).sum(1)))

        return drawn, optimiser.moved(ansatz.params, updates, divergence), norm

    def final_samples(self, state: State, key: Key, num_samples: int) -> tuple[Float[Array, "m n"], Float[Array, " m"]]:
        """Samples and their ln p(s), drawn at the controls of `state.step` from the network as it is."""
        ansatz, _ = informed_at(self.schedule(state.step, state.upward), state.problem, state.ansatz)
        spins, log_prob = ansatz.sample(key, num_samples)
        spins, log_prob = gathered((spins, log_prob.sum(1)))
        return spins[:num_samples], log_prob[:num_samples]

    def _weights(self, advantage: Float[Array, "m n"]) -> Float[Array, "m n"]:
        if self.normalise:
            # Where all samples agree only rounding is left, which must not be blown up.
            advantage = advantage / jnp.maximum(jnp.sqrt((advantage**2).mean()), 1e-5)
        return advantage / self.num_samples


def energy_unit(problem: Problem) -> Float[Array, ""]:
    """The problem's own unit of energy and temperature: the median of its `Problem.field_scale` over the spins that
    have terms (1 if none has)."""
    scale = jnp.asarray(problem.field_scale())
    median = jnp.nanmedian(jnp.where(scale > 0, scale, jnp.nan))
    return jnp.where(median > 0, median, 1)


def informed_at(controls: Controls, problem: Problem, ansatz: Ansatz) -> tuple[Ansatz, Float[Array, ""]]:
    """The ansatz with the problem shown to it as it acts at these controls, and the inverse temperature of that."""
    beta = effective_inverse_temperature(controls, energy_unit(problem))
    return ansatz.informed(effective_problem(problem, controls, beta), beta), beta


def _boltzmann_share(drawn: _Drawn, controls: Controls, beta) -> Float[Array, ""]:
    """Effective sample size with w = exp(-beta H) / p; NaN where `controls` have no Boltzmann distribution."""
    if controls.temperature is None or controls.field is not None:
        return jnp.full((), jnp.nan, drawn.energy.dtype)
    return jnp.asarray(effective_sample_size(-beta * (drawn.energy - drawn.energy.min()) - drawn.log_prob))


def _info(drawn: _Drawn, controls: Controls, effective_sample_size, gradient_norm) -> Info:
    zero, weights = jnp.zeros((), drawn.energy.dtype), drawn.weights
    return Info(
        temperature=zero if controls.temperature is None else controls.temperature.astype(zero.dtype),
        field=zero if controls.field is None else controls.field.astype(zero.dtype),
        energy_mean=weights @ drawn.energy,
        energy_min=drawn.energy.min(),
        energy_std=jnp.sqrt(weights @ (drawn.energy - weights @ drawn.energy) ** 2),
        free_energy=weights @ drawn.free_energy,
        free_energy_variance=weights @ (drawn.free_energy - weights @ drawn.free_energy) ** 2,
        entropy=-weights @ drawn.log_prob,
        effective_sample_size=effective_sample_size,
        gradient_norm=gradient_norm,
    )
