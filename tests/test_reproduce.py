"""Figures made again: counts are exact, nothing is measured twice, and the text says what the data say."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from enumeration import energies
from lehr import InputError, newman_moore, solve
from lehr.metrics import bootstrap, wilson
from lehr.plan import chosen_settings
from lehr.plot import plot_variants
from lehr.reproduce import FIGURES, find_figure
from lehr.reproduce.collapse import (
    DEFAULT,
    PAPER,
    PAPER_IN_FULL,
    UNTRAINED,
    VARIANTS,
    changes_of,
    options_of,
    summarise_collapse,
)
from lehr.reproduce.figure import SCALES, make
from lehr.reproduce.follow import Followed, follow
from lehr.reproduce.statistics import over_seeds
from lehr.solve import DivergenceError
from test_cli import assert_refused, call  # noqa: F401 - a fixture

COLLAPSE = FIGURES["b-collapse"]


def answer(found=16.0, worst=4.0, **changes):
    """A made-up task of L = 6."""
    numbers = {
        "num_ground_states": 16, "ground_share": 1.0, "found": found, "entropy": np.log(max(found, 1)) / np.log(16),
        "trivial_share": 0.0, "mean_excess": worst / 8, "worst_excess": worst, "worst_temperature": 0.4,
        "train_seconds": 2.0, "diverged": 0,
    }  # fmt: skip
    return xr.Dataset(Followed(**numbers | changes)._asdict())


DIVERGED = answer(0.0, np.nan, ground_share=0.0, mean_excess=np.nan, train_seconds=np.nan, diverged=1)
MISSING = answer().map(lambda variable: np.nan * variable)

# Ten seeds of each variant; the paper's network collapses in eight of ten, on the trivial state in five.
MADE_UP = {
    DEFAULT: [answer(worst=4 + 0.1 * seed) for seed in range(10)],
    UNTRAINED: [answer(worst=30.0)] * 10,
    "terms only": [answer(found=16.0 if seed < 7 else 9.0, worst=6.0) for seed in range(10)],
    PAPER: [answer(1.0, 20.0, trivial_share=1.0)] * 5
    + [answer(1.0, 22.0)] * 3
    + [answer(0.0, 24.0, ground_share=0.0)]
    + [DIVERGED],
}


def measured(variants=MADE_UP, seeds=10):
    rows = [xr.concat(answers[:seeds], dim="seed") for answers in variants.values()]
    data = xr.concat(rows, dim="variant").assign_coords(variant=list(variants), seed=range(seeds))
    return data.assign(task_seconds=xr.full_like(data["found"], 3.0))


def cell(text, variant, column):
    """A cell of the table in the text."""
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    (row,) = [line for line in lines if line[0].split(" (")[0] == variant]
    return row[lines[0].index(column)]


def test_counts_and_means_are_exact():
    data = summarise_collapse(measured())
    of = data.sel(variant=PAPER)
    assert [int(of[name]) for name in ("seeds_done", "found_all", "found_one", "found_trivial", "ended_in_ground")] == [
        10, 0, 8, 5, 8,
    ]  # fmt: skip
    assert int(data["found_all"].sel(variant="terms only")) == 7
    assert [float(data[f"found_all_share_{end}"].sel(variant="terms only")) for end in ("mean", "low", "high")] == list(
        wilson(7, 10)
    )
    assert float(of["found_mean"]) == 0.8
    assert float(of["worst_excess_mean"]) == pytest.approx((5 * 20 + 3 * 22 + 24) / 9)
    interval = bootstrap(4 + 0.1 * np.arange(10))
    found = [float(data[f"worst_excess_{end}"].sel(variant=DEFAULT)) for end in ("mean", "low", "high")]
    np.testing.assert_allclose(found, interval)
    constant = [float(data[f"worst_excess_{end}"].sel(variant=UNTRAINED)) for end in ("mean", "low", "high")]
    assert constant == [30.0] * 3


def test_missing_tasks_are_in_no_number():
    data = measured()
    data = data.where((data["variant"] != "terms only") | (data["seed"] > 5))
    of = summarise_collapse(data).sel(variant="terms only")
    assert [int(of["seeds_done"]), int(of["found_all"])] == [4, 1]
    assert float(of["found_mean"]) == (16 + 3 * 9) / 4
    missed = over_seeds(data, "found", [], {"missed": lambda data: data["found"] != 16}).sel(variant="terms only")
    assert int(missed["missed"]) == 3
    nothing = summarise_collapse(data.where(data["variant"] != "terms only")).sel(variant="terms only")
    assert int(nothing["seeds_done"]) == 0
    assert np.isnan(nothing["found_mean"])


def told(variants=MADE_UP):
    return COLLAPSE.findings(summarise_collapse(measured(variants)), COLLAPSE.scales["laptop"])


def test_the_text_says_what_was_counted():
    text = told()
    assert cell(text, DEFAULT, "found all 16") == "10 of 10 [72%, 100%]"
    assert cell(text, "terms only", "found all 16") == "7 of 10 [40%, 89%]"
    assert cell(text, PAPER, "found one only") == "8 of 10"
    assert cell(text, DEFAULT, "states found") == "16.0"
    assert f"{PAPER} (1 diverged)" in text
    assert "Ground states were missed by: terms only (found all: 7 of 10); Adam, hears nothing (found all: 0" in text
    assert "terms only, 6.0; Adam, hears nothing, 21.1" in " ".join(text.split())


def test_the_verdict_follows_the_numbers():
    text = told()
    for statement in ("leaves the exact curve", "end in excited states", "ground states hold one of them only"):
        assert f"{statement}: **holds**" in text
    assert "It is the trivial one: **does not hold**; of the 8 that found one only, 5 found" in text
    assert "never holds all ground states of this model: **does not hold**; the default found all" in " ".join(
        text.split()
    )
    sound = told({**MADE_UP, PAPER: MADE_UP[DEFAULT]})
    assert sound.count("**holds**") == 0
    assert "end in excited states: **was not seen**; 10 of 10 ended" in sound
    excited = told({**MADE_UP, PAPER: [answer(0.0, 20.0, ground_share=0.0)] * 10})
    assert "end in excited states: **holds**; 0 of 10 ended" in excited
    assert excited.count("**not measured**") == 2  # none ended in a ground state, and none found one only
    several = told({**MADE_UP, PAPER: [answer(2.0, 20.0)] * 10})
    assert "hold one of them only: **does not hold**; of the 10 that ended so, 0 found one only" in several
    assert "It is the trivial one: **not measured**." in several
    half = [answer(1.0, 20.0, trivial_share=0.2, ground_share=0.2), *MADE_UP[PAPER][:9]]
    assert "hold one of them only: **holds**; of the 8 that ended so, 8" in told({**MADE_UP, PAPER: half})
    lost = told({**MADE_UP, DEFAULT: MADE_UP[PAPER]})
    assert "never holds all ground states of this model: **holds**" in lost
    missing = {**MADE_UP, PAPER: [MISSING] * 10}
    assert told(missing).count("**not measured**") == 4
    assert "nan" not in told(missing)


def test_nothing_is_concluded_from_nothing():
    """Neither from tasks that failed, nor from seeds that diverged, nor from a mean without an interval."""
    default = told({**MADE_UP, DEFAULT: [MISSING] * 10})
    assert "all ground states of this model: **not measured**." in " ".join(default.split())
    assert "leaves the exact curve: **not measured**." in default
    assert "0 of 0 seeds" not in default
    partly = told({**MADE_UP, PAPER: MADE_UP[PAPER][:8] + [DIVERGED] * 2})
    assert "end in excited states: **was not seen**; 8 of 10 ended with most samples in ground states" in partly
    assert "[49%, 94%], 2 diverged." in " ".join(partly.split())
    gone = told({**MADE_UP, PAPER: [DIVERGED] * 10, DEFAULT: [DIVERGED] * 10})
    assert gone.count("**not measured**") == 5
    assert "nan" not in gone
    alone = told({**MADE_UP, PAPER: [MADE_UP[PAPER][0], *[MISSING] * 9]})
    assert "leaves the exact curve: **not measured**." in alone


def test_the_picture_shows_the_numbers():
    data = summarise_collapse(measured())
    figure = COLLAPSE.draw(data, COLLAPSE.scales["laptop"])
    figure.canvas.draw()
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == list(MADE_UP)
    ground, *rows = left.lines
    assert set(ground.get_xdata()) == {16}
    for row, answers in zip(rows, MADE_UP.values(), strict=True):
        np.testing.assert_array_equal(row.get_xdata(), [float(one["found"]) for one in answers])
    means = [container[0].get_xdata().item() for container in right.containers]
    np.testing.assert_allclose(means, data["worst_excess_mean"])
    assert {text.get_text() for text in right.get_legend().get_texts()} == {"natural gradient", "Adam", "untrained"}
    plt.close(figure)


def test_one_seed_draws():
    data = summarise_collapse(measured(seeds=1))
    figure = plot_variants(data, dict.fromkeys(MADE_UP, "network"), "one seed")
    figure.canvas.draw()
    plt.close(figure)


@pytest.mark.parametrize("scale", SCALES)
def test_every_variant_of_every_scale_is_a_run(scale):
    spec = COLLAPSE.scales[scale]
    json.dumps(spec)
    assert {DEFAULT, UNTRAINED, PAPER} <= set(spec["variants"]) <= set(VARIANTS)
    for variant in spec["variants"]:
        options = options_of(spec, variant)
        given = options.pop("optimiser", None)
        changes = options | ({"optimiser": given} if isinstance(given, str) else {})
        settings = chosen_settings(newman_moore(3), changes.pop("preset", None), None, changes)
        wanted = 51_000 if variant == PAPER_IN_FULL else spec["num_adam_steps" if given == "adam" else "num_steps"]
        assert (settings.num_steps, settings.num_final_samples) == (wanted, spec["num_final_samples"])
        assert settings.optimiser == VARIANTS[variant].optimiser.replace("none", "natural")


def test_the_mirrored_zigzag():
    assert changes_of("mirrored zigzag", 3) == {"ansatz_options": {"order": [6, 7, 8, 5, 4, 3, 0, 1, 2]}}
    assert changes_of(DEFAULT, 3) == {}


def test_divergence_is_a_measurement(monkeypatch):
    def diverge(*arguments, **options):
        raise DivergenceError("non-finite")

    monkeypatch.setattr("lehr.reproduce.follow.solve", diverge)
    found = follow(newman_moore(3), 0)
    assert (found.num_ground_states, found.found, found.ground_share, found.diverged) == (4, 0, 0, 1)
    assert np.isnan(found.worst_excess)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smoke scale once, and what was reported."""
    out, steps = tmp_path_factory.mktemp("smoke"), []
    return out, make(COLLAPSE, "smoke", out, report=steps.append), steps


