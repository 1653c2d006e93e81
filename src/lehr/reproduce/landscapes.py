"""Loss landscapes of the Newman-Moore model: paper B's figures 4 and 5, with numbers for what they show."""

from typing import Any

import xarray as xr

from lehr.reproduce.figure import Figure, Spec, variants_by_seeds
from lehr.reproduce.landscape_study import DEFAULT, PAPER, UNTRAINED, VARIANTS, measure_landscapes, summarise_landscapes
from lehr.reproduce.landscape_words import LABELS, controls_of, findings_maps, findings_surfaces


def _planes(data: xr.Dataset, variant: str, spec: Spec, moments: list[str]) -> list[tuple[str, xr.Dataset]]:
    """The planes of the first seed with their titles."""
    of = data.sel(variant=variant).isel(seed=0)
    planes = [of.isel(moment=spec["moments"].index(moment)) for moment in moments]
    return [(f"{LABELS[name]}, {controls_of(one)}", one) for name, one in zip(moments, planes, strict=True)]


def draw_maps(data: xr.Dataset, spec: Spec) -> Any:
    """Maps of the first seed, a row for each network."""
    from lehr.landscape.picture import plot_maps  # matplotlib is optional

    moments = [moment for moment in spec["moments"] if moment != "start"]
    rows = {name: _planes(data, name, spec, moments) for name in data["variant"].values.tolist()}
    return plot_maps(
        rows, f"Newman-Moore {spec['size']}x{spec['size']}, seed 0: loss landscapes, each rescaled to [-1, 1]"
    )


def draw_surfaces(data: xr.Dataset, spec: Spec) -> Any:
    """Surfaces of the first seed, a row for each network."""
    from lehr.landscape.picture import plot_surfaces  # matplotlib is optional

    moments = [moment for moment in spec["moments"] if moment != UNTRAINED]
    rows = {name: _planes(data, name, spec, moments) for name in data["variant"].values.tolist()}
    title = f"Newman-Moore {spec['size']}x{spec['size']}, seed 0: free energy per spin"
    return plot_surfaces(rows, spec["size"] ** 2, title)


_CITED = """Paper B (E. M. Inack, S. Morawetz, R. G. Melko, Condensed Matter 7, 38 (2022),
[arXiv:2204.11272](https://arxiv.org/abs/2204.11272))"""
_CLAIM_MAPS = f"""## What the paper claims

{_CITED}, figure 4: the loss of 5 x 5 spins around the parameters, along two random directions, rescaled to [-1, 1]:

* VCA before annealing, T = 10: "a characteristic bright spot at the center"; mid-anneal "the same feature, although
  with a slightly reduced radius"; at the end "a broad plateau of constant free energy" and "rapidly oscillating
  barriers", "likely the signature of the strong preference that the network has for sampling a single configuration";
* VQA the same at first; mid-anneal "a large region of constant low energy"; at the end "a local minimum separated by
  high-energetic barriers"."""
_CLAIM_SURFACES = f"""## What the paper claims

{_CITED}, figure 5: VCA of 16 x 16 spins. Before the warm-up "a local minimum around the parameters", "likely a random
event"; after it the same shape, with a minimum "close to the exact one at T_0 = 10"; then the landscape "becomes more
rugged, with the appearance of sizeable high energy plateaus and rapidly changing barriers, eventually leading to the
disappearance of the local minimum into an utterly chaotic landscape": trainability issues hinder the annealing."""


def _less(steps: int, rate: float) -> dict[str, Any]:
    return {"num_steps": steps, "learning_rate": rate, "dtype": "float32"}


_MAPS = {
    "size": 5, "variants": list(VARIANTS), "num_seeds": 5, "moments": ["warm", "middle", "end", UNTRAINED],
    "grid": 25, "extent": 1.0, "num_samples": 100, "num_final_samples": 1000,
    "changes": {"b-vca": _less(5100, 1e-3), "b-vqa": _less(2550, 1e-3)},
}  # fmt: skip
_SURFACES = {
    **_MAPS, "size": 16, "variants": [PAPER, DEFAULT], "num_seeds": 4, "moments": ["start", *_MAPS["moments"]],
    # Far out, a zigzag through 256 sites overflows in single precision.
    "changes": {"b-vca": _less(2550, 1e-3), "default": {"dtype": "float64"}},
}  # fmt: skip
_SMOKE = {
    "size": 3, "num_seeds": 2, "grid": 5, "num_samples": 10, "num_final_samples": 50,
    "changes": {"b-vca": _less(20, 1e-3), "b-vqa": _less(20, 1e-3), "default": {"num_steps": 20}},
}  # fmt: skip
_PAPERS = {"grid": 200, "num_seeds": 10, "changes": {"default": {"dtype": "float64"}}}
FIGURES = (
    Figure(
        name="b-fig4",
        title="loss landscapes of 5 x 5 spins at the beginning, middle and end of an anneal",
        claim=_CLAIM_MAPS,
        scales={"smoke": {**_MAPS, **_SMOKE}, "laptop": _MAPS, "paper": {**_MAPS, **_PAPERS}},
        axes=variants_by_seeds,
        measure=measure_landscapes,
        summarise=summarise_landscapes,
        findings=findings_maps,
        draw=draw_maps,
    ),
    Figure(
        name="b-fig5",
        title="loss landscapes of 16 x 16 spins from random parameters to the end of an anneal",
        claim=_CLAIM_SURFACES,
        scales={"smoke": {**_SURFACES, **_SMOKE}, "laptop": _SURFACES, "paper": {**_SURFACES, **_PAPERS}},
        axes=variants_by_seeds,
        measure=measure_landscapes,
        summarise=summarise_landscapes,
        findings=findings_surfaces,
        draw=draw_surfaces,
    ),
)
