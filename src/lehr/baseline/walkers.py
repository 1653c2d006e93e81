"""The engine of the baselines: independent reads of compiled Markov chains, spread over the processors."""

import platform
from concurrent.futures import ThreadPoolExecutor

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64, Int8

from lehr.baseline import kernels
from lehr.baseline.settings import BaselineSettings, ladder
from lehr.baseline.tables import tables_of
from lehr.engine import Engine, Work
from lehr.problem.base import Problem

# The history keeps about so many records of each read.
_MOST_RECORDS = 1000
# Slices of a Trotter ring are tied together this strongly at most: exp(-80) is never.
_MOST_RING = 20.0
# Temperature from which a pre-anneal starts, in units of the local fields (paper A starts at T = 3).
_PREANNEAL = 3.0


class Walk(eqx.Module):
    """What moves: P walkers of each read with the costs of their flips, energies, and the best state of each read."""

    spins: Int8[np.ndarray, "k p n"]
    costs: Float64[np.ndarray, "k p n"]
    energies: Float64[np.ndarray, "k p"]
    best_spins: Int8[np.ndarray, "k n"]
    best_energy: Float64[np.ndarray, "k 1"]
    step: int


class Walkers(Engine):
    """`replicas` reads of every problem. Read r has the same random numbers for every problem and however many
    threads there are; the results of a seed are those of any machine with the same arithmetic."""

    description = ""
    most_steps = 4096

    def __init__(self, problems: list[Problem], settings: BaselineSettings):
        self.settings = settings
        self.device = f"{kernels.num_threads()} threads, {platform.machine()}"
        schedule = settings.schedule(problems)
        self.num_steps = schedule.num_steps
        self.record_every = -(-self.num_steps // _MOST_RECORDS)
        self._tables = [tables_of(problem) for problem in problems]
        with jax.enable_x64(True):
            controls = jax.device_get(jax.vmap(schedule)(jnp.arange(self.num_steps)))
        self._temperature = np.asarray(controls.temperature, np.float64)
        self._field = np.zeros(self.num_steps) if controls.field is None else np.asarray(controls.field, np.float64)
        self._num_spins = problems[0].num_spins
        self._num_terms = [problem.num_terms for problem in problems]

    def start(self) -> Walk:
        """Random states, or those that a thermal anneal has left."""
        reads, walkers, n = self.settings.replicas, self.settings.num_walkers, self._num_spins
        runs = reads * len(self._tables)
        walk = Walk(
            spins=np.empty((runs, walkers, n), np.int8),
            costs=np.empty((runs, walkers, n)),
            energies=np.empty((runs, walkers)),
            best_spins=np.empty((runs, n), np.int8),
            best_energy=np.full((runs, 1), np.inf),
            step=0,
        )
        self._over_reads(lambda run, read, tables: self._start_read(walk, run, read, tables))
        return walk

    def compile(self, moving: Walk) -> None:
        """Compiled code is kept on disk; what is not there yet was compiled by `start` or is by this empty call."""
        self._over_reads(lambda run, read, tables: self._walk(moving, run, read, tables, 0), only_first=True)

    def advance(self, moving: Walk, num_steps: int) -> tuple[Walk, dict[str, np.ndarray]]:
        """Sweeps of all reads."""
        walk = jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, moving)
        records = np.stack(self._over_reads(lambda run, read, tables: self._walk(walk, run, read, tables, num_steps)))
        kept = np.arange(moving.step, moving.step + num_steps)
        kept = kept[kept % self.record_every == 0]
        energies = records[:, kept - moving.step]
        alike = np.ones((1, len(records)))
        columns = {
            "temperature": self._temperature[kept, None] * alike,
            "field": self._field[kept, None] * alike,
            "energy_mean": energies[:, :, 0].T,
            "energy_min": energies[:, :, 1].T,
        }
        return eqx.tree_at(lambda w: w.step, walk, moving.step + num_steps), columns

    def draw(self, moving: Walk) -> tuple[np.ndarray, None]:
        """The last states: of the walker, of all slices, or of the coldest walker."""
        return (moving.spins[:, -1:] if self.settings.method == "pt" else moving.spins), None

    def work(self, num_steps: int) -> Work:
        """Every proposed flip looks at one energy difference; a move through P slices looks at P."""
        walkers, ring = self.settings.num_walkers, self.settings.method == "sqa"
        flips = self.settings.replicas * self._num_spins * num_steps * walkers * (2 if ring else 1)
        flips += self.settings.replicas * self._num_spins * (self.settings.num_preanneal_steps if ring else 0)
        return Work(energy_evaluations=flips, spin_updates=flips)

    def _over_reads(self, task, *, only_first: bool = False) -> list:
        """`task(run, read, tables)` of every read of every problem, on all processors; results in that order."""
        reads = self.settings.replicas
        jobs = [(p * reads + r, r, tables) for p, tables in enumerate(self._tables) for r in range(reads)]
        with ThreadPoolExecutor(kernels.num_threads()) as pool:
            return list(pool.map(lambda job: task(*job), jobs[:1] if only_first else jobs))

    def _start_read(self, walk: Walk, run: int, read: int, tables) -> None:
        settings, spins, costs = self.settings, walk.spins[run], walk.costs[run]
        spins[:] = kernels.random_state(settings.seed, read, self._num_spins)
        energy = kernels.prepare(tables, spins[0], costs[0])
        walk.best_spins[run], walk.best_energy[run] = spins[0], energy
        walk.energies[run] = energy
        if settings.method == "sqa" and settings.num_preanneal_steps:
            cold = self._temperature[0] / settings.num_slices
            betas = 1 / np.linspace(_PREANNEAL * self._temperature[0], cold, settings.num_preanneal_steps)
            kernels.anneal(
                tables, spins[:1], costs[:1], walk.energies[run, :1], walk.best_energy[run], walk.best_spins[run],
                betas, np.zeros_like(betas), settings.seed, read, -1 - len(betas),
            )  # fmt: skip
            spins[:], walk.energies[run] = spins[0], walk.energies[run, 0]
        costs[:] = costs[0]

    def _walk(self, walk: Walk, run: int, read: int, tables, num_steps: int) -> Float64[np.ndarray, "t 2"]:
        settings, first = self.settings, walk.step
        state = walk.spins[run], walk.costs[run], walk.energies[run], walk.best_energy[run], walk.best_spins[run]
        if settings.method == "pt":
            hot, cold = self._temperature[0], self._temperature[-1]
            betas = 1 / ladder(hot, cold, settings.num_temperatures)
            return kernels.temper(tables, *state, betas, settings.seed, read, first, num_steps)
        temperature = self._temperature[first : first + num_steps]
        field = self._field[first : first + num_steps]
        rings = np.zeros(num_steps)
        if settings.method == "sqa":
            # Coupling of neighbouring slices in units of temperature, -1/2 ln tanh(Gamma / (P T)).
            rings = np.minimum(-0.5 * np.log(np.tanh(np.maximum(field / temperature, 1e-20))), _MOST_RING)
        return kernels.anneal(tables, *state, 1 / temperature, rings, settings.seed, read, first)