def test_smoke_scale_makes_everything(smoke):
    out, made, steps = smoke
    spec = COLLAPSE.scales["smoke"]
    assert [path.name for path in made.files] == [f"b-collapse.{kind}" for kind in ("nc", "png", "pdf", "md")]
    assert all(path.stat().st_size > 1000 for path in made.files)
    assert made.failures == []
    assert [step.number for step in steps] == list(range(1, 1 + len(spec["variants"]) * spec["num_seeds"]))
    assert made.text == (out / "b-collapse.md").read_text()
    for part in ("What the paper claims", "![", "Does it hold?", "--scale smoke", "nothing about the claim"):
        assert part in made.text
    with xr.open_dataset(out / "b-collapse.nc", engine="h5netcdf") as data:
        assert data["variant"].values.tolist() == spec["variants"]
        assert (data["num_ground_states"] == 4).all()
        # What a network hears as constraints solves this model.
        assert (data["found"].sel(variant=UNTRAINED) == 4).all()
        assert (data["worst_excess"] > 0).all()
        assert data.attrs["scale"] == "smoke"


def test_deviations_are_those_of_the_history():
    """Newman-Moore L = 3: against the sum over all 512 states, without the warm-up; untrained, and trained."""
    problem = newman_moore(3)
    energy = energies(problem)
    options = {
        "ansatz_options": {"informed": False, "hidden": 4},
        "num_steps": 60,
        "num_samples": 20,
        "num_final_samples": 9,
    }
    for rate in (1e-30, 0.2):
        found = follow(problem, 1, learning_rate=rate, **options)
        history = solve(problem, seed=1, replicas=1, learning_rate=rate, **options).history.isel(replica=0)
        exact = np.array([-t * np.log(np.exp(-energy / t).sum()) for t in history["temperature"].values])
        relative = (history["free_energy"].values / exact - 1)[6:]  # a tenth is warm-up
        tens = [abs(relative[k : k + 10].mean()) * 100 for k in range(45)]
        assert (found.mean_excess, found.worst_excess) == pytest.approx((np.mean(tens), max(tens)), rel=1e-4)
        place = int(np.argmax(tens)) + 6
        assert found.worst_temperature == pytest.approx(history["temperature"].values[place : place + 10].mean())
        entropy = history["entropy"].values
        fall = entropy[:20].mean() - entropy[-20:].mean()
        assert fall > 1 if rate == 0.2 else abs(fall) < 4 * entropy.std() * np.sqrt(2 / 20)


