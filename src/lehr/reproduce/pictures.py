"""Pictures that figures of the papers share: datasets in, matplotlib figures out. Nothing is computed here."""

from itertools import pairwise

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from lehr.plot import BLUE, GREY, ORANGE

_VARIANTS = (BLUE, ORANGE, "#3a7d44")
_DISTANCES = ("#24323f", "#d9772b", "#3a7d44", "#8e4a9e")


def draw_curves(data: xr.Dataset, control: str, value: str, zoom: tuple[float, float], title: str) -> Figure:
    """Curves along an anneal, a column for each lattice: above the values with the exact ones, below how far they lie
    above these.

    `data` as of `lehr.reproduce.along`, with dimensions size, variant, seed and window; `control` and `value` label the
    axes; `zoom` are the lowest and the highest control of the inset.
    """
    sizes = data["size"].values.tolist()
    figure, axes = plt.subplots(
        2, len(sizes), figsize=(5.3 * len(sizes), 7), squeeze=False, layout="constrained", height_ratios=(1.15, 1)
    )
    for (above, below), size in zip(axes.T, sizes, strict=True):
        of = data.sel(size=size)
        inset = above.inset_axes((0.09, 0.08, 0.39, 0.39))
        for panel in (above, inset):
            _draw_values(panel, of)
        _zoom(inset, of, zoom)
        above.set(xlabel=control, ylabel=value, title=f"L = {size}", xlim=(0, None))
        above.legend(frameon=False, fontsize="small")
        _draw_excess(below, of)
        below.set(xlabel=control, ylabel="above the exact value, %")
    figure.suptitle(title)
    return figure


def _draw_values(axes: Axes, of: xr.Dataset) -> None:
    for colour, name, seed, run in _runs(of):
        axes.plot(run["control"], run["value"], color=colour, lw=1, alpha=0.8, label=name if seed == 0 else None)
    controls, place = np.unique(of["control"].values, return_index=True)
    known = np.isfinite(controls)
    exact = of["exact"].values.ravel()[place]
    axes.plot(controls[known], exact[known], color="black", ls="--", lw=1, label="exact")


def _zoom(inset: Axes, of: xr.Dataset, zoom: tuple[float, float]) -> None:
    inside = of.where((of["control"] >= zoom[0]) & (of["control"] <= zoom[1]))
    low, high = float(inside["exact"].min()), float(inside["value"].max())
    margin = 0.06 * (high - low)
    if np.isfinite(margin):
        inset.set(xlim=zoom, ylim=(low - margin, high + margin))
    inset.tick_params(labelsize="x-small")


def _draw_excess(axes: Axes, of: xr.Dataset) -> None:
    if not of["excess"].notnull().any():
        return  # and no scale to show it on
    for colour, _, _, run in _runs(of):
        axes.errorbar(
            run["control"], run["excess"], run["excess_error"], color=colour, lw=1, elinewidth=0.6, alpha=0.8, marker=""
        )
    axes.axhline(0, color="black", ls="--", lw=1)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1, linscale=0.6)
    axes.yaxis.set_major_locator(FixedLocator([-1, 0, 1, 3, 10, 30, 100]))
    axes.yaxis.set_minor_locator(NullLocator())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda number, _: f"{number:g}")
    axes.grid(axis="y", color="#e4e6ea", lw=0.8)
    axes.set_ylim(min(-0.5, 1.1 * float(of["excess"].min())), max(2.0, 1.3 * float(of["excess"].max())))


def _runs(of: xr.Dataset):
    """Colour, variant, seed and the windows that hold something, of every run."""
    for colour, name in zip(_VARIANTS, of["variant"].values.tolist(), strict=False):
        for number, seed in enumerate(of["seed"].values.tolist()):
            run = of.sel(variant=name, seed=seed)
            run = run.isel(window=np.flatnonzero(np.isfinite(run["value"].values)))
            yield colour, name, number, run.sortby("control")


