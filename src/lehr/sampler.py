"""The dimod sampler: Lehr for everything that speaks dimod."""

import time
from collections.abc import Hashable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import dimod
import numpy as np
from dimod.higherorder.polynomial import BinaryPolynomial
from dimod.variables import Variables
from jaxtyping import Float64, Int, Int8

from lehr._types import InputError, bits_from_spins
from lehr._version import __version__
from lehr.ansatz.base import Ansatz
from lehr.ansatz.choose import ANSATZE
from lehr.baseline.settings import BASELINES, BaselineSettings
from lehr.plan import ALL_METHODS, chosen_settings
from lehr.preset import PRESETS
from lehr.problem.base import Problem
from lehr.problem.convert import from_bqm, from_polynomial
from lehr.problem.pairwise import names
from lehr.result import Result
from lehr.settings import Settings
from lehr.solve import solve

_NUM_READS = 100
# What `solve` calls them.
_OWN_NAMES = {"num_sweeps": "num_steps", "beta_range": "temperature"}
_PARAMETERS: dict[str, list[str]] = {
    "method": ["methods"],
    "num_reads": [],
    "num_sweeps": [],
    "beta_range": [],
    "seed": [],
    "preset": ["presets"],
    "ansatz": ["ansatze"],
    "schedule": [],
    "optimiser": [],
    "progress": [],
}


class _Rows(NamedTuple):
    """Rows of a sample set: spins [K, N], how often each was drawn, by which replica, with which ln p."""

    spins: Int8[np.ndarray, "k n"]
    num_occurrences: Int[np.ndarray, " k"]
    replica: Int[np.ndarray, " k"]
    log_prob: Float64[np.ndarray, " k"] | None


class Sampler(dimod.Sampler, dimod.PolySampler):
    """Samples of any `BinaryQuadraticModel` or `BinaryPolynomial`, SPIN or BINARY, with any labels.

    All of `sample`, `sample_ising`, `sample_qubo`, `sample_poly`, `sample_hising` and `sample_hubo` take, by name:

    - `method`: "vca" (the default), "vqa", "rvqa", "cqo", "sa", "sqa", "pt" or "metropolis", as `lehr.solve`;
    - `num_reads` = 100: number of samples. Networks draw them in equal shares from their replicas; Markov chains walk
      once for each ("sqa": the lowest of the Trotter slices, "pt": the coldest walker);
    - `num_sweeps`: steps, which are gradient steps of a network or sweeps of a chain;
    - `beta_range`: inverse temperatures (first, last), in the inverse units of the energy;
    - `seed`: a whole number; without one every call is another, whose seed is in `info`;
    - `preset`, `ansatz`, `schedule`, `optimiser` and every setting of a run under its own name, as `lehr.solve`;
    - `progress`: whether to show a bar, False by default.

    What is None counts as not given. Unknown names are warned about and ignored.

    The sample set has the labels and the vartype of the model, and energies that the model computed. Rows are not
    aggregated: one for each read, in turn from each replica, with the vectors `replica` and, for networks, `log_prob`
    (ln p under that replica, in nats). Where a state that was met on the way is lower than all of them, it follows as a
    last row with `num_occurrences` 0, so that `first` is the best and the weights are those of the samples; its
    `log_prob` is NaN. `info` holds `method`, `seed`, `ansatz`, `device`, `lehr_version` and `timing` in nanoseconds
    (`preprocessing_ns` with compilation, `sampling_ns`, `postprocessing_ns`).

    Errors: `InputError`, a `ValueError`, for bad arguments or models.

    >>> fields, couplings = {"a": 0.5}, {("a", "b"): -1.0, ("b", "c"): 2.0}
    >>> found = Sampler().sample_ising(fields, couplings, method="sa", num_reads=20, num_sweeps=50, seed=1)
    >>> float(found.first.energy), {label: int(spin) for label, spin in found.first.sample.items()}
    (-3.5, {'a': -1, 'b': -1, 'c': 1})
    """

    @property
    def parameters(self) -> dict[str, list[str]]:
        """Names that the sampling methods take, each with the properties that bear on it."""
        settings = {f.name: [] for kind in (Settings, BaselineSettings) for f in fields(kind)}
        del settings["num_final_samples"]  # `num_reads` decides
        return {**settings, **_PARAMETERS}

    @property
    def properties(self) -> dict[str, Any]:
        """Names of the methods, the presets and the ansätze, and the version."""
        return {
            "methods": list(ALL_METHODS),
            "presets": list(PRESETS),
            "ansatze": ["auto", *ANSATZE],
            "lehr_version": __version__,
        }

    def sample(self, bqm: dimod.BinaryQuadraticModel, **parameters: Any) -> dimod.SampleSet:
        """Samples of a `BinaryQuadraticModel`; the parameters are those of the class.

        >>> qubo = dimod.BinaryQuadraticModel({"x": -1.0}, {("x", "y"): 2.0}, 0.0, "BINARY")
        >>> print(Sampler().sample(qubo, method="sa", num_reads=5, num_sweeps=20, seed=0).first.energy)
        -1.0
        """
        return _sampled(bqm, self.remove_unknown_kwargs(**parameters))

    def sample_poly(self, polynomial: BinaryPolynomial, **parameters: Any) -> dimod.SampleSet:
        """Samples of a `BinaryPolynomial` of any degree; the parameters are those of the class.

        >>> cubic = BinaryPolynomial({("x", "y", "z"): 1.0, ("x",): 0.5}, "SPIN")
        >>> print(Sampler().sample_poly(cubic, method="sa", num_reads=5, num_sweeps=20, seed=0).first.energy)
        -1.5
        """
        return _sampled(polynomial, self.remove_unknown_kwargs(**parameters))