def test_the_command_goes_on(call, smoke):  # noqa: F811
    """What is there is not measured again: no task is reported."""
    out, made, _ = smoke
    code, stdout, stderr = call("reproduce", "b-collapse", "--scale", "smoke", "--out", out)
    assert (code, stdout.strip()) == (0, made.text.strip())
    assert stderr.splitlines() == [f"written: {path}" for path in made.files]


def test_the_machines_are_those_that_measured(tmp_path, monkeypatch):
    """Not the one that puts the answers together; where they differ, all."""
    figure = _with(measure=lambda spec, variant, seed: answer())
    monkeypatch.setattr("lehr.reproduce.figure._drawn", lambda *arguments: [])

    def told_on(machine):
        monkeypatch.setattr("lehr.tasks.machine", lambda: machine)
        made = make(figure, "smoke", tmp_path)
        with xr.open_dataset(made.files[0], engine="h5netcdf") as data:
            return data.attrs["machine"], " ".join(made.text.split()).split("with Lehr ")[1]

    for machine in ("gpu, 4 cores", "cpu, 2 cores"):  # the second has nothing to measure
        name, text = told_on(machine)
        assert name == "gpu, 4 cores"
        assert " on gpu, 4 cores: 6 tasks" in text
    next((tmp_path / "tasks").glob("*.nc")).unlink()
    name, text = told_on("cpu, 2 cores")
    assert name == "cpu, 2 cores; gpu, 4 cores"
    assert " on cpu, 2 cores and on gpu, 4 cores: 6 tasks" in text


