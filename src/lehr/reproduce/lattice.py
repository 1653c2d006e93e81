"""Figure 1 of paper B: the lattice with its triangles, the network's path through it, and how many ground states."""

from typing import Any

import numpy as np
import xarray as xr

from lehr.ansatz.order import raster
from lehr.exact.choose import exact
from lehr.exact.newman_moore import degeneracy_exponent
from lehr.problem.newman_moore import newman_moore
from lehr.reproduce.along import spread
from lehr.reproduce.figure import Figure, Spec, filled, table
from lehr.reproduce.paper_b import SOURCE
from lehr.reproduce.verdict import Statement, judged

# Steps from a site to its right and to its lower neighbour, so that a site, the next one of its row and the one below
# are a downward triangle.
_RIGHT, _DOWN = np.array([1.0, 0.0]), np.array([0.5, -np.sqrt(0.75)])


def measure_lattice(spec: Spec, size: int) -> xr.Dataset:
    """Triangles and ground states of one lattice, and the places that are drawn, which are those of `spec["drawn"]`.

    Ground states are counted from the terms of the problem (by enumeration of all states where there are at most 20
    spins), and by the closed form, which knows nothing of the terms.
    """
    problem = newman_moore(size)
    (terms,) = problem.terms
    indices = np.asarray(terms.indices)
    of_site = np.bincount(indices.ravel(), minlength=problem.num_spins)
    reference = exact(problem)
    assert reference.num_ground_states is not None
    return xr.Dataset(
        {
            "num_triangles": float(len(indices)),
            "least_of_site": float(of_site.min()),
            "most_of_site": float(of_site.max()),
            "exponent": float(np.log2(reference.num_ground_states)),
            "closed_form": float(degeneracy_exponent(size)),
            "ground_energy": reference.ground_energy / problem.num_spins,
            "down_energy": float(problem.energy(-np.ones(problem.num_spins))) / problem.num_spins,
            "triangle": (("term", "corner", "axis"), triangles(spec["drawn"])),
            "site": (("site", "axis"), path(spec["drawn"])),
            "side": ("side", np.arange(spec["drawn"], dtype=float)),
        }
    )


def places(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Places [..., 2] of sites in the plane; row x of the lattice is the x-th from above.

    >>> places(np.array([0, 0, 1]), np.array([0, 1, 0])).round(3).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.5, -0.866]]
    """
    return np.asarray(columns, float)[..., None] * _RIGHT + np.asarray(rows, float)[..., None] * _DOWN


def triangles(size: int) -> np.ndarray:
    """Corners [term, 3, 2] of the triangles of the problem's own terms; corners beyond an edge are where their periodic
    images are."""
    (terms,) = newman_moore(size).terms
    corners = np.stack(np.divmod(np.asarray(terms.indices), size), axis=-1)
    # From one corner of each triangle the others lie one step to the right and one down, around the torus.
    steps = (corners[:, None] - corners[:, :, None]) % size
    first = steps.sum(axis=(2, 3)).argmin(axis=1)[:, None, None]
    steps = np.take_along_axis(steps, first[..., None], axis=1)[:, 0]
    return places(*np.moveaxis(np.take_along_axis(corners, first, axis=1) + steps, -1, 0))


def path(size: int) -> np.ndarray:
    """Places [site, 2] in the order in which paper B's network (preset `b-vca`) draws them: row by row."""
    sites = np.asarray(raster((size, size)).sites)
    return places(*np.divmod(sites, size))


def findings_lattice(data: xr.Dataset, spec: Spec) -> str:
    """What was found, in Markdown."""
    told = [
        "## What was measured", filled(_HOW), table(_rows(data)), "## Does it hold?", filled(judged(_statements(data))),
        "## The path", filled(_PATH),
    ]  # fmt: skip
    return "\n\n".join(told)


_HOW = """For each L: the terms of the problem, as Lehr minimises it; the number 2^k of ground states, counted from
these terms (all states up to 20 spins, elimination over GF(2) beyond) and by the closed form, k the degree of the
greatest common divisor of x^L + 1 and (1 + x)^L + 1 over GF(2); the energy per spin of the state of all spins down. The
picture shows these terms on the lattice, and the order in which the network of the preset `b-vca` draws the spins."""
_PATH = """The paper says that spins are drawn "in a zigzag fashion", but its Eq. (4) gives every site the state of
its left neighbour, in every row, and its picture continues each row at the beginning of the next. The two do not agree
where zigzag means that every other row runs backwards (as in paper A). The preset follows the equation and the picture:
row by row, each from the left. In the network nothing wraps around: a site at the edge has no neighbour beyond it."""


