"""Figures of the two papers, each made again by `make` and told plainly whether it holds."""

from lehr._types import InputError
from lehr.reproduce import (
    chains,
    collapse,
    dense,
    free_energy,
    ground_energy,
    ground_samples,
    histograms,
    landscapes,
    lattice,
    principal,
    spin_glasses,
)
from lehr.reproduce.figure import Figure

# One room for figures that share their measurement, in the order of the papers.
_ROOMS = (
    chains, spin_glasses, dense, histograms, principal,
    lattice, free_energy, ground_energy, landscapes, ground_samples, collapse,
)  # fmt: skip
FIGURES: dict[str, Figure] = {figure.name: figure for room in _ROOMS for figure in room.FIGURES}


def find_figure(name: str) -> Figure:
    """The figure of this name. Errors: `InputError` where there is none.

    >>> find_figure("b-collapse").name
    'b-collapse'
    """
    if name not in FIGURES:
        raise InputError(f"Argument `FIGURE` must be list or one of {', '.join(FIGURES)}, but it is {name!r}.")
    return FIGURES[name]
