"""The result of a run: what was found, how surely, and how it was made."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dimod
import numpy as np
import xarray as xr
from jaxtyping import Float64, Int8

from lehr._files import check_sha256, one_line, printable, read_json, sha256, write_json
from lehr._netcdf import read_dataset, write_dataset
from lehr._types import ArrayLike, InputError, bits_from_spins
from lehr._version import __version__
from lehr.engine import Work
from lehr.problem.base import Problem
from lehr.problem.io import load_problem, save_problem
from lehr.states import Distinct, check_energy, checked_states, energies_of, grouped
from lehr.tracking import Tracking, remarks, track, unconfirmed

_FORMAT = 2
_STATES = "best_spins", "best_bits"  # in the summary
_PROBLEM, _HISTORY, _SAMPLES, _RUN = "problem.json", "history.nc", "samples.nc", "run.json"


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What one run found; every energy is `Problem.energy` in float64 on the host, in the units and sign of H.

    `samples` [R, M, N] are the final ±1 samples of R replicas, with `energies` [R, M] and `log_probs` [R, M] (ln p of
    the replica that drew them, in nats; None for methods that have no p). `best_spins` [N] is the best state among the
    samples and everything visited on the way, `replica_best_energies` [R] are the lowest energies that each replica
    has met. `temperature` is that of the Boltzmann distribution which the samples should follow, None where there is
    none. `work` counts gradient steps, energy evaluations and spin updates. `history` has dimensions (replica, step);
    names with `up_` are of a second branch (`lehr.branches`), whose samples are not kept.
    `seconds` says where the time went: compile, train, sample. `spec` is a JSON-able dict of all that is needed to make
    the run again. `unrefined_best_energy` is what the run itself had found, where `lehr.refine` went on from there.

    Build one by `assemble`, read one by `load`:

    >>> problem = Problem.from_terms(2, {(0, 1): -1.0}, ground_energy=-1.0, name="pair")
    >>> samples = np.array([[1, 1], [1, -1], [1, 1], [-1, -1]])
    >>> result = Result.assemble(problem, method="vca", seed=0, samples=samples)
    >>> result.best_energy, result.mean_energy, result.residual_per_spin, result.num_distinct
    (-1.0, -0.5, 0.25, 3)
    >>> result.distinct().counts.tolist()
    [1, 2, 1]
    """

    problem: Problem
    method: str
    seed: int
    samples: Int8[np.ndarray, "r m n"]
    energies: Float64[np.ndarray, "r m"]
    log_probs: Float64[np.ndarray, "r m"] | None
    best_spins: Int8[np.ndarray, " n"]
    best_energy: float
    replica_best_energies: Float64[np.ndarray, " r"]
    temperature: float | None
    history: xr.Dataset
    work: Work
    seconds: Mapping[str, float]
    ansatz: str
    device: str
    version: str
    spec: Mapping[str, Any]
    unrefined_best_energy: float | None = None

    @classmethod
    def assemble(
        cls,
        problem: Problem,
        *,
        method: str,
        seed: int,
        samples: ArrayLike,
        log_probs: ArrayLike | None = None,
        visited: ArrayLike | None = None,
        temperature: float | None = None,
        history: Mapping[str, ArrayLike] | None = None,
        work: Work | None = None,
        seconds: Mapping[str, float] | None = None,
        ansatz: str = "",
        device: str = "",
        spec: Mapping[str, Any] | None = None,
    ) -> "Result":
        """Evaluate `samples` (±1, [R, M, N], or [M, N] for one replica) and put the result together.

        `log_probs` [R, M] are ln p(s) of each sample. `visited` [R, N] is the best state that each
        replica met on the way: the best of them and of the samples is kept. `history` maps names to [R, S] arrays and
        "step" to the S steps they were recorded at. Energies of equal states are equal to the last bit.

        Errors: `InputError` where spins are not ±1 or shapes disagree.
        """
        spins = checked_states("samples", samples, problem.num_spins)
        if spins.ndim == 1 or spins.size == 0:
            raise InputError(f"Argument `samples` must hold at least one sample, but its shape is {spins.shape}.")
        spins = spins.reshape(-1, *spins.shape[-2:])
        flat = spins.reshape(-1, problem.num_spins)
        first, inverse, _ = grouped(flat)
        energies = energies_of(problem, flat, first)
        sample_energies = energies[inverse].reshape(spins.shape[:2])
        states, state_energies = spins, sample_energies
        if visited is not None:
            met = checked_states("visited", visited, problem.num_spins)
            if met.shape != (len(spins), problem.num_spins):
                raise InputError(
                    f"Argument `visited` must hold one state of each of {len(spins)} replicas, "
                    f"but its shape is {met.shape}."
                )
            states = np.concatenate([spins, met[:, None]], axis=1)
            met_energies = energies_of(problem, met, np.arange(len(met)))
            state_energies = np.concatenate([sample_energies, met_energies[:, None]], axis=1)
        replica, lowest = np.unravel_index(state_energies.argmin(), state_energies.shape)
        return cls(
            problem=problem,
            method=method,
            seed=int(seed),
            samples=spins,
            energies=sample_energies,
            log_probs=None if log_probs is None else _checked_log_probs(log_probs, spins.shape[:2]),
            best_spins=states[replica, lowest].copy(),
            best_energy=float(state_energies[replica, lowest]),
            replica_best_energies=state_energies.min(axis=1),
            temperature=temperature,
            history=_history(history or {}, len(spins)),
            work=work or Work(),
            seconds={name: float(value) for name, value in (seconds or {}).items()},
            ansatz=ansatz,
            device=device,
            version=__version__,
            spec=dict(spec or {}),
        )

    @property
    def mean_energy(self) -> float:
        """Mean energy of all samples, all replicas together."""
        return float(self.energies.mean())

    @property
    def ground_energy(self) -> float | None:
        """The problem's known ground energy, or None."""
        return None if self.problem.ground_energy is None else float(self.problem.ground_energy)

    @property
    def residual_per_spin(self) -> float | None:
        """Residual energy per spin, (mean energy - ground energy) / N; None where the ground energy is unknown."""
        ground = self.ground_energy
        return None if ground is None else (self.mean_energy - ground) / self.problem.num_spins

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of each replica; 0 for methods that train nothing."""
        return self.work.gradient_steps

    @property
    def num_samples(self) -> int:
        """Number of samples, all replicas together."""
        return self.energies.size

    @property
    def num_distinct(self) -> int:
        """Number of distinct states among the samples."""
        return len(self._groups[0])

    @cached_property
    def _groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return grouped(self.samples.reshape(-1, self.problem.num_spins))

    def distinct(self) -> Distinct:
        """The distinct states among all samples, by increasing energy: (spins [K, N], energies [K], counts [K])."""
        first, _, counts = self._groups
        energies = self.energies.reshape(-1)[first]
        by_energy = np.argsort(energies, kind="stable")
        spins = self.samples.reshape(-1, self.problem.num_spins)[first[by_energy]]
        return Distinct(spins, energies[by_energy], counts[by_energy])

    @cached_property
    def tracking(self) -> Tracking | None:
        """How well the samples represent the Boltzmann distribution, and replicas each other; None without ln p."""
        if self.log_probs is None:
            return None
        symmetric = all(terms.order % 2 == 0 for terms in self.problem.terms)
        sampled = (self.energies, self.log_probs, self.samples)
        return track(*sampled, self.temperature, self.problem.resolution, flip_symmetric=symmetric)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """One line for each sign of collapse, lost tracking or an unconfirmed best energy, with the remedy."""
        lines = [] if self.tracking is None else remarks(self.tracking, self.history, self.problem.num_spins)
        ground = self.ground_energy
        if ground is None or self.best_energy > ground + self.problem.resolution:
            lines += unconfirmed(self.replica_best_energies, self.problem.resolution)
        return tuple(lines)

    def to_sampleset(self) -> dimod.SampleSet:
        """The samples as a `dimod.SampleSet` (SPIN, the problem's labels), one row per replica and distinct state.

        Rows are sorted by energy and carry `num_occurrences`, the vectors `replica` and, where known, `log_prob`
        (ln p under the replica that drew the row). `info` tells the method, the seed and the timing in nanoseconds.
        """
        started = time.perf_counter_ns()
        rows = [(replica, *grouped(spins)) for replica, spins in enumerate(self.samples)]
        replica = np.concatenate([np.full(len(first), number) for number, first, _, _ in rows])
        sample = np.concatenate([first for _, first, _, _ in rows])
        counts = np.concatenate([counts for *_, counts in rows])
        by_energy = np.argsort(self.energies[replica, sample], kind="stable")
        replica, sample, counts = replica[by_energy], sample[by_energy], counts[by_energy]
        vectors: dict[str, Any] = {"num_occurrences": counts, "replica": replica}
        if self.log_probs is not None:
            vectors["log_prob"] = self.log_probs[replica, sample]
        labels = self.problem.labels or range(self.problem.num_spins)
        nanoseconds = {name: int(1e9 * value) for name, value in self.seconds.items()}
        timing = {
            "preprocessing_ns": nanoseconds.get("compile", 0),
            "sampling_ns": nanoseconds.get("train", 0) + nanoseconds.get("sample", 0),
        }
        sampleset = dimod.SampleSet.from_samples(
            (self.samples[replica, sample], list(labels)),
            vartype=dimod.SPIN,
            energy=self.energies[replica, sample],
            info={"method": self.method, "seed": self.seed, "lehr_version": self.version},
            **vectors,
        )
        timing["postprocessing_ns"] = time.perf_counter_ns() - started
        sampleset.info["timing"] = timing
        return sampleset

    def summary(self) -> dict[str, Any]:
        """The JSON-able dict that `lehr solve --json` prints; `best_spins` are ±1 in the problem's order, `best_bits`
        the same in bits (`lehr._types`)."""
        return {
            "problem": {"name": self.problem.name, "num_spins": self.problem.num_spins},
            "method": self.method,
            "seed": self.seed,
            "best_energy": self.best_energy,
            "best_spins": self.best_spins.tolist(),
            "best_bits": bits_from_spins(self.best_spins).tolist(),
            "unrefined_best_energy": self.unrefined_best_energy,
            "mean_energy": self.mean_energy,
            "ground_energy": self.ground_energy,
            "residual_per_spin": self.residual_per_spin,
            "num_samples": self.num_samples,
            "num_distinct": self.num_distinct,
            **self.work._asdict(),
            "warnings": list(self.warnings),
            "seconds": {name: self.seconds.get(name, 0.0) for name in ("compile", "train", "sample")},
            "ansatz": self.ansatz,
            "device": self.device,
            "version": self.version,
        }

    def __str__(self) -> str:
        ground, residual, unrefined = self.ground_energy, self.residual_per_spin, self.unrefined_best_energy
        share = float((self.energies <= self.best_energy + self.problem.resolution).mean())
        replicas = "" if len(self.samples) == 1 else f" from {len(self.samples)} replicas"
        rows = {
            "best energy": f"{self.best_energy:.12g}, reached by {share:.1%} of the samples",
            "refined from": "" if unrefined is None else f"{unrefined:.12g}, the best energy before local moves",
            "ground energy": "unknown (try `lehr exact`)" if ground is None else f"{ground:.12g}",
            "mean energy": f"{self.mean_energy:.12g}"
            + ("" if residual is None else f", {residual:.2g} per spin above"),
            "samples": f"{self.num_samples}{replicas}, {self.num_distinct} distinct",
            "ansatz": self.ansatz,
            "steps": str(self.gradient_steps) if self.gradient_steps else "",
            "seconds": ", ".join(f"{name} {value:.1f}" for name, value in self.seconds.items()),
            "device": self.device,
        }
        lines = [f"{self.problem.name}: {self.problem.num_spins} spins, method {self.method}, seed {self.seed}"]
        lines += [f"  {name:<13}  {value}" for name, value in rows.items() if value]
        lines += [f"  {'warning':<13}  {line}" for line in self.warnings]
        return printable(lines)

    __repr__ = __str__

    def save(self, folder: str | Path) -> None:
        """Write the run folder: `problem.json`, `history.nc`, `samples.nc`, and last `run.json` with their checksums.

        Each file is written whole or not at all. Other files in the folder are left alone.
        Errors: `InputError` in one line where the folder cannot be written.
        """
        try:
            self._write(Path(folder))
        except OSError as error:
            raise InputError(f"Folder `{folder}` cannot be written: {one_line(error)}.") from None

    def _write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        samples = xr.Dataset(
            {
                "samples": (("replica", "sample", "spin"), self.samples),
                "energy": (("replica", "sample"), self.energies),
                "best_spins": (("spin",), self.best_spins),
                "replica_best_energy": (("replica",), self.replica_best_energies),
            }
        )
        if self.log_probs is not None:
            samples["log_prob"] = (("replica", "sample"), self.log_probs)
        save_problem(self.problem, folder / _PROBLEM, format="json")
        write_dataset(self.history, folder / _HISTORY)
        write_dataset(samples, folder / _SAMPLES)
        run = {
            "format": _FORMAT,
            "status": "complete",
            **{name: value for name, value in self.summary().items() if name not in _STATES},
            "seconds": dict(self.seconds),
            "temperature": self.temperature,
            "spec": dict(self.spec),
            "sha256": {name: sha256(folder / name) for name in (_PROBLEM, _HISTORY, _SAMPLES)},
        }
        write_json(folder / _RUN, run)

    @classmethod
    def load(cls, folder: str | Path) -> "Result":
        """Read a run folder that `save` wrote; nothing in it is executed, so a stranger's folder is safe to open.

        Errors: `InputError` in one line that names the file that is missing, damaged or of another format.
        """
        folder = Path(folder)
        run = read_json(folder / _RUN)
        if run.get("format") != _FORMAT or run.get("status") != "complete":
            raise InputError(
                f"File `{folder / _RUN}` must be a complete run of format {_FORMAT}, "
                f"but its format is {run.get('format')} and its status {run.get('status')!r}."
            )
        for name in (_PROBLEM, _HISTORY, _SAMPLES):
            check_sha256(folder / name, run)
        problem = load_problem(folder / _PROBLEM, format="json")
        arrays, history = read_dataset(folder / _SAMPLES), read_dataset(folder / _HISTORY)
        try:
            samples = arrays["samples"].transpose("replica", "sample", "spin").values
            shape = {"replica": samples.shape[0], "sample": samples.shape[1]}
            best = checked_states("best_spins", arrays["best_spins"].transpose("spin").values, problem.num_spins)
            if history.sizes["replica"] != len(samples):
                raise ValueError(f"`history` has {history.sizes['replica']} replicas, `samples` {len(samples)}")
            check_energy(problem, best, run["best_energy"])
            return cls(
                problem=problem,
                method=str(run["method"]),
                seed=int(run["seed"]),
                samples=checked_states("samples", samples, problem.num_spins),
                energies=_numbers(arrays, "energy", shape),
                log_probs=_numbers(arrays, "log_prob", shape) if "log_prob" in arrays else None,
                best_spins=best,
                best_energy=float(run["best_energy"]),
                replica_best_energies=_numbers(arrays, "replica_best_energy", {"replica": len(samples)}),
                temperature=_temperature(run, history),
                history=history,
                work=Work(*(int(run[name]) for name in Work._fields)),
                seconds={str(name): float(value) for name, value in run["seconds"].items()},
                ansatz=str(run["ansatz"]),
                device=str(run["device"]),
                version=str(run["version"]),
                spec=dict(run["spec"]),
                unrefined_best_energy=_number_or_none(run.get("unrefined_best_energy")),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"Run folder `{folder}` must be one that `save` wrote, but: {one_line(error)}.") from None


def _checked_log_probs(log_probs: ArrayLike, shape: tuple[int, ...]) -> Float64[np.ndarray, "r m"]:
    array = np.asarray(log_probs, dtype=np.float64)
    if array.shape not in (shape, shape[1:]) or (array.shape != shape and shape[0] != 1):
        raise InputError(f"Argument `log_probs` must have shape {shape} like the samples, but it has {array.shape}.")
    return array.reshape(shape)


def _numbers(arrays: xr.Dataset, name: str, shape: Mapping[str, int]) -> Float64[np.ndarray, "..."]:
    array = arrays[name].transpose(*shape).values.astype(np.float64)
    if array.shape != tuple(shape.values()):
        raise ValueError(f"`{name}` has shape {array.shape}, but the samples are {dict(shape)}")
    return array


def _temperature(run: Mapping[str, Any], history: xr.Dataset) -> float | None:
    if "temperature" not in run and run["method"] == "vca" and history.sizes["step"]:
        return float(history["temperature"].values[0, -1])  # the last step's: early folders do not have it
    return _number_or_none(run.get("temperature"))


def _number_or_none(value: Any) -> float | None:
    return None if value is None else float(value)


def _history(columns: Mapping[str, ArrayLike], num_replicas: int) -> xr.Dataset:
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    steps = arrays.pop("step", np.zeros(0, dtype=np.int64))
    for name, values in arrays.items():
        if values.shape != (num_replicas, len(steps)):
            raise InputError(
                f"Argument `history` must hold [{num_replicas}, {len(steps)}] (replicas, steps) numbers under each "
                f"name, but `{name}` has shape {values.shape}."
            )
    variables = {name: (("replica", "step"), values) for name, values in arrays.items()}
    return xr.Dataset(variables, {"replica": np.arange(num_replicas), "step": steps})
