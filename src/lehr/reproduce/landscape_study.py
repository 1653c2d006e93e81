"""The measurement behind the pictures of loss landscapes of the Newman-Moore model.

Two controls stand beside the paper's pictures: the untrained network at the last temperature or field, which has seen
no anneal, and Lehr's default network, which stays on the exact curve.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from lehr.exact.choose import exact
from lehr.landscape.relief import shape
from lehr.landscape.scan import plane
from lehr.landscape.snapshot import MOMENTS, Snapshot, snapshots
from lehr.metrics import is_ground
from lehr.problem.newman_moore import newman_moore
from lehr.reproduce.figure import Spec
from lehr.reproduce.statistics import over_seeds


class Variant(NamedTuple):
    """A network on its anneal, and how directions are drawn (`lehr.landscape.directions`)."""

    options: Mapping[str, Any]
    kind: str


PAPER = "paper B, VCA"
PAPER_QUANTUM = "paper B, VQA"
DEFAULT = "Lehr, VCA"
_CLOSE = ", close"
VARIANTS: dict[str, Variant] = {
    PAPER: Variant({"preset": "b-vca"}, "gaussian"),
    PAPER_QUANTUM: Variant({"preset": "b-vqa"}, "gaussian"),
    DEFAULT: Variant({}, "gaussian"),
    f"{PAPER}{_CLOSE}": Variant({"preset": "b-vca"}, "norm"),
    f"{DEFAULT}{_CLOSE}": Variant({}, "norm"),
}
# The network as it starts, at the controls where the anneal ends.
UNTRAINED = "untrained"


def options_of(spec: Spec, variant: str) -> dict[str, Any]:
    """The arguments of `lehr.landscape.snapshots` for a variant; the paper's are changed where the spec says so."""
    options = {**VARIANTS[variant].options, "replicas": 1}
    return {**options, **spec["changes"].get(options.get("preset", "default"), {})}


def measure_landscapes(spec: Spec, variant: str, seed: int) -> xr.Dataset:
    """Planes of one network at each moment of the spec, what they look like, and how the anneal ended."""
    problem = newman_moore(spec["size"])
    named = snapshots(problem, MOMENTS, seed=seed, **options_of(spec, variant))
    taken: dict[str, Snapshot] = dict(zip(MOMENTS, named, strict=True))
    taken[UNTRAINED] = taken["start"].at(**taken["end"].values)
    parts = []
    for moment in spec["moments"]:
        snapshot = taken[moment]
        found = plane(
            snapshot, grid=spec["grid"], extent=spec["extent"], kind=VARIANTS[variant].kind, seed=seed,
            num_samples=spec["num_samples"],
        )  # fmt: skip
        controls = {name: snapshot.values.get(name, math.nan) for name in ("temperature", "field")}
        numbers = {"norm": np.linalg.norm(snapshot.flat), "excess": _excess(snapshot, float(found["centre"]))}
        parts.append(found.drop_vars([*snapshot.values]).assign(controls).assign(numbers))
    share = _ground_share(taken["end"], spec["num_final_samples"])
    together: xr.Dataset = xr.concat(parts, dim="moment")  # type: ignore[assignment]
    return together.assign(ground_share=share, num_parameters=taken["end"].flat.size)


def _excess(snapshot: Snapshot, loss: float) -> float:
    """(F - F_exact) / |F_exact| in percent; NaN in a field, for which the exact energy takes minutes."""
    values = snapshot.values
    if values.get("field", 0) > 0:
        return math.nan
    temperature = values.get("temperature", 0)
    reference = exact(snapshot.problem, temperatures=[temperature] if temperature > 0 else ())
    expected = reference.free_energies[temperature][0] if temperature > 0 else reference.ground_energy
    return 100 * (loss - expected) / abs(expected)


def _ground_share(snapshot: Snapshot, num_samples: int) -> float:
    """The share of a network's samples in ground states."""
    energies = snapshot.problem.energy(snapshot.draw(num_samples))
    ground = exact(snapshot.problem).ground_energy
    return float(is_ground(np.asarray(energies), ground, snapshot.problem.resolution).mean())


_MEANS = (
    "norm", "excess", "range", "below", "basin", "low_area", "plateau", "ruggedness", "structure", "noise_share",
)  # fmt: skip
_COUNTS = {
    "is_minimum": lambda data: (data["below"] == 0) & (data["basin"] > 0),
    "is_no_minimum": lambda data: data["below"] > 0,
    "flat": lambda data: data["plateau"] >= BROAD,
}
# A plateau is broad where it holds such a share of the plane.
BROAD = 0.05


def summarise_landscapes(data: xr.Dataset) -> xr.Dataset:
    """The data with the shape of every plane (`lehr.landscape.shape`), with means over the seeds at every moment, and
    with how many seeds show a minimum at the centre, none, and a broad plateau (`lehr.reproduce.statistics`)."""
    places = ("variant", "seed", "moment")
    stacked = data[["loss", "error", "centre", "centre_error"]].stack(place=places)
    shapes = [shape(stacked.isel(place=number)) for number in range(stacked.sizes["place"])]
    lengths = [data.sizes[name] for name in places]
    shaped = data.assign(
        {name: (places, np.reshape([float(one[name]) for one in shapes], lengths)) for name in shapes[0]}
    )
    added = []
    for moment in range(shaped.sizes["moment"]):
        one = shaped.isel(moment=moment)
        added.append(over_seeds(one, "centre", _MEANS, _COUNTS).drop_vars(list(one.data_vars)))
    return shaped.merge(xr.concat(added, dim="moment"))