def test_a_failing_task_is_told(call, smoke, tmp_path, monkeypatch):  # noqa: F811
    def measure(spec, variant, seed):
        if (variant, seed) == (PAPER, 1):
            raise RuntimeError("no luck")
        return answer()

    monkeypatch.setitem(FIGURES, "b-collapse", _with(measure=measure))
    code, stdout, stderr = call("reproduce", "b-collapse", "--scale", "smoke", "--out", tmp_path / "out")
    assert code == 1
    assert f"* {PAPER}, 1: RuntimeError: no luck" in stdout
    lines = stderr.splitlines()
    assert lines[0].startswith("   1/6  default, 0: ")
    assert lines[5].startswith("   6/6  Adam, hears nothing, 1: failed twice: RuntimeError: no luck")
    assert lines[-1].startswith("lehr: 1 tasks failed twice; the text lists them")
    assert "Traceback" not in stderr


def test_interrupts_lose_nothing(call, tmp_path, monkeypatch):  # noqa: F811
    calls = []

    def measure(spec, variant, seed):
        calls.append((variant, seed))
        if calls.count((UNTRAINED, 0)) == 1 and calls[-1] == (UNTRAINED, 0):
            raise KeyboardInterrupt
        return answer()

    monkeypatch.setitem(FIGURES, "b-collapse", _with(measure=measure))
    command = ("reproduce", "b-collapse", "--scale", "smoke", "--out", tmp_path)
    code, stdout, stderr = call(*command)
    assert (code, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "lehr: Interrupted; the same call goes on with what is missing."
    assert call(*command)[0] == 0
    assert len(calls) == 7
    assert calls.count((UNTRAINED, 0)) == 2


def _with(**changes):
    from dataclasses import replace

    return replace(COLLAPSE, **changes)


def test_list_names_the_figures(call):  # noqa: F811
    code, stdout, stderr = call("reproduce", "list")
    assert (code, stderr) == (0, "")
    assert [line.split()[0] for line in stdout.splitlines()] == list(FIGURES)
    assert all(len(line.split()) > 3 for line in stdout.splitlines())


def test_bad_names_are_one_line(call, smoke, tmp_path):  # noqa: F811
    assert_refused(call("reproduce", "b-fig99", "--out", tmp_path), "`FIGURE` must be list or one of a-fig3, ")
    wrong = call("reproduce", "b-collapse", "--scale", "huge", "--out", tmp_path)
    assert_refused(wrong, "`scale` must be one of smoke, laptop, paper, but it is 'huge'")
    other = call("reproduce", "b-collapse", "--scale", "laptop", "--out", smoke[0])
    assert_refused(other, "must be free for these tasks, but it holds others")
    assert list(tmp_path.iterdir()) == []


def test_figures_are_whole():
    for name, figure in FIGURES.items():
        assert figure.name == name
        assert set(figure.scales) == set(SCALES)
        assert "\n" not in figure.title
    with pytest.raises(InputError, match="b-collapse"):
        find_figure("a-fig0")
