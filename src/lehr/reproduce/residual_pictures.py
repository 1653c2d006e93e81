"""Pictures of the figures of paper A: datasets in, matplotlib figures out. Nothing is computed here."""

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lehr.plot import BLUE, GREY, ORANGE
from lehr.reproduce.paper_b import DEFAULT

_COLOURS = {"VCA": BLUE, "VQA": ORANGE, "RVQA": "#3a7d44", "CQO": "#8e4a9e", "SA": GREY, "SQA": "#b3324a"}
_MARKERS = {"VCA": "o", "VQA": "s", "RVQA": "^", "CQO": "D", "SA": "v", "SQA": "P"}
_MOST_COLUMNS = 3


def _style(variant: str) -> dict:
    """Colour and symbol of a method; Lehr's default is dashed."""
    method = variant.split(",")[0]
    return {
        "color": _COLOURS[method],
        "marker": _MARKERS[method],
        "ls": "--" if variant.endswith(DEFAULT) else "-",
        "mfc": "white" if variant.endswith(DEFAULT) else _COLOURS[method],
    }


def draw_residuals(data: xr.Dataset, title: str) -> Figure:
    """Typical residual energies per spin of every system, above against annealing steps with the power laws of the
    paper's methods, below against seconds; wide circles where an instance is at the floor of its samples.

    `data` of `lehr.reproduce.residual.summarise_residual`.
    """
    systems = data["system"].values.tolist()
    columns = min(len(systems), _MOST_COLUMNS)
    blocks = -(-len(systems) // columns)
    figure, axes = plt.subplots(
        2 * blocks, columns, figsize=(max(4.4 * columns, 6.5), 6.8 * blocks), squeeze=False, layout="constrained"
    )
    for panel in axes.ravel():
        panel.axis("off")
    for number, system in enumerate(systems):
        block, column = divmod(number, columns)
        above, below = axes[2 * block : 2 * block + 2, column]
        _draw_ladders(above, data.sel(system=system), "annealing")
        _draw_ladders(below, data.sel(system=system), "typical_seconds")
        above.set(xlabel="annealing steps, without warm-up and pre-anneal", title=system)
        below.set(xlabel="seconds of one network or read")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    figure.suptitle(title)
    return figure


def _draw_ladders(axes: Axes, of: xr.Dataset, against: str) -> None:
    """Every variant with its error bars; open wide symbols where an instance is at the floor of its samples."""
    axes.axis("on")
    axes.set(yscale="log", ylabel="residual energy per spin")
    axes.set_xscale("log", base=2 if against == "annealing" else 10)
    if against == "annealing":
        axes.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
    axes.grid(color="#e4e6ea", lw=0.8)
    for name in of["variant"].values.tolist():
        one, style = of.sel(variant=name), _style(name)
        # Of the measured rungs alone: without any there is still a line, for the legend.
        one = one.isel(rung=np.flatnonzero(np.isfinite(one["typical_mean"].values)))
        steps = one["annealing"].max("instance").values
        times = steps if against == "annealing" else one[against].values
        middle = one["typical_mean"].values
        bars = np.nan_to_num([middle - one["typical_low"].values, one["typical_high"].values - middle])
        axes.errorbar(times, middle, np.maximum(bars, 0), lw=1.2, ms=5, elinewidth=0.9, label=name, **style)
        floored = one["at_floor"].values.astype(bool)
        axes.plot(times[floored], middle[floored], "o", ms=11, mfc="none", mec=style["color"], mew=0.8)
        exponent = float(one["exponent_mean"])
        if against == "annealing" and np.isfinite(exponent) and not name.endswith(DEFAULT):
            used = (one["fitted"].max("instance").values > 0) & ~floored
            ends = np.array([steps[used].min() / 1.3, steps[used].max() * 1.3])
            axes.plot(ends, float(one["prefactor"]) * ends**exponent, color=style["color"], lw=4, alpha=0.18)


def draw_histograms(data: xr.Dataset, edges: np.ndarray, title: str) -> Figure:
    """Residual energies of single samples: the share of each bin, and on the left that of the ground states.

    `data` has `share` [system, variant, bin], the first bin for what counts as the ground energy; `edges` are those of
    the others. A panel for each system.
    """
    systems = data["system"].values.tolist()
    figure, axes = plt.subplots(1, len(systems), figsize=(7.5 * len(systems), 4.8), squeeze=False, layout="constrained")
    width = edges[1] / edges[0]
    # The bin of the ground states is as wide as the others, with a gap before these.
    borders = np.concatenate([[edges[0] / width**3, edges[0] / width**2], edges])
    for panel, system in zip(axes[0], systems, strict=True):
        for name in data["variant"].values.tolist():
            share, style = data["share"].sel(system=system, variant=name).values, _style(name)
            heights = np.concatenate([share[:1], [0.0], share[1:]])
            # One of which nothing was measured is in the legend alone.
            shown = heights if np.isfinite(heights).all() else 0 * borders[1:]
            panel.stairs(shown, borders, color=style["color"], ls=style["ls"], lw=1.6, label=name)
        panel.axvline(edges[0] / width, color=GREY, lw=0.8, ls=":")
        panel.set(xscale="log", xlabel="residual energy per spin of one sample (left of the dots: ground states)")
        panel.set(ylabel="share of the samples", title=system, ylim=(0, None))
        panel.legend(frameon=False, fontsize="small")
    figure.suptitle(title)
    return figure


def draw_anneals(data: xr.Dataset, title: str) -> Figure:
    """Samples along an anneal, a row for each network: those of the first instance along the principal axes of all
    moments together, and for every instance what its moments have in common with the ground state.

    `data` of `lehr.reproduce.principal.summarise_components`.
    """
    names = data["variant"].values.tolist()
    figure, axes = plt.subplots(len(names), 2, figsize=(11, 4.4 * len(names)), squeeze=False, layout="constrained")
    for (left, right), name in zip(axes, names, strict=True):
        of = data.sel(variant=name)
        first = of.isel(instance=0)
        colours = plt.get_cmap("plasma_r")(np.linspace(0.1, 0.95, of.sizes["moment"]))
        for number, colour in enumerate(colours):
            one = first.isel(moment=number)
            label = f"T = {float(one['temperature']):.2g} J"
            left.scatter(*one["position"].values.T, s=14, color=colour, alpha=0.45, lw=0, label=label)
        left.set(xlabel="first principal axis", ylabel="second principal axis", title=f"{name}, instance 1")
        left.legend(frameon=False, fontsize="small", markerscale=2)
        for number, instance in enumerate(of["instance"].values.tolist()):
            run = of.sel(instance=instance)
            values = (
                ("mean |q|", run["mean_overlap"], BLUE, "-"),
                ("share of the first axis", run["own_share"].isel(axis=0), ORANGE, "--"),
            )
            for label, curve, colour, line in values:
                label = label if number == 0 else None
                right.plot(run["temperature"], curve, line, marker="o", ms=4, color=colour, lw=1, label=label)
        right.set(xlabel="T / J", ylim=(0, 1.05), title=f"{name}, a line for each instance")
        right.legend(frameon=False, fontsize="small")
    figure.suptitle(title)
    return figure
