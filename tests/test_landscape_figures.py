"""Figures 4 and 5 of paper B: the text says what the planes show, and nothing is concluded from nothing."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from lehr import exact, newman_moore
from lehr.landscape import MOMENTS, plane, shape, snapshots
from lehr.plan import chosen_settings
from lehr.reproduce import FIGURES
from lehr.reproduce.figure import SCALES
from lehr.reproduce.landscape_study import (
    DEFAULT,
    PAPER,
    PAPER_QUANTUM,
    UNTRAINED,
    VARIANTS,
    measure_landscapes,
    options_of,
    summarise_landscapes,
)

MAPS, SURFACES = FIGURES["b-fig4"], FIGURES["b-fig5"]
GRID = 15
X = np.linspace(-1, 1, GRID)
RADIUS = np.hypot(X[:, None], X[None])
BOWL, SMALL = np.where(RADIUS < 0.6, -5.0, 0.0), np.where(RADIUS < 0.4, -5.0, 0.0)
HILL = -3 * RADIUS
ROUGH = np.where(np.add.outer(np.arange(GRID), np.arange(GRID)) % 2, -1.0, 3.0)
# The annealed network as the paper sees it: a minimum that shrinks and is lost in chaos.
AS_CLAIMED = {"start": BOWL, "warm": BOWL, "middle": SMALL, "end": ROUGH, UNTRAINED: HILL}
BETTER = {"start": BOWL, "warm": BOWL, "middle": BOWL, "end": BOWL, UNTRAINED: ROUGH}


def measured(spec, planes, seeds=3):
    """Made-up data: moments of each variant."""
    shape = (len(planes), seeds, len(spec["moments"]))
    loss = np.array([[[of[moment] for moment in spec["moments"]] for _ in range(seeds)] for of in planes.values()])
    loss = loss + 1e-3 * np.arange(seeds)[None, :, None, None, None] * RADIUS
    places = ("variant", "seed", "moment")
    centre = loss[:, :, :, GRID // 2, GRID // 2]
    fields = np.array([np.nan if "VQA" not in name else 1.0 for name in planes])
    data = {
        "loss": ((*places, "alpha", "beta"), loss),
        "error": ((*places, "alpha", "beta"), np.full(loss.shape, 0.01)),
        "centre": (places, centre),
        "centre_error": (places, np.full(shape, 0.01)),
        "temperature": (places, np.broadcast_to(np.where(np.isnan(fields), 2.0, np.nan)[:, None, None], shape)),
        "field": (places, np.broadcast_to(fields[:, None, None], shape)),
        "norm": (places, np.full(shape, 7.5)),
        "excess": (places, np.full(shape, 0.5)),
        "ground_share": (places[:2], np.full(shape[:2], 0.25)),
        "num_parameters": (places[:2], np.full(shape[:2], 3482)),
        "task_seconds": (places[:2], np.full(shape[:2], 1.0)),
    }
    return xr.Dataset(data, coords={"variant": list(planes), "seed": range(seeds), "alpha": X, "beta": X})


def told(figure, planes, **options):
    spec = figure.scales["laptop"]
    return " ".join(figure.findings(summarise_landscapes(measured(spec, planes, **options)), spec).split())


def test_the_verdicts_follow_the_planes():
    text = told(MAPS, {PAPER: AS_CLAIMED, PAPER_QUANTUM: BETTER, DEFAULT: BETTER})
    assert "the parameters are likely at a minimum: **holds**; in 3 of 3 seeds [44%, 100%]" in text
    assert "Mid-anneal the same spot with a smaller radius: **holds**" in text
    assert "broad plateau, where one configuration is sampled exclusively: **does not hold**" in text
    assert "more rugged, with rapidly changing barriers: **holds**; rougher at the end than after the warm-up" in text
    assert "a large region of constant low energy: **does not hold**; larger than after the warm-up in 0 of 3" in text
    assert f"*{PAPER_QUANTUM}* at the end: a local minimum: **holds**" in text
    assert f"*{PAPER}*: at the end" in text
    assert "the annealed one is rougher than it" in text.split(f"*{DEFAULT}*")[0]
    assert "the annealed one is smoother than it" in text.split(f"*{DEFAULT}*")[1]
    assert "Final samples in ground states: 25%, 25%, 25%" in text
    other = told(MAPS, {PAPER: {**BETTER, "warm": HILL}, DEFAULT: BETTER})
    assert "likely at a minimum: **does not hold**; in 0 of 3 seeds" in other
    assert "smaller radius: **does not hold**" in other
    assert PAPER_QUANTUM not in other


def test_the_verdicts_on_surfaces():
    text = told(SURFACES, {PAPER: AS_CLAIMED, DEFAULT: BETTER})
    assert "a minimum around the random parameters: **holds**" in text
    assert "likely a random event: **does not hold**" in text
    assert "close to the exact free energy: **holds**; within 1 % in 3 of 3 seeds" in text
    assert "more rugged, with rapidly changing barriers: **holds**" in text
    assert "the minimum has disappeared: **holds**; points below the centre in 3 of 3" in text
    assert "minimum has disappeared: **does not hold**" in told(SURFACES, {PAPER: BETTER, DEFAULT: BETTER})


def test_nothing_is_concluded_from_nothing():
    for figure in (MAPS, SURFACES):
        spec = figure.scales["laptop"]
        data = measured(spec, {PAPER: AS_CLAIMED, DEFAULT: BETTER})
        data = data.where(data["variant"] != PAPER)
        text = figure.findings(summarise_landscapes(data), spec)
        verdict = text.split("Does it hold?")[1].split("What decides")[0]
        assert verdict.count("**not measured**") == verdict.count("\n* ")
        assert "nan" not in text
        figure.draw(summarise_landscapes(measured(spec, {PAPER: AS_CLAIMED})), spec).canvas.draw()
        plt.close("all")


def test_a_measurement():
    """One task: its planes are those of `lehr.landscape`, the last of the untrained network at the end's controls."""
    cheap = {"ansatz": "linear", "num_steps": 20, "learning_rate": 0.01}
    spec = {**SURFACES.scales["smoke"], "changes": {"b-vca": cheap}, "size": 3, "grid": 3}
    found = measure_landscapes(spec, PAPER, 1)
    options = {"grid": 3, "seed": 1, "num_samples": 10}
    taken = snapshots(newman_moore(3), MOMENTS, seed=1, **options_of(spec, PAPER))
    for place, snapshot in enumerate([*taken, taken[0].at(temperature=0.0)]):
        expected = plane(snapshot, **options)
        np.testing.assert_array_equal(found["loss"][place], expected["loss"])
        assert float(found["temperature"][place]) == snapshot.values["temperature"]
    free = exact(newman_moore(3), temperatures=[10.0]).free_energies[10.0][0]
    assert float(found["excess"][1]) == pytest.approx(100 * (float(found["centre"][1]) / free - 1) * -1, rel=1e-6)
    assert float(found["excess"][1]) > -1
    assert 0 <= float(found["ground_share"]) <= 1
    data = found.expand_dims({"variant": [PAPER], "seed": [1]}, (0, 1))
    told = summarise_landscapes(data)
    assert float(told["basin"][0, 0, 1]) == float(shape(plane(taken[1], **options))["basin"])


@pytest.mark.parametrize("scale", SCALES)
def test_every_variant_of_every_scale_is_a_run(scale):
    for figure in (MAPS, SURFACES):
        spec = figure.scales[scale]
        json.dumps(spec)
        assert set(spec["variants"]) <= set(VARIANTS)
        assert {"warm", "middle", "end", UNTRAINED} <= set(spec["moments"])
        for variant in spec["variants"]:
            options = options_of(spec, variant)
            settings = chosen_settings(newman_moore(3), options.pop("preset", None), None, options)
            assert settings.replicas == 1
            if scale == "paper" and variant.startswith("paper"):
                assert (settings.num_steps, settings.learning_rate, settings.dtype) == (51_000, 1e-4, "float64")
                assert (spec["grid"], spec["num_samples"]) == (200, 100)