def _sampled(model: Any, parameters: dict[str, Any]) -> dimod.SampleSet:
    """What all sampling methods do."""
    started = time.perf_counter_ns()
    given = {name: value for name, value in parameters.items() if value is not None}
    num_reads = given.pop("num_reads", _NUM_READS)
    if not isinstance(num_reads, int | np.integer) or isinstance(num_reads, bool) or num_reads < 1:
        raise InputError(f"Argument `num_reads` must be an integer of at least 1, but it is {num_reads!r}.")
    given.setdefault("seed", int(np.random.default_rng().integers(2**32)))
    if isinstance(model, dimod.BinaryQuadraticModel | BinaryPolynomial) and not model.variables:
        return _nothing(model, int(num_reads), given)
    problem = from_polynomial(model) if isinstance(model, BinaryPolynomial) else from_bqm(model)
    _check_labels(names(problem))
    try:
        result = solve(problem, **_options(problem, int(num_reads), given))
    except InputError as error:
        raise InputError(_in_own_names(str(error), given)) from None
    solved = time.perf_counter_ns()
    sampling = int(1e9 * (result.seconds["train"] + result.seconds["sample"]))
    info = {
        "method": result.method,
        "seed": result.seed,
        "ansatz": result.ansatz,
        "device": result.device,
        "lehr_version": result.version,
        "timing": {"preprocessing_ns": solved - started - sampling, "sampling_ns": sampling},
    }
    sampleset = _sample_set(model, _rows(result, int(num_reads)), names(problem), info)
    sampleset.info["timing"]["postprocessing_ns"] = time.perf_counter_ns() - solved
    return sampleset