def draw_ground_samples(data: xr.Dataset, title: str) -> Figure:
    """Ground states drawn at the end: those of the smallest lattice along their principal axes and as bars, and for
    each further lattice how often each seed drew each state, as shares of the samples in ground states.

    `data` of `lehr.reproduce.ground_samples`, with dimensions size, variant and seed; a row for each variant.
    """
    names, (smallest, *others) = data["variant"].values.tolist(), data["size"].values.tolist()
    figure, axes = plt.subplots(
        len(names), 2 + len(others), figsize=(4.2 * (2 + len(others)), 3.6 * len(names)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, name in zip(axes, names, strict=True):
        _draw_principal(row[0], data.sel(size=smallest, variant=name), f"{name}, L = {smallest}")
        _draw_shares(row[1], data.sel(size=smallest, variant=name), f"{name}, L = {smallest}")
        for panel, size in zip(row[2:], others, strict=True):
            _draw_table(panel, data.sel(size=size, variant=name), f"{name}, L = {size}")
    figure.suptitle(title)
    return figure


def _draw_principal(axes: Axes, of: xr.Dataset, title: str) -> None:
    drawn = np.flatnonzero(of["share_of_all"].values > 0)
    distances = of["distance"].values
    levels = np.unique(distances[np.isfinite(distances)]).tolist()
    for distance, colour in zip(levels, _DISTANCES, strict=False):
        chosen = [state for state in drawn if distances[state] == distance]
        place, share = of["position"].values[chosen], of["share_of_all"].values[chosen]
        axes.scatter(place[:, 0], place[:, 1], 30 + 1200 * share, color=colour, alpha=0.75)
        axes.scatter([], [], 40, color=colour, label=f"distance {distance:.0f}")
    if not drawn.size:
        axes.text(0.5, 0.5, "no ground states", ha="center", transform=axes.transAxes, color=GREY)
    axes.margins(0.35)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="first principal axis", ylabel="second principal axis", title=title)
    axes.legend(frameon=False, fontsize="small", loc="best")


def _draw_shares(axes: Axes, of: xr.Dataset, title: str) -> None:
    known = np.flatnonzero(np.isfinite(of["distance"].values))
    seeds, width = of["seed"].values.tolist(), 0.8 / of.sizes["seed"]
    for number, seed in enumerate(seeds):
        share, low, high = (of[name].sel(seed=seed).values[known] for name in ("share", "share_low", "share_high"))
        places = np.arange(len(known)) + (number - (len(seeds) - 1) / 2) * width
        axes.bar(places, share, 0.9 * width, color=BLUE, alpha=0.35 + 0.5 * number / max(1, len(seeds) - 1))
        bars = np.nan_to_num(np.maximum([share - low, high - share], 0))  # at 0 and 1 the ends are so up to rounding
        axes.errorbar(places, share, bars, ls="", color="black", lw=0.7)
    axes.axhline(1 / len(known), color="black", ls="--", lw=0.8)
    axes.set(xticks=range(len(known)), xticklabels=_numbers(len(known)), ylim=(0, 1.05), title=title)
    axes.set(xlabel="ground state (1: all spins down)", ylabel="share, a bar for each seed")


def _draw_table(axes: Axes, of: xr.Dataset, title: str) -> None:
    known = np.flatnonzero(np.isfinite(of["distance"].values))
    share = of["share"].transpose("seed", "state").values[:, known]
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for row, column in np.argwhere(share > 0):
        axes.text(
            column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center", fontsize="x-small",
            color="white" if share[row, column] > 0.5 else "black",
        )  # fmt: skip
    for row in np.flatnonzero(~np.isfinite(share).any(axis=1)).tolist():
        axes.text(len(known) / 2 - 0.5, row, "no ground states", ha="center", va="center", fontsize="small", color=GREY)
    seeds = of["seed"].values.tolist()
    axes.set(xticks=range(len(known)), xticklabels=_numbers(len(known)), yticks=range(len(seeds)), yticklabels=seeds)
    axes.set(xlabel="ground state (1: all spins down)", ylabel="seed", title=title)
    axes.tick_params(axis="x", labelsize="x-small")
    axes.figure.colorbar(image, ax=axes, label="share (numbers: %)")


def _numbers(last: int) -> list[str]:
    return [str(number) for number in range(1, last + 1)]


def draw_lattice(data: xr.Dataset, title: str) -> Figure:
    """The lattice with its downward triangles, and the network's path through it.

    `data` of `lehr.reproduce.lattice`: `triangle` [term, corner, 2] are places of corners, of which those outside of
    the lattice are periodic images; `site` [site, 2] the places in the order in which the network draws them.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    triangles, sites = data["triangle"].values, data["site"].values
    inside = {tuple(place) for place in sites.round(6)}
    corners = {tuple(place) for place in triangles.round(6).reshape(-1, 2)}
    for triangle in triangles:
        wraps = any(tuple(corner) not in inside for corner in triangle.round(6))
        left.fill(*triangle.T, facecolor="#e9edf3" if wraps else "#c9d8ea", edgecolor=GREY, lw=0.8)
    outside = np.array(sorted(corners - inside)).reshape(-1, 2)
    left.plot(*outside.T, "o", ms=13, mfc="#f4f4f4", mec=GREY, ls="")
    left.plot(*sites.T, "o", ms=13, mfc="#8a8f98", mec="#24323f", ls="")
    left.set_title("Downward triangles; pale: periodic images")
    length = data.sizes["side"]
    for number, (start, stop) in enumerate(pairwise(sites)):
        new_row = number % length == length - 1
        right.annotate(
            "", stop, start, arrowprops={
                "arrowstyle": "-|>", "color": BLUE, "ls": "--" if new_row else "-", "lw": 1.0 if new_row else 1.8,
                "shrinkA": 12, "shrinkB": 12,
            },
        )  # fmt: skip
    for start, stop in zip(sites[:-length], sites[length:], strict=True):
        right.annotate(
            "", stop, start, arrowprops={"arrowstyle": "-|>", "color": ORANGE, "lw": 1.2, "shrinkA": 12, "shrinkB": 12}
        )
    right.plot(*sites.T, "o", ms=22, mfc="#dff0dd", mec="#3a7d44", ls="")
    for number, place in enumerate(sites):
        right.annotate(str(number + 1), place, ha="center", va="center", fontsize="small")
    right.plot([], [], color=BLUE, label="order, and state of the left neighbour")
    right.plot([], [], color=BLUE, ls="--", label="on to the next row (order only)")
    right.plot([], [], color=ORANGE, label="state of the neighbour above")
    right.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, 0))
    right.set_title("The network's path")
    for axes in (left, right):
        axes.set_aspect("equal")
        axes.axis("off")
        axes.margins(0.06)
    figure.suptitle(title)
    return figure
