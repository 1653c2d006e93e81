"""Pictures: a result in, matplotlib axes out. Nothing is computed here."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from lehr._files import written_whole
from lehr.compare import Comparison
from lehr.result import Result

BLUE, ORANGE, GREY = "#1f5fa8", "#d9772b", "#8a8f98"
_COLOURS = (BLUE, ORANGE, "#3a7d44", "#8e4a9e", "#b3324a", "#5b5f66", "#1a9e9e", "#7a5c2e")
_FAMILIES = (BLUE, ORANGE, GREY)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_SPINS = ListedColormap(["#24323f", "#f0c75e"])


def plot_annealing(result: Result, axes: Axes | None = None) -> Axes:
    """Free energy and mean energy per spin along the anneal, averaged over the replicas, and each step's lowest state.

    Markov chains have no free energy. Energies are in the units of H. The dashed line is the ground energy where it is
    known.
    """
    axes = axes or plt.figure(layout="constrained").add_subplot()
    n = result.problem.num_spins
    history = result.history
    steps = history["step"].values
    if "free_energy" in history:
        axes.plot(steps, history["free_energy"].mean("replica") / n, color=BLUE, label="free energy $F$")
    axes.plot(steps, history["energy_mean"].mean("replica") / n, color=ORANGE, label=r"energy $\langle H\rangle$")
    axes.plot(steps, history["energy_min"].min("replica") / n, color=GREY, lw=0.8, label="lowest state")
    if result.ground_energy is not None:
        axes.axhline(result.ground_energy / n, color="black", ls="--", lw=0.8, label="ground energy")
    if steps.size:
        # The entropy of a hot start would dwarf everything else.
        low = float(history["energy_min"].min() / n)
        high = float(history["energy_mean"].max() / n)
        span = high - low or abs(high) or 1.0
        axes.set_ylim(low - 0.15 * span, high + 0.25 * span)
    axes.set(xlabel=_step(result), ylabel="per spin", title="Annealing")
    axes.legend(frameon=False, fontsize="small")
    return axes


def plot_controls(result: Result, axes: Axes | None = None) -> Axes:
    """Temperature and transverse field along the anneal, in the units of H, and the entropy per spin in nats."""
    axes = axes or plt.figure(layout="constrained").add_subplot()
    history = result.history
    steps = history["step"].values
    curves = [
        (history["temperature"].mean("replica"), "temperature $T$", ORANGE, False),
        (history["field"].mean("replica"), r"field $\Gamma$", BLUE, False),
    ]
    if "entropy" in history:
        curves.append((history["entropy"].mean("replica") / result.problem.num_spins, "entropy per spin", GREY, True))
    for values, label, colour, always in curves:
        positive = bool((values > 0).any())
        if positive or always:
            axes.plot(steps, values, color=colour, label=label)
        if positive:
            axes.set_yscale("log")
    axes.set(xlabel=_step(result), title="Schedule and entropy" if "entropy" in history else "Schedule")
    axes.legend(frameon=False, fontsize="small")
    return axes


def plot_energies(result: Result, axes: Axes | None = None) -> Axes:
    """Histogram of the final samples' energies per spin above the best energy found."""
    axes = axes or plt.figure(layout="constrained").add_subplot()
    above = (result.energies - result.best_energy).ravel() / result.problem.num_spins
    axes.hist(above, bins=40, color=BLUE)
    axes.set_yscale("log")
    axes.set(xlabel="energy per spin above the best", ylabel="samples", title="Final samples")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return axes


