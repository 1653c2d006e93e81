"""The report of one run: what was found, how surely, along which way, and how it was made."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from lehr._netcdf import read_dataset
from lehr._types import InputError
from lehr.exact.choose import Reference, exact
from lehr.metrics import overlaps
from lehr.pca import principal_components
from lehr.report.charts import Series, chart, cloud, histogram, surface
from lehr.report.page import Section, folded, listed, numbers, page, table
from lehr.report.state import cut_of, picture
from lehr.result import Result

# Exact energies are asked for at so many steps of the anneal.
_EXACT_POINTS = 24
# In a transverse field they are quick up to so many spins.
_MOST_QUANTUM_SPINS = 12
_MOST_PAIRS = 20_000
# States and spins of the principal components.
_MOST_STATES, _MOST_SPINS = 600, 1600
_LANDSCAPE = "landscape.nc"


def run_page(result: Result, folder: Path) -> str:
    """The page of a run; `folder` may hold a landscape of its network."""
    curve, oracle = _exact_curve(result), ""
    if curve is not None and result.ground_energy is None:
        result, oracle = replace(result, problem=curve.reference.solved_problem()), curve.reference.oracle
    problem = result.problem
    orders = ", ".join(f"{terms.coefficients.size} of {terms.order} spins" for terms in problem.terms)
    words = f"{problem.num_spins} spins, terms: {orders or 'none'}; method {result.method}, seed {result.seed}"
    steps = result.history.sizes["step"]
    sections = [
        Section("Result", "", [numbers(_found(result, oracle)), *_warnings(result)]),
        Section("Best state", "", picture(result)),
        Section("Anneal", _step_words(result), [*_energies(result, curve), *_others(result)] if steps else []),
        Section("Final samples", "", [_histogram(result), *_overlaps(result), *_components(result), _replicas(result)]),
        *_landscape(folder, problem.num_spins),
        Section("How it was made", "", _made(result)),
    ]
    return page(problem.name, words, sections)


def _found(result: Result, oracle: str) -> dict[str, str]:
    """The numbers; `oracle` has found the ground energy, where it was not stated with the problem."""
    n, ground, residual = result.problem.num_spins, result.ground_energy, result.residual_per_spin
    share = float((result.energies <= result.best_energy + result.problem.resolution).mean())
    unrefined, cut = result.unrefined_best_energy, cut_of(result)
    reached = ground is not None and result.best_energy <= ground + result.problem.resolution
    known = "unknown" if ground is None else f"{ground:.12g}, {'reached' if reached else 'not reached'}"
    return {
        "best energy": f"{result.best_energy:.12g}",
        "per spin": f"{result.best_energy / n:.9g}",
        "cut": "" if cut is None else f"{cut:.12g}",
        "before local moves": "" if unrefined is None else f"{unrefined:.12g}",
        "ground energy": f"{known}; by {oracle}" if oracle else known,
        "mean energy of the samples": f"{result.mean_energy:.12g}",
        "residual energy per spin": "" if residual is None else f"{residual:.3g}",
        "samples with the best energy": f"{share:.1%} of {result.num_samples}",
        "distinct states": str(result.num_distinct),
        "seconds": f"{sum(result.seconds.values()):.3g}",
    }


def _warnings(result: Result) -> list[str]:
    return [listed(result.warnings, "warnings")] if result.warnings else []


def _step_words(result: Result) -> str:
    kind = "gradient steps" if result.gradient_steps else "sweeps"
    steps = result.history.sizes["step"]
    replicas = len(result.samples)
    band = f", means over {replicas} replicas with the range of all" if replicas > 1 else ""
    return f"{kind}, {steps} of them recorded{band}; energies per spin in the units of H" if steps else "not recorded"


def _energies(result: Result, curve: "_Exact | None") -> list[str]:
    """Free energy beside the exact one, whose hot start would dwarf the energies; and the energies."""
    n, history, parts = result.problem.num_spins, result.history, []
    if "free_energy" in history:
        in_field = bool((history["field"] > 0).any()) and not bool((history["temperature"] > 0).any())
        title, name = ("Energy in the field", "energy") if in_field else ("Free energy", "F")
        series, note = [_curve(history, "free_energy", name, n)], ""
        if curve is not None:
            series.append(Series(curve.name, curve.steps, np.array(curve.values) / n, kind="dots"))
            note = f"{curve.name}: {curve.oracles}"
        parts.append(chart(title, series, x_label="step", y_label=f"{name} per spin", note=note))
    names = {"energy_mean": "⟨H⟩", "energy_min": "lowest state"}
    if history["energy_mean"].equals(history["energy_min"]):
        del names["energy_min"]  # a single walker
    series = [_curve(history, name, words, n) for name, words in names.items() if name in history]
    if result.ground_energy is not None:
        ends = history["step"].values[[0, -1]]
        series.append(Series("ground energy", ends, [result.ground_energy / n] * 2, kind="dashed"))
    return [*parts, chart("Energy", series, x_label="step", y_label="energy per spin")]


def _curve(history: xr.Dataset, name: str, words: str, unit: int = 1) -> Series:
    """The mean over the replicas, and their range."""
    values = history[name] / unit
    ends = (values.min("replica").values, values.max("replica").values) if values.sizes["replica"] > 1 else (None, None)
    return Series(words, history["step"].values, values.mean("replica").values, *ends)


class _Exact(NamedTuple):
    """Steps and exact values of what is trained there, their name, the methods, and all that came with them."""

    steps: list[int]
    values: list[float]
    name: str
    oracles: str
    reference: Reference


def _exact_curve(result: Result) -> _Exact | None:
    """What is exactly known along the way; None where it is nothing."""
    history = result.history
    if not history.sizes["step"] or "free_energy" not in history:
        return None
    hot, field = history["temperature"].values[0], history["field"].values[0]
    quantum = bool((field > 0).any())
    controls = field if quantum else hot
    if (quantum and ((hot > 0).any() or result.problem.num_spins > _MOST_QUANTUM_SPINS)) or not (controls > 0).any():
        return None
    places = np.flatnonzero(controls > 0)
    places = places[np.unique(np.linspace(0, len(places) - 1, _EXACT_POINTS).round().astype(int))]
    while places.size > 1:
        at = [float(value) for value in controls[places]]
        asked = {"fields" if quantum else "temperatures": sorted(set(at))}
        try:
            reference = exact(result.problem, **asked)
        except InputError:  # cold points may be beyond a method that knows the hot ones
            order = np.argsort(-controls[places], kind="stable")
            places = np.sort(places[order[: len(order) // 2]])
            continue
        values = reference.field_energies if quantum else reference.free_energies
        oracles = ", ".join(dict.fromkeys(name for _, name in values.values()))
        name = "exact energy" if quantum else "exact F"
        steps = history["step"].values[places].tolist()
        return _Exact(steps, [values[one][0] for one in at], name, oracles, reference)
    return None


def _others(result: Result) -> list[str]:
    """The schedule, and how well the network follows."""
    history, n = result.history, result.problem.num_spins
    controls = {"temperature": "temperature T", "field": "field Γ"}
    ramps = [_curve(history, k, w) for k, w in controls.items() if k in history and float(history[k].max()) > 0]
    parts = []
    if ramps:
        label = "units of H" if len(ramps) > 1 else f"{ramps[0].name}, units of H"
        parts.append(chart("Schedule", ramps, x_label="step", y_label=label, log_y=True))
    follows = {
        "entropy": ("Entropy", "nats per spin", n),
        "effective_sample_size": ("Effective sample size", "share", 1),
    }
    for name, (title, label, unit) in follows.items():
        if name in history and bool(np.isfinite(history[name]).any()):
            parts.append(chart(title, [_curve(history, name, title, unit)], x_label="step", y_label=label))
    return parts


def _histogram(result: Result) -> str:
    above = (result.energies - result.best_energy) / result.problem.num_spins
    ends = 0.0, float(above.max()) or 1 / result.problem.num_spins
    return histogram("Energies", above, x_label="energy per spin above the best", ends=ends)


def _overlaps(result: Result) -> list[str]:
    replicas, size = result.energies.shape
    if replicas * size < 2:
        return []
    between = "different replicas" if replicas > 1 else "different samples"
    found = overlaps(result.samples, max_pairs=_MOST_PAIRS)
    return [
        histogram(
            "Overlaps", found, x_label="overlap q", ends=(-1.0, 1.0), note=f"pairs of {between}, {found.size} of them"
        )
    ]


def _components(result: Result) -> list[str]:
    states = result.distinct()
    n = result.problem.num_spins
    if len(states.counts) < 3 or n < 2:
        return []
    if n > _MOST_SPINS:
        return [f'<p class="note">No principal components: there are more than {_MOST_SPINS} spins.</p>']
    some = np.unique(np.linspace(0, len(states.counts) - 1, _MOST_STATES).round().astype(int))
    energies, counts = states.energies[some], states.counts[some]
    found = principal_components(states.spins[some], 2, weights=counts)
    low, span = energies.min(), np.ptp(energies) or 1.0
    x, y = found.positions.T
    words = [f"energy {energy:.9g}, drawn {count} times" for energy, count in zip(energies, counts, strict=True)]
    x_label, y_label = (f"component {k + 1} ({share:.0%})" for k, share in enumerate(found.shares))
    of = "all" if len(some) == len(states.counts) else f"{len(some)} of {len(states.counts)}"
    return [
        cloud(
            "Principal components", x, y, (energies - low) / span, counts, words, x_label=x_label,
            y_label=y_label, note=f"{of} distinct states; blue is low in energy, area: how often a state was drawn",
        )
    ]  # fmt: skip


def _replicas(result: Result) -> str:
    rows = [["replica", "best energy", "mean energy", "effective sample size", "distinct states"]]
    tracking = result.tracking
    for number, best in enumerate(result.replica_best_energies[:100]):
        share = distinct = ""
        if tracking is not None:
            value = tracking.effective_sample_size[number]
            share, distinct = f"{value:.1%}" if np.isfinite(value) else "", str(int(tracking.num_distinct[number]))
        rows.append([str(number), f"{best:.12g}", f"{result.energies[number].mean():.12g}", share, distinct])
    kept = [column for column in range(5) if any(row[column] for row in rows[1:])]
    return table([[row[column] for column in kept] for row in rows])


def _landscape(folder: Path, num_spins: int) -> list[Section]:
    """The plane that `lehr landscape` has written beside the run, if it has."""
    file = folder / "figures" / _LANDSCAPE
    if not file.exists():
        return []
    plane = read_dataset(file)
    try:
        loss, ends = plane["loss"].transpose("alpha", "beta").values / num_spins, plane["alpha"].values[[0, -1]]
        of = {name: float(plane[name]) for name in ("centre", "centre_error", "below", "basin", "ruggedness")}
        step = int(plane["step"])
    except (KeyError, ValueError, IndexError):
        raise InputError(f"File `{file}` must be one that `lehr landscape` wrote, but it is not.") from None
    error = of["centre_error"] / num_spins
    rows = {
        "at the centre, per spin": f"{of['centre'] / num_spins:.8g}" + (f" ± {error:.2g}" if error else ""),
        "below the centre": f"{of['below']:.1%} of the points",
        "radius of the basin": f"{of['basin']:.3g}",
        "ruggedness": f"{of['ruggedness']:.3g}",
    }
    words = f"The loss per spin after {step} steps on a plane of two random directions around the network."
    drawn = surface("Loss landscape", loss, (float(ends[0]), float(ends[1])), "yellow is low, violet is high")
    return [Section("Landscape", words, [drawn, numbers(rows)])]


def _made(result: Result) -> list[str]:
    spec: Mapping[str, Any] = result.spec
    settings = spec.get("settings", {})
    software = spec.get("software", {})
    facts = {
        "ansatz": result.ansatz,
        "gradient steps": str(result.gradient_steps or ""),
        "spin updates": f"{result.work.spin_updates:.4g}",
        **{f"seconds to {name}": f"{value:.3g}" for name, value in result.seconds.items()},
        "device": result.device,
        "Lehr": result.version,
        **{name: str(value) for name, value in software.items()},
    }
    chosen = {name.replace("_", " "): _written(name, value) for name, value in settings.items()}
    parts = [numbers(facts), "<h3>Settings</h3>", numbers(chosen)]
    best = " ".join(f"{spin:+d}" for spin in result.best_spins.tolist())
    return [*parts, folded("The spins of the best state, in the order of the problem", best)]


def _written(name: str, value: Any) -> str:
    if value is None and name in ("temperature", "transverse_field"):
        return "from the problem"
    if isinstance(value, list):
        return " to ".join(f"{one:g}" for one in value)
    return str(value or "none") if value is None or isinstance(value, str | dict) else str(value)
