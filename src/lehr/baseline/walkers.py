"""The engine of the baselines: independent reads of compiled Markov chains, spread over the processors."""

import os
import platform
from concurrent.futures import ThreadPoolExecutor

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int, Int8

from lehr.baseline import kernels
from lehr.baseline.settings import BaselineSettings
from lehr.baseline.tables import Tables, tables_of
from lehr.engine import Engine, Work
from lehr.problem.base import Problem
from lehr.schedule import Schedule

# The history keeps about so many records of each read.
_MOST_RECORDS = 1000
# Portions of the reads that each thread takes, so that none waits long for the others.
_PORTIONS = 4
# Steps whose temperature and field are computed at once.
_BLOCK = 4096
# Slices of a Trotter ring are tied together this strongly at most: exp(-80) is never.
_MOST_RING = 20.0
# Temperature from which a pre-anneal starts, in units of P T (paper A: T = 3 and P T = 1).
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
        self.device = f"{num_threads()} threads, {platform.machine()}"
        self._num_preanneal = settings.num_preanneal_steps if settings.method == "sqa" else 0
        self.num_steps = self._num_preanneal + settings.num_steps
        self.record_every = -(-self.num_steps // _MOST_RECORDS)
        self._tables = [tables_of(problem) for problem in problems]
        with jax.enable_x64(True):
            temperature, field = _controls(settings.schedule(problems))
        rings = _rings(temperature, field) if settings.method == "sqa" else 0 * field
        cold = temperature[0] / settings.num_slices
        thermal = np.linspace(_PREANNEAL * temperature[0], cold, self._num_preanneal)
        self._temperature = np.concatenate([thermal, temperature])
        self._field, self._rings = (np.concatenate([0 * thermal, values]) for values in (field, rings))
        self._ladder = settings.ladder(problems)
        self._num_spins = problems[0].num_spins

    def start(self) -> Walk:
        """Random states, the same for all walkers of a read."""
        walkers, n = self.settings.num_walkers, self._num_spins
        runs = self.settings.replicas * len(self._tables)
        walk = Walk(
            spins=np.empty((runs, walkers, n), np.int8),
            costs=np.empty((runs, walkers, n)),
            energies=np.empty((runs, walkers)),
            best_spins=np.empty((runs, n), np.int8),
            best_energy=np.empty((runs, 1)),
            step=0,
        )
        seed = self.settings.seed
        self._over_reads(lambda runs, read, tables: kernels.begin(tables, *_of(walk, runs), seed, read))
        return walk

    def compile(self, moving: Walk) -> None:
        """Compile, or load from disk what was compiled before, by taking no step."""
        self._walk(moving, slice(0, 1), 0, self._tables[0], 0)

    def advance(self, moving: Walk, num_steps: int) -> tuple[Walk, dict[str, np.ndarray]]:
        """Sweeps of all reads."""
        walk = jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, moving)
        records = np.concatenate(
            self._over_reads(lambda runs, read, tables: self._walk(walk, runs, read, tables, num_steps))
        )
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
        thermal = min(num_steps, self._num_preanneal)
        per_sweep = self.settings.num_walkers * (2 if self.settings.method == "sqa" else 1)
        flips = self.settings.replicas * self._num_spins * (thermal + (num_steps - thermal) * per_sweep)
        return Work(energy_evaluations=flips, spin_updates=flips)

    def _over_reads(self, task) -> list:
        """`task(runs, first_read, tables)` of portions of the reads of every problem, on all processors, in order."""
        reads, threads = self.settings.replicas, num_threads()
        size = -(-reads // (_PORTIONS * threads))
        portions = [
            (slice(p * reads + r, p * reads + min(r + size, reads)), r, tables)
            for p, tables in enumerate(self._tables)
            for r in range(0, reads, size)
        ]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda portion: task(*portion), portions))

    def _walk(
        self, walk: Walk, runs: slice, first_read: int, tables: Tables, num_steps: int
    ) -> Float64[np.ndarray, "k t 2"]:
        state, seed, first = _of(walk, runs), self.settings.seed, walk.step
        if self.settings.method == "pt":
            return kernels.temper(tables, *state, 1 / self._ladder, seed, first_read, first, num_steps)
        taken = slice(first, first + num_steps)
        betas, rings = 1 / self._temperature[taken], self._rings[taken]
        thermal = int(np.clip(self._num_preanneal - first, 0, num_steps))
        # Streams of random numbers: from 0 on for the ramp, -1 for the start, and below for a thermal anneal.
        number = first + thermal - self._num_preanneal
        records = []
        if thermal:  # one walker stands for all slices
            spins, costs, energies, *best = state
            one = spins[:, :1].copy(), costs[:, :1].copy(), energies[:, :1].copy()
            controls = betas[:thermal], rings[:thermal]
            records.append(kernels.anneal(tables, *one, *best, *controls, seed, first_read, number - thermal - 1))
            spins[:], costs[:], energies[:] = one
        records.append(kernels.anneal(tables, *state, betas[thermal:], rings[thermal:], seed, first_read, number))
        return np.concatenate(records, axis=1)


def num_threads() -> int:
    """Processors that this process may use, and no more than OMP_NUM_THREADS says."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(available, int(asked)) if asked.isdecimal() and int(asked) > 0 else available


def _controls(schedule: Schedule) -> tuple[Float64[np.ndarray, " steps"], Float64[np.ndarray, " steps"]]:
    """Temperature and field of every step, in blocks of one size, so that one program serves any number of steps."""
    blocks = [_block(schedule, jnp.asarray(first)) for first in range(0, schedule.num_steps, _BLOCK)]
    temperature, field = (np.concatenate(parts)[: schedule.num_steps] for parts in zip(*blocks, strict=True))
    return temperature, field


def _rings(
    temperature: Float64[np.ndarray, " steps"], field: Float64[np.ndarray, " steps"]
) -> Float64[np.ndarray, " steps"]:
    """Coupling of neighbouring slices in units of temperature, `-1/2 ln tanh(Gamma / (P T))`."""
    field = np.maximum(field, 1e-20 * temperature)
    return np.minimum(-0.5 * np.log(np.tanh(field / temperature)), _MOST_RING)


@eqx.filter_jit
def _block(schedule: Schedule, first: Int[Array, ""]):
    controls = jax.vmap(schedule)(first + jnp.arange(_BLOCK))
    field = jnp.zeros(_BLOCK) if controls.field is None else controls.field
    return controls.temperature, field


def _of(walk: Walk, runs: slice) -> tuple[np.ndarray, ...]:
    """What the kernels change in place."""
    return walk.spins[runs], walk.costs[runs], walk.energies[runs], walk.best_energy[runs], walk.best_spins[runs]