def plot_state(result: Result, axes: Axes | None = None) -> Axes:
    """The best state: on its lattice where the problem has a two-dimensional one, in reading order elsewhere."""
    axes = axes or plt.figure(layout="constrained").add_subplot()
    lattice = result.problem.lattice
    if lattice is not None and len(lattice.shape) == 2:
        picture = result.best_spins.reshape(lattice.shape).T
    else:
        width = int(np.ceil(np.sqrt(result.problem.num_spins)))
        picture = np.full(width * -(-result.problem.num_spins // width), np.nan)
        picture[: result.problem.num_spins] = result.best_spins
        picture = picture.reshape(-1, width)
    axes.imshow(picture, cmap=_SPINS, vmin=-1, vmax=1, origin="lower", interpolation="nearest")
    axes.set(xticks=[], yticks=[], title=f"Best state, $E = {result.best_energy:.8g}$")
    return axes


def plot_run(result: Result) -> Figure:
    """A run on one page: annealing, schedule, final samples and the best state."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    plot_annealing(result, axes[0, 0])
    plot_controls(result, axes[0, 1])
    plot_energies(result, axes[1, 0])
    plot_state(result, axes[1, 1])
    figure.suptitle(f"{result.problem.name}: {result.method}, seed {result.seed}")
    return figure


def _step(result: Result) -> str:
    return "gradient step" if result.gradient_steps else "sweep"


def plot_comparison(comparison: Comparison, axes: Axes | None = None) -> Axes:
    """Residual energy per spin of the lowest state that a run meets, against the seconds of a run, for each method.

    Points are means over runs with intervals of 95 %. Where no run ended above the target, an open symbol stands on
    the lower edge. Runs that diverged are in no point.
    """
    axes = axes or plt.figure(figsize=(7, 5), layout="constrained").add_subplot()
    intervals = {rung: comparison.residual(rung) for rung in comparison.rungs if rung.energies}
    all_met = {rung: comparison.hits(rung) == len(rung.energies) for rung in intervals}
    positive = [interval.value for rung, interval in intervals.items() if not all_met[rung]]
    floor = 10.0 ** np.floor(np.log10(min(positive, default=1e-3)) - 0.5)
    for number, method in enumerate(comparison.methods):
        rungs = [rung for rung in comparison.of(method) if rung.energies]
        times = np.array([rung.seconds_per_run for rung in rungs])
        values, low, high = np.array([intervals[rung] for rung in rungs]).reshape(-1, 3).T
        exact = np.array([all_met[rung] for rung in rungs], bool)
        shown = np.where(exact, floor, values)
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        bars = [shown - np.clip(low, floor, shown), np.maximum(high, shown) - shown]
        axes.errorbar(times, shown, bars, color=colour, marker=marker, lw=1.2, elinewidth=0.8, label=method)
        axes.plot(times[exact], shown[exact], marker, color=colour, mfc="white", clip_on=False, zorder=3)
    axes.set(xscale="log", yscale="log", xlabel="seconds per run", ylabel="residual energy per spin")
    axes.set_ylim(bottom=floor)
    axes.set_title(f"{comparison.problem.name} (open symbols: no run ended above the target)", fontsize="medium")
    axes.legend(frameon=False, fontsize="small")
    return axes


def plot_variants(data: xr.Dataset, families: Mapping[str, str], title: str) -> Figure:
    """Ground states found and worst deviation from the exact free energy, a row for each variant.

    `data` has dimensions variant and seed (`lehr.reproduce.collapse`): small symbols are seeds, large ones means with
    intervals of 95 %. `families` names the group of each variant, at most three in all, with their own symbols.
    """
    names = data["variant"].values.tolist()
    figure, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(9, 1.4 + 0.44 * len(names)), layout="constrained", width_ratios=(1, 1.2)
    )
    number = int(data["num_ground_states"].max())
    left.axvline(number, color="#c5c9d0", lw=0.8, zorder=0)
    spread = np.linspace(-0.4, 0.4, data.sizes["seed"])  # seeds that found the same lie side by side
    styles = {
        family: {"color": colour, "marker": marker, "ls": "none"}
        for family, colour, marker in zip(sorted(set(families.values())), _FAMILIES, _MARKERS, strict=False)
    }
    labelled = set()
    for row, name in enumerate(names):
        of, family = data.sel(variant=name), families[name]
        left.plot(of["found"], row + spread, ms=2.7, mew=0, **styles[family])
        right.plot(of["worst_excess"], row + spread, ms=2.5, alpha=0.4, **styles[family])
        mean, low, high = (of[f"worst_excess_{end}"].values.reshape(1) for end in ("mean", "low", "high"))
        label = None if family in labelled else family
        right.errorbar(mean, [row], xerr=[mean - low, high - mean], ms=6, capsize=3, label=label, **styles[family])
        labelled.add(family)
    left.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5), xlim=(0, 1.06 * number))
    left.set(xlabel="different ones among the final samples", title=f"Ground states found, of {number}")
    left.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    right.set(xscale="log", xlabel=r"largest $|F - F_\mathrm{exact}|\, /\, |F_\mathrm{exact}|$ on the way, %")
    right.set(title="Free energy: worst deviation")
    right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    right.xaxis.set_major_formatter(ScalarFormatter())
    right.xaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        axes.grid(axis="y", color="#e4e6ea", lw=0.8)
        axes.set_axisbelow(True)
    right.legend(frameon=False, fontsize="small")
    figure.suptitle(title)
    return figure


def plot_sweep(data: xr.Dataset) -> Figure:
    """Residual energy against steps and against seconds of a run, and the time to solution: a row for each ensemble.

    `data` is that of `lehr.sweep.summarise`. Points are typical values over the instances with intervals of 95 %, one
    line for each method and further setting. Where the median instance was never solved, an arrow starts at the lower
    end of the time's interval.
    """
    names = data["ensemble"].values.tolist()
    figure, grid = plt.subplots(
        len(names), 3, squeeze=False, figsize=(12, 3.6 * len(names) + 0.3), layout="constrained", sharex="col"
    )
    curves = list(dict.fromkeys(data["curve"].values.tolist()))
    for row, name in zip(grid, names, strict=True):
        inside = data.sel(ensemble=name)
        for number, label in enumerate(curves):
            of = inside.isel(setting=(data["curve"] == label).values).sortby("steps")
            style = {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % len(_MARKERS)], "ms": 5}
            _sweep_line(row[0], of["steps"], of, "residual_typical", label=label, **style)
            _sweep_line(row[1], of["seconds_per_run"], of, "residual_typical", **style)
            _sweep_line(row[2], of["steps"], of, "time_to_solution_typical", **style)
        row[0].set_ylabel("typical residual energy per spin")
        row[2].set_ylabel("seconds to solution (99 %)")
        row[0].set_title(name, fontsize="medium", loc="left")
        for axes, key in ((row[0], "residual_typical"), (row[2], "time_to_solution_typical")):
            _keep_in_sight(axes, inside, key)
    for axes, label in zip(grid[-1], ("steps", "seconds of a run", "steps"), strict=True):
        axes.set_xlabel(label)
    for axes in grid.flat:
        axes.set(xscale="log", yscale="log")
        axes.grid(color="#e4e6ea", lw=0.8)
        axes.set_axisbelow(True)
    for row in grid:
        row[1].sharey(row[0])
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _keep_in_sight(axes: Axes, of: xr.Dataset, name: str) -> None:
    """Points decide what is shown, and bars as far as they do not dwarf them: those of two instances are huge."""
    values, low, high = (of[f"{name}{end}"].values for end in ("", "_low", "_high"))
    points = np.where(np.isinf(values), low, values)
    points = points[np.isfinite(points)]
    if points.size:
        bottom = max(np.nanmin([low, values]), points.min() / 30)
        top = min(high[np.isfinite(high)].max(initial=points.max()), points.max() * 30)
        axes.set_ylim(bottom / 1.5, top * 1.5)


def _sweep_line(axes: Axes, x: xr.DataArray, of: xr.Dataset, name: str, *, label: str | None = None, **style) -> None:
    places, values, low, high = (part.values for part in (x, of[name], of[f"{name}_low"], of[f"{name}_high"]))
    there = np.isfinite(values)
    bars = [values[there] - low[there], high[there] - values[there]]
    bars = np.maximum(np.nan_to_num(bars, nan=0.0, posinf=0.0), 0)  # runs that tell no interval, or no end of it
    axes.errorbar(places[there], values[there], bars, lw=1.2, elinewidth=0.8, label=label, **style)
    never = np.isinf(values) & np.isfinite(low)
    axes.plot(places[never], low[never], color=style["color"], marker=r"$\uparrow$", ms=9, ls="none")


def save_both(figure: Figure, stem: str | Path) -> list[Path]:
    """Write a figure as PNG and PDF, `stem` with the suffixes of these, and close it; returns the files."""
    return [_saved(figure, Path(f"{stem}.{kind}")) for kind in ("png", "pdf")]


def save_figures(result: Result, folder: str | Path) -> list[Path]:
    """Write the run's page as PNG into `folder`; returns the files."""
    return [_saved(plot_run(result), Path(folder) / "run.png")]


def save_comparison(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Write the comparison's picture as PNG and PDF into `folder`; returns the files."""
    figure = plot_comparison(comparison).get_figure(root=True)
    assert figure is not None
    return save_both(figure, Path(folder) / "comparison")


def _saved(figure: Figure, path: Path) -> Path:
    try:
        with written_whole(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=150)
    finally:
        plt.close(figure)
    return path