def _options(problem: Problem, num_reads: int, given: dict[str, Any]) -> dict[str, Any]:
    """What `solve` calls the parameters."""
    options = {"progress": False, **given}
    if "num_sweeps" in options:
        options["num_steps"] = options.pop("num_sweeps")
    if "beta_range" in options:
        if "temperature" in options:
            raise InputError("Argument `beta_range` must be left out where a temperature is given, but both are.")
        options["temperature"] = _temperatures(options.pop("beta_range"))
    # The settings tell how many replicas share the reads.
    others = ("preset", "ansatz", "schedule", "optimiser", "progress")
    changes = {name: value for name, value in options.items() if name not in others}
    ansatz = options.get("ansatz")
    if isinstance(ansatz, str):
        changes["ansatz"] = ansatz
    settings = chosen_settings(problem, options.get("preset"), ansatz if isinstance(ansatz, Ansatz) else None, changes)
    if not isinstance(settings, BaselineSettings):
        options["num_final_samples"] = -(-num_reads // settings.replicas)
    elif "replicas" in options:
        raise InputError(f"Argument `replicas` must be left out for {settings.method}, whose reads are `num_reads`.")
    else:
        options["replicas"] = num_reads
    return options


def _in_own_names(message: str, given: dict[str, Any]) -> str:
    """An error of `solve`, for a caller who knows the sampler's names."""
    for own, name in _OWN_NAMES.items():
        if own in given:
            message = message.replace(f"`{name}`", f"`{own}`")
    return message


def _temperatures(beta_range: Any) -> tuple[float, float]:
    try:
        first, last = (float(beta) for beta in beta_range)
    except (TypeError, ValueError):
        first = last = np.nan
    if not (0 < first < np.inf and 0 < last < np.inf):
        raise InputError(
            f"Argument `beta_range` must be two positive numbers, first and last, but it is {beta_range!r}."
        )
    return 1 / first, 1 / last


def _check_labels(labels: Sequence[Hashable]) -> None:
    # A polynomial takes what a sample set does not, and None would silently become a number there.
    try:
        held = list(Variables(labels)) == list(labels)
    except (OverflowError, ValueError):
        held = False
    if not held:
        raise InputError("Argument `polynomial` must have no label None, NaN or beyond 64 bits, but it has one.")


def _rows(result: Result, num_reads: int) -> _Rows:
    """So many of the samples, in turn from each replica, and the best state where it is lower."""
    if result.method in BASELINES:  # the lowest of the walkers that a read ends with
        replica, sample = np.arange(num_reads), result.energies.argmin(axis=1)
    else:
        sample, replica = np.divmod(np.arange(num_reads), len(result.samples))
    spins, log_prob = result.samples[replica, sample], None
    if result.log_probs is not None:
        log_prob = result.log_probs[replica, sample]
    occurrences = np.ones(num_reads, np.int64)
    if result.best_energy < result.energies[replica, sample].min():
        spins = np.concatenate([spins, result.best_spins[None]])
        occurrences = np.append(occurrences, 0)
        replica = np.append(replica, result.replica_best_energies.argmin())
        log_prob = None if log_prob is None else np.append(log_prob, np.nan)
    return _Rows(spins, occurrences, replica, log_prob)


def _nothing(model: Any, num_reads: int, given: dict[str, Any]) -> dimod.SampleSet:
    """The one state of no variables, whose energy is the offset."""
    info = {"method": given.get("method", "vca"), "seed": given["seed"], "lehr_version": __version__}
    info["timing"] = {"preprocessing_ns": 0, "sampling_ns": 0, "postprocessing_ns": 0}
    rows = _Rows(np.zeros((num_reads, 0), np.int8), np.ones(num_reads, np.int64), np.zeros(num_reads, np.int64), None)
    return _sample_set(model, rows, [], info)


def _sample_set(model: Any, rows: _Rows, labels: Sequence[Any], info: dict[str, Any]) -> dimod.SampleSet:
    """Rows with the energies that the model itself computes."""
    states = np.asarray(bits_from_spins(rows.spins)) if model.vartype is dimod.BINARY else rows.spins
    vectors: dict[str, Any] = {"num_occurrences": rows.num_occurrences, "replica": rows.replica}
    if rows.log_prob is not None:
        vectors["log_prob"] = rows.log_prob
    if isinstance(model, BinaryPolynomial):
        energies = model.energies((states, list(labels)))
        return dimod.SampleSet.from_samples(
            (states, list(labels)), vartype=model.vartype, energy=energies, info=info, **vectors
        )
    return dimod.SampleSet.from_samples_bqm((states, list(labels)), model, info=info, **vectors)
