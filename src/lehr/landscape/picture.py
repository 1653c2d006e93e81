"""Pictures of landscapes: datasets in, matplotlib figures out. Nothing is computed here but their scales."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lehr.landscape.relief import rescaled

_COLOURS = "viridis_r"  # what is low is bright


def plot_maps(rows: Mapping[str, Sequence[tuple[str, xr.Dataset]]], title: str = "") -> Figure:
    """Rows of maps, each rescaled to [-1, 1] as in paper B's figure 4: name of a row -> (title, plane) of each map."""
    columns = max(len(planes) for planes in rows.values())
    figure, grid = plt.subplots(
        len(rows), columns, squeeze=False, figsize=(2.6 * columns + 1.4, 2.65 * len(rows) + 0.5), layout="constrained",
        sharex=True, sharey=True,
    )  # fmt: skip
    image = None
    for line, (name, planes) in zip(grid, rows.items(), strict=True):
        for axes in line[len(planes) :]:
            axes.set_axis_off()
        for axes, (label, plane) in zip(line, planes, strict=False):
            image = _map(axes, plane)
            axes.set_title(label, fontsize="small")
        line[0].set_ylabel(f"{name}\n$\\beta$")
    for axes in grid[-1]:
        axes.set_xlabel(r"$\alpha$")
    if image is not None:
        figure.colorbar(image, ax=grid, label="loss, rescaled", shrink=0.7, ticks=[-1, 0, 1])
    figure.suptitle(title)
    return figure


def plot_surfaces(rows: Mapping[str, Sequence[tuple[str, xr.Dataset]]], num_spins: int, title: str = "") -> Figure:
    """Rows of surfaces of the loss per spin, each with its own scale: name of the row -> (title, plane) of each."""
    columns = max(len(planes) for planes in rows.values())
    figure = plt.figure(figsize=(3.1 * columns, 3.3 * len(rows) + 0.3), layout="constrained")
    for line, (name, planes) in enumerate(rows.items()):
        for column, (label, plane) in enumerate(planes):
            axes = figure.add_subplot(len(rows), columns, line * columns + column + 1, projection="3d")
            _surface(axes, plane, num_spins)
            axes.set_title(f"{name}\n{label}", fontsize="small", y=1.0)
    figure.suptitle(title)
    return figure


def _surface(axes, plane: xr.Dataset, num_spins: int) -> None:
    alpha, beta = np.meshgrid(plane["alpha"], plane["beta"], indexing="ij")
    loss = plane["loss"].transpose("alpha", "beta").values / num_spins
    axes.plot_surface(alpha, beta, loss, cmap=_COLOURS, rcount=101, ccount=101, linewidth=0)
    axes.set(xlabel=r"$\alpha$", ylabel=r"$\beta$")
    for one in (axes.xaxis, axes.yaxis, axes.zaxis):
        one.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize="small")
    axes.view_init(elev=32, azim=-55)
    axes.set_box_aspect((1, 1, 0.8), zoom=0.9)


def plot_plane(plane: xr.Dataset, num_spins: int, title: str = "") -> Figure:
    """One plane as a map of the loss per spin and as a surface."""
    figure = plt.figure(figsize=(9.6, 4.2), layout="constrained")
    left = figure.add_subplot(1, 2, 1)
    scaled = plane.assign({name: plane[name] / num_spins for name in ("loss", "centre")})
    image = left.pcolormesh(*_grid(scaled), cmap=_COLOURS, rasterized=True)
    left.plot(0, 0, "+", color="#d9772b", ms=10, mew=1.6)
    left.set(xlabel=r"$\alpha$", ylabel=r"$\beta$", aspect="equal")
    figure.colorbar(image, ax=left, label="loss per spin", shrink=0.85)
    right = figure.add_subplot(1, 2, 2, projection="3d")
    _surface(right, plane, num_spins)
    figure.suptitle(title, fontsize="medium")
    return figure


def plot_path(found: xr.Dataset, num_spins: int, axes: Axes | None = None, title: str = "") -> Axes:
    """The path of an anneal on the plane of its principal components, over the loss per spin."""
    axes = axes or plt.figure(figsize=(5.4, 4.2), layout="constrained").add_subplot()
    alpha, beta, loss = _grid(found)
    image = axes.pcolormesh(alpha, beta, loss / num_spins, cmap=_COLOURS, rasterized=True)
    axes.figure.colorbar(image, ax=axes, label="loss per spin")
    axes.plot(found["x"], found["y"], ".-", color="#d9772b", lw=1.2, ms=4)
    axes.plot(found["x"][0], found["y"][0], "o", color="white", mec="#d9772b", label="start")
    axes.plot(found["x"][-1], found["y"][-1], "o", color="#d9772b", mec="white", label="end")
    first, second = (float(share) for share in found["explained"])
    axes.set(xlabel=f"first component ({first:.0%})", ylabel=f"second component ({second:.0%})", title=title)
    axes.legend(fontsize="small", loc="best")
    return axes


def _grid(plane: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Alpha, beta and the loss as pcolormesh takes them: alpha to the right."""
    return plane["alpha"].values, plane["beta"].values, plane["loss"].transpose("beta", "alpha").values


def _map(axes: Axes, plane: xr.Dataset):
    alpha, beta, loss = _grid(plane)
    image = axes.pcolormesh(alpha, beta, rescaled(loss), cmap=_COLOURS, vmin=-1, vmax=1, rasterized=True)
    axes.set_aspect("equal")
    return image