def _rows(data: xr.Dataset) -> list[list[str]]:
    head = ["L", "spins", "triangles", "of each site", "k", "closed form", "ground states", "E / N of all down"]
    rows = [head]
    for size in data["size"].values.tolist():
        of = data.sel(size=size)
        least, most, exponent = (of[name].values for name in ("least_of_site", "most_of_site", "exponent"))
        if np.isfinite(exponent):
            each = f"{least:.0f}" if least == most else f"{least:.0f} to {most:.0f}"
            rows.append(
                [
                    str(size), str(size**2), spread(of["num_triangles"], ".0f"), each, f"{exponent:.0f}",
                    spread(of["closed_form"], ".0f"), str(2 ** int(exponent)), f"{float(of['down_energy']):g} J",
                ]
            )  # fmt: skip
    return rows


def _statements(data: xr.Dataset) -> list[Statement]:
    known = data["exponent"].notnull()
    sizes = data["size"]
    triangles_right = (data["num_triangles"] == sizes**2) & (data["least_of_site"] == 3) & (data["most_of_site"] == 3)
    down = abs(data["down_energy"] - data["ground_energy"]) < 1e-12
    power = known & xr.zeros_like(known).copy(data=[size & (size - 1) == 0 for size in sizes.values.tolist()])
    paper = {3: 2, 6: 4, 5: 0, 16: 0}
    stated = {size: k for size, k in paper.items() if size in sizes.values and bool(known.sel(size=size))}
    agree = known & (data["exponent"] == data["closed_form"])
    unique = [str(size) for size in sizes.values[(known & ~power & (data["exponent"] == 0)).values]]
    return [
        Statement(
            "There is one downward triangle for each spin, and each spin is a corner of three",
            bool((triangles_right | ~known).all()),
            bool(known.any()),
            f"at {int((triangles_right & known).sum())} of {int(known.sum())} sizes",
        ),
        Statement(
            "All spins down is a ground state, with -J / 2 a spin",
            bool(((down & (abs(data["down_energy"] + 0.5) < 1e-12)) | ~known).all()),
            bool(known.any()),
            f"at {int((down & known).sum())} of {int(known.sum())} sizes",
        ),
        Statement(
            "Where L is a power of two there is no other",
            bool((data["exponent"].where(power, 0) == 0).all()),
            bool(power.any()),
            f"at {int((power & (data['exponent'] == 0)).sum())} of {int(power.sum())} sizes"
            + (f"; it is the only one at L = {', '.join(unique)} as well" if unique else ""),
        ),
        Statement(
            "L = 3 has 4 ground states, L = 6 has 16, and L = 5 and 16 have one",
            all(float(data["exponent"].sel(size=size)) == k for size, k in stated.items()),
            bool(stated),
            "counted: " + ", ".join(f"{2 ** int(data['exponent'].sel(size=size))} at L = {size}" for size in stated),
        ),
        Statement(
            "Counting and the closed form agree on 2^k ground states",
            bool((agree | ~known).all()),
            bool(known.any()),
            f"at {int(agree.sum())} of {int(known.sum())} sizes",
        ),
    ]


def draw_schematic(data: xr.Dataset, spec: Spec) -> Any:
    """The lattice and the path."""
    from lehr.reproduce.pictures import draw_lattice  # matplotlib is optional

    return draw_lattice(
        data.isel(size=0), f"The Newman-Moore model, L = {spec['drawn']}, and the network that draws it"
    )


_CLAIM = f"""## What the paper shows

{SOURCE} draws the model: spins on a triangular lattice that interact on its downward triangles, with periodic
boundaries, and the path of the recurrent network, which receives two hidden states at each site, that of the site
before it in its row and that of the site above. It says that a side of L = 2^k has a single ground state, all spins
down, and elsewhere the number of ground states "is a non-analytic function of the lattice size"."""


def _spec(last: int) -> Spec:
    return {"drawn": 4, "sizes": list(range(2, last + 1))}


FIGURES = (
    Figure(
        name="b-fig1",
        title="the Newman-Moore lattice, its ground states, and the network's path",
        claim=filled(_CLAIM),
        scales={"smoke": _spec(6), "laptop": _spec(24), "paper": _spec(33)},
        axes=lambda spec: {"size": spec["sizes"]},
        measure=measure_lattice,
        summarise=lambda data: data,
        findings=findings_lattice,
        draw=draw_schematic,
    ),
)
