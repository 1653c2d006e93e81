"""Sweeps: a batch gives the numbers of single runs, nothing is done twice, and a wrong spec is one clear line."""

import json
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from typer.testing import CliRunner

import lehr
from enumeration import energies, mixed_problem
from lehr import DivergenceError, InputError, edwards_anderson, random_chain, solve
from lehr._netcdf import read_dataset
from lehr.cli import app
from lehr.metrics import time_to_solution, typical, wilson
from lehr.plot import plot_sweep
from lehr.sweep import read_spec, summarise, summary, sweep
from lehr.sweep.grid import Grid
from lehr.sweep.statistics import _typical
from lehr.sweep.table import table
from lehr.tasks import attempt

GRID = import_module("lehr.sweep.grid")
RUN = import_module("lehr.sweep.run")

PROBLEMS = [{"family": "ea", "size": "3x4", "seed": [5, 2, 9]}, {"family": "chain", "size": 7, "seed": 1}]
SMALL = {"problem": PROBLEMS, "grid": {"method": "sa", "num_steps": [4, 12], "replicas": 3, "seed": 3}}


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Pictures take a second each: only tests that ask for them get them."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(RUN, "_drawn", lambda data, stem: [])


@pytest.fixture
def drawn():
    yield
    plt.close("all")


def changed(**grid):
    return {**SMALL, "grid": {**SMALL["grid"], **grid}}


def test_every_list_is_an_axis(tmp_path):
    lehr.save_problem(mixed_problem(6, seed=1), tmp_path / "own.json")
    (tmp_path / "all.toml").write_text(
        """
        exact = false
        batch = 2
        [[problem]]
        family = "ea"
        size = [3, "2x4"]
        couplings = "pm1"
        seed = "4-6"
        [[problem]]
        file = "own.json"
        name = "mine"
        [grid]
        method = ["vca", "sa"]
        seed = [7, 8]
        temperature = [[2.0, 0.1], [1.0, 0.2]]
        num_steps = 30
        [method.sa]
        num_steps = [10, 20]
        replicas = 5
        """
    )
    spec = read_spec(tmp_path / "all.toml")
    assert (spec.exact, spec.batch, spec.seeds) == (False, 2, (7, 8))
    assert [(ensemble.name, len(ensemble.problems)) for ensemble in spec.ensembles] == [
        ("EA 3x3 pm1 open", 3), ("EA 2x4 pm1 open", 3), ("mine", 1),
    ]  # fmt: skip
    assert [problem.name for problem in spec.ensembles[1].problems][2] == edwards_anderson((2, 4), "pm1", seed=6).name
    sa = {"method": "sa", "replicas": 5}
    assert [{"method": s.method, **s.options} for s in spec.settings] == [
        {"method": "vca", "temperature": [2.0, 0.1], "num_steps": 30},
        {"method": "vca", "temperature": [1.0, 0.2], "num_steps": 30},
        {**sa, "temperature": [2.0, 0.1], "num_steps": 10},
        {**sa, "temperature": [2.0, 0.1], "num_steps": 20},
        {**sa, "temperature": [1.0, 0.2], "num_steps": 10},
        {**sa, "temperature": [1.0, 0.2], "num_steps": 20},
    ]
    assert spec.settings[3].label == "sa temperature=[2.0, 0.1] num_steps=20"
    assert spec.settings[3].curve == "sa temperature=[2.0, 0.1]"
    grid = Grid(spec)
    assert [batch.instances for batch in grid.batches.values()] == [(0, 1), (2,), (3, 4), (5,), (6,)]
    assert len(grid.axes["setting"]) == 6


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("problem = 3\n[grid]\nmethod = 'sa'", ["`problem` must be one or several tables"]),
        ("[grid]\nmethod = 'sa'", ["`problem` must be"]),
        ("[[problem]]\nfamily = 'sk'\nsize = 5", ["`grid` must be a table"]),
        ("[[problem]\n", ["must be readable TOML", "line 1"]),
        ("colour = 1", ["`colour` must be one of problem, grid, method, exact, batch"]),
        ("batch = 0", ["`batch` must be an integer of at least 1"]),
        ("exact = 'yes'", ["`exact` must be true or false"]),
        ("@family = 'potts'\nsize = 4", ["`problem[1].family` must be one of chain, ea", "potts"]),
        ("@size = 4", ["`problem[1]` must have either a `family` or a `file`"]),
        ("@family = 'ea'\nfile = 'a'", ["`problem[1]` must have either"]),
        ("@family = 'ea'", ["`problem[1].size` must be given"]),
        ("@family = 'ea'\nsize = '4x'", ["`problem[1].size` must be a number, or two or three"]),
        ("@family = 'ea'\nsize = true", ["`problem[1].size` must be"]),
        ("@family = 'ea'\nsize = [4, []]", ["`problem[1].size` must be"]),
        ("@family = 'sk'\nsize = 4\nboundary = 'open'", ["`problem[1].boundary` must be one of family, size"]),
        ("@family = ['sk', 'ea']\nsize = 4\nboundary = 'open'", ["`problem[1].boundary` must be left out for sk"]),
        ("@family = 'ea'\nsize = 4\ncouplings = 3", ["`problem[1].couplings` must be a name"]),
        ("@family = 'ea'\nsize = 4\nseed = -1", ["`problem[1].seed` must be whole numbers"]),
        ("@family = 'ea'\nsize = 4\nseed = '9-3'", ["`problem[1].seed` must be whole numbers", "9-3"]),
        ("@family = 'ea'\nsize = 4\nseed = [1, 1]", ["`problem[1].seed` must hold each value once"]),
        ("@family = 'ea'\nsize = 4\nseed = []", ["`problem[1].seed` must have at least one value"]),
        ("@family = 'wpe'\nsize = 4", ["`problem[1].alpha` must be given"]),
        ("@family = 'wpe'\nsize = 4\nalpha = 'half'", ["`problem[1].alpha` must be a number"]),
        ("@family = 'nm'\nsize = 3\nseed = 1", ["`problem[1].seed` must be one of family, size"]),
        ("@family = 'sk'\nsize = 4\n[[problem]]\nfamily = 'sk'\nsize = 4", ["`problem[2]` must hold new instances"]),
        ("@file = 'missing.json'", ["missing.json"]),
        ("@file = 3", ["`problem[1].file` must name files"]),
        ("@file = 'a.txt'\nformat = 1", ["`problem[1].format` must be the name"]),
        ("+[grid]\nnum_steps = 4", ["`grid.method` must name at least one method"]),
        ("+[grid]\nmethod = 'tabu'", ["`grid.method` must hold some of vca", "tabu"]),
        ("+[grid]\nmethod = 'sa'\nseed = 0.5", ["`grid.seed` must be whole numbers"]),
        ("+[grid]\nmethod = 'sa'\nnum_steps = []", ["`grid.num_steps` must have at least one value"]),
        ("+[grid]\nmethod = 'sa'\nnum_steps = [3, 3]", ["`grid.num_steps` must hold each value once"]),
        ("+[grid]\nmethod = 'sa'\n[method.pt]\nreplicas = 2", ["`method.pt` must be that of a method"]),
        ("+[grid]\nmethod = 'sa'\n[method.sa]\nseed = 2", ["`method.sa.seed` must stand in [grid]"]),
        ("+[grid]\nmethod = 'sa'\n[method.sa]\nreplicas = []", ["`method.sa.replicas` must have at least"]),
        ("+method = 3\n[grid]\nmethod = 'sa'", ["`problem[1].method` must be"]),
    ],
)
def test_a_wrong_spec_is_one_clear_line(tmp_path, text, parts):
    if text.startswith("@"):
        text = f"[[problem]]\n{text[1:]}\n[grid]\nmethod = 'sa'"
    if text.startswith("+"):
        text = f"[[problem]]\nfamily = 'sk'\nsize = 5\n{text[1:]}"
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_spec(tmp_path / "wrong.toml")
    assert len(str(caught.value).splitlines()) == 1
    for part in ["wrong.toml", *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("grid", "part"),
    [
        ({"replicas": 0}, "`replicas` must be an integer of at least 1"),
        ({"num_steps": 0}, "`num_steps` must be an integer"),
        ({"colour": 1}, "`colour` must be a setting"),
        ({"learning_rate": 0.1}, "`learning_rate` must be left out for sa"),
        ({"transverse_field": [1.0, 0.1]}, "`transverse_field` must be left out for sa"),
        ({"temperature": [0.0, 0.0]}, "`temperature` must be"),
        ({"preset": 3}, "`preset` must be a name"),
        ({"preset": "c-vca"}, "c-vca"),
        ({"method": "vca", "ansatz": "mlp"}, "`ansatz` must be one of auto, linear"),
        ({"method": "vca", "ansatz": "rnn1d", "ansatz_options": {"width": 3}}, "`ansatz_options` must hold options"),
    ],
)
def test_wrong_settings_are_told_before_anything_runs(tmp_path, grid, part):
    with pytest.raises(InputError, match=part.replace("[", r"\[")) as caught:
        sweep(changed(**grid), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert "setting" in str(caught.value)
    assert not (tmp_path / "out").exists()


def alone(data, problem, **settings):
    """The same run without company, and its row in the data."""
    of = data.sel(instance=problem.name).isel(setting=0, seed=1)
    return solve(problem, seed=int(of["seed"]), progress=False, **settings), of


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "sa", "num_steps": 6},
        {"method": "sqa", "num_steps": 4, "num_slices": 3},
        {"method": "vca", "num_steps": 12, "num_final_samples": 20},
        pytest.param(
            {"method": "vca", "num_steps": 4, "ansatz": "rnn1d", "ansatz_options": {"hidden": 3}},
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda settings: f"{settings['method']} {settings.get('ansatz', '')}",
)
def test_a_batch_gives_the_bits_of_the_same_runs_alone(tmp_path, settings):
    settings = {**settings, "replicas": 2}
    data = sweep({"problem": PROBLEMS[:1], "grid": {**settings, "seed": [3, 1]}}, tmp_path).data
    problems = [edwards_anderson((3, 4), seed=seed) for seed in (5, 2, 9)]
    ranges = {}
    for name, key in (("temperature", "temperature"), ("field", "transverse_field")):
        ends = [float(data[f"{name}_{end}"].isel(setting=0, instance=1)) for end in ("start", "stop")]
        ranges |= {} if np.isnan(ends[0]) else {key: tuple(ends)}
    assert ranges
    for problem in problems:
        result, of = alone(data, problem, **settings, **ranges)
        np.testing.assert_array_equal(of["best_energy"], result.replica_best_energies)
        np.testing.assert_array_equal(of["energy_mean"], result.energies.mean(axis=1))
        np.testing.assert_array_equal(of["energy_variance"], result.energies.var(axis=1))
        lowest = result.replica_best_energies[:, None] + problem.resolution
        np.testing.assert_array_equal(of["lowest_share"], (result.energies <= lowest).mean(axis=1))
        assert float(of["num_distinct"]) == result.num_distinct
        assert float(of["spin_updates"]) == result.work.spin_updates
        assert float(of["ground_share"].mean()) == pytest.approx(
            (result.energies <= energies(problem).min() + 1e-9).mean(), abs=1e-12
        )


def test_instances_share_the_widest_default_range(tmp_path):
    data = sweep({**changed(num_steps=3), "batch": 1}, tmp_path).data
    problems = [edwards_anderson((3, 4), seed=seed) for seed in (5, 2, 9)]
    hot, cold = zip(*(lehr.settings.default_range(problem) for problem in problems), strict=True)
    of = data.isel(setting=0).set_index(instance="ensemble_of").sel(instance="EA 3x4 uniform open")
    np.testing.assert_array_equal(of["temperature_start"], [max(hot)] * 3)
    np.testing.assert_array_equal(of["temperature_stop"], [min(cold)] * 3)
    own = lehr.settings.default_range(random_chain(7, seed=1))
    assert float(data["temperature_start"].isel(setting=0, instance=3)) == own[0] != max(hot)
    together = sweep(changed(num_steps=3), tmp_path / "together").data
    for name in ("best_energy", "energy_mean"):
        np.testing.assert_array_equal(data[name], together[name])


@pytest.mark.usefixtures("drawn")
def test_everything_is_in_one_file(tmp_path):
    made = sweep(SMALL, tmp_path)
    data = made.data
    assert dict(data["best_energy"].sizes) == {"instance": 4, "setting": 2, "seed": 1, "replica": 3}
    for name, problem in zip(data["instance"].values, [*(edwards_anderson((3, 4), seed=s) for s in (5, 2, 9)),
                                                       random_chain(7, seed=1)], strict=True):  # fmt: skip
        assert name == problem.name
        of = data.sel(instance=name)
        assert float(of["ground_energy"]) == pytest.approx(energies(problem).min(), abs=1e-12)
        assert float(of["num_spins"]) == problem.num_spins
        assert bool(of["certified"])
        assert str(of["oracle"].values) == lehr.exact(problem).oracle
    for found in (read_dataset(tmp_path / "sweep.nc"), xr.load_dataset(tmp_path / "sweep.nc", engine="h5netcdf")):
        assert set(found.variables) == set(data.variables)
        for name in data.variables:
            np.testing.assert_array_equal(found[name].values, data[name].values)
        assert found.attrs["spec"] == json.dumps(SMALL, indent=2)
    assert made.files[1].read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in made.files] == ["sweep.nc", "sweep.png", "sweep.pdf"]
    assert float(data["spin_updates"].sel(instance="EA 3x4 uniform open seed 2")[1, 0]) == 12 * 12 * 3
    assert float(data["num_steps"].isel(instance=0, setting=1)) == 12


class Counted:
    """`solve`, and a record of what it was asked for besides warming up; raises where it is told."""

    def __init__(self, failing=lambda problems, options: None):
        self.calls, self.failing = [], failing

    def __call__(self, problem, **options):
        problems = problem if isinstance(problem, list) else [problem]
        if options["num_steps"] != 1:
            self.calls.append((len(problems), options["num_steps"], options["seed"]))
            error = self.failing(problems, options)
            if error is not None:
                raise error
        return solve(problem, **options)


@pytest.fixture
def counted(monkeypatch):
    def install(*arguments):
        found = Counted(*arguments)
        monkeypatch.setattr(GRID, "solve", found)
        return found

    return install


def test_an_interrupted_sweep_goes_on(tmp_path, counted):
    whole = sweep(SMALL, tmp_path / "whole").data
    counted(lambda problems, options: KeyboardInterrupt() if options["num_steps"] == 12 else None)
    with pytest.raises(KeyboardInterrupt):
        sweep(SMALL, tmp_path / "broken")
    second = counted()
    data = sweep(SMALL, tmp_path / "broken").data
    assert second.calls == [(3, 12, 3), (1, 4, 3), (1, 12, 3)]
    np.testing.assert_array_equal(data["energy_mean"], whole["energy_mean"])


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_sweep_at_a_url_goes_on(tmp_path, counted, scheme):
    url = f"{scheme}://{tmp_path}/out"
    few = {**SMALL, "problem": PROBLEMS[:1]}
    whole = sweep(few, tmp_path / "whole").data
    counted(lambda problems, options: KeyboardInterrupt() if options["num_steps"] == 12 else None)
    with pytest.raises(KeyboardInterrupt):
        sweep(few, url)
    store = fsspec.filesystem(scheme)
    assert len(store.glob(f"{tmp_path}/out/tasks/*.nc")) == 1
    second = counted()
    made = sweep(few, url)
    assert second.calls == [(3, 12, 3)]
    assert made.files == [f"{url}/sweep.nc"]
    np.testing.assert_array_equal(made.data["energy_mean"], whole["energy_mean"])
    there, here = (
        {name.removeprefix(f"{root}/") for name in files.find(root)}
        for files, root in ((store, f"{tmp_path}/out"), (fsspec.filesystem("file"), f"{tmp_path}/whole"))
    )
    assert there == here
    assert store.cat_file(f"{tmp_path}/out/sweep.nc").startswith(b"\x89HDF")


def test_each_answer_is_kept_at_the_url_when_it_is_there(tmp_path):
    kept, store = [], fsspec.filesystem("memory")
    tasks = f"{tmp_path}/out/tasks/*.nc"
    sweep(SMALL, f"memory://{tmp_path}/out", report=lambda step: kept.append(len(store.glob(tasks))))
    assert kept[-4:] == [1, 2, 3, 4]


def test_what_a_store_refuses_once_is_brought_the_next_time(tmp_path, monkeypatch):
    store, refused = fsspec.filesystem("memory"), []
    opened = store.open

    def refusing(path, mode="rb", **options):
        if mode == "wb" and path.endswith(".nc") and len(refused) < 2:
            refused.append(path)
            raise OSError("the store is full")
        return opened(path, mode, **options)

    monkeypatch.setattr(store, "open", refusing)
    data = sweep(SMALL, f"memory://{tmp_path}/out").data
    assert len(refused) == 2
    assert all(store.exists(path) for path in refused)
    assert data["best_energy"].notnull().all()


def test_a_store_that_takes_nothing_is_noticed_before_the_work(tmp_path, monkeypatch, counted):
    store, begun = fsspec.filesystem("memory"), counted()

    def full(path, mode="rb", **options):
        raise OSError("the store is full")

    monkeypatch.setattr(store, "open", full)
    with pytest.raises(InputError, match=r"must be one to write to, but: the store is full.* lies in ") as told:
        sweep(SMALL, f"memory://{tmp_path}/out")
    assert begun.calls == []
    left = Path(str(told.value).partition(" lies in ")[2].rstrip("."))
    assert (left / "tasks").is_dir()
    shutil.rmtree(left)


def test_a_path_made_of_a_url_is_refused():
    with pytest.raises(InputError, match="a URL as a string, but it is the path `s3:/bucket/x`"):
        sweep(SMALL, Path("s3://bucket/x"))


def test_urls_that_cannot_be_are_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"must be a folder or a URL, but `nowhere://x`: .*nowhere"):
        sweep(SMALL, "nowhere://x")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be one to write to, but"):
        sweep(SMALL, f"file://{tmp_path}/file/out")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(InputError, match="needs fsspec, but it is not installed: pip install 'lehr\\[url\\]'"):
        sweep(SMALL, "memory://x")


def test_more_of_anything_runs_what_is_new(tmp_path, counted):
    sweep(SMALL, tmp_path)
    more = counted()
    grown = {**changed(num_steps=[4, 6], seed=[1, 3]), "problem": [*PROBLEMS, {"family": "sk", "size": 5}]}
    data = sweep(grown, tmp_path).data
    assert data["best_energy"].notnull().all()
    old = [(4, 1), (6, 1), (6, 3)]
    assert [calls[1:] for calls in more.calls] == [*old, *old, (4, 1), (4, 3), (6, 1), (6, 3)]


def test_another_instance_that_changes_the_schedule_runs_all_anew(tmp_path, counted):
    few = {**changed(num_steps=[4]), "problem": [{**PROBLEMS[0], "seed": [5, 2]}], "batch": 1}
    sweep(few, tmp_path)
    anew = counted()
    data = sweep({**few, "problem": PROBLEMS[:1]}, tmp_path).data
    hot = [lehr.settings.default_range(edwards_anderson((3, 4), seed=seed)) for seed in (5, 2, 9)]
    assert {max(ends) for ends in zip(*hot[:2], strict=True)} != {max(ends) for ends in zip(*hot, strict=True)}
    assert anew.calls == [(1, 4, 3)] * 3
    np.testing.assert_array_equal(data["temperature_start"], [[max(start for start, _ in hot)]] * 3)


def test_nothing_is_done_twice(tmp_path, monkeypatch, counted):
    calls = []
    monkeypatch.setattr(RUN, "exact", lambda problem: calls.append(problem.name) or lehr.exact(problem))
    steps = []
    sweep(SMALL, tmp_path, report=steps.append)
    assert len(calls) == 4
    assert [list(step.point) for step in steps] == [["exact energy"]] * 4 + [["problem", "setting", "seed"]] * 4
    assert steps[4].point == {"problem": "EA 3x4 uniform open (3 instances)", "setting": "sa num_steps=4",
                              "seed": "seed 3"}  # fmt: skip
    again = []
    tasks = counted()
    data = sweep(SMALL, tmp_path, report=again.append).data
    assert (len(calls), tasks.calls, again) == (4, [], [])
    assert data["certified"].all()
    without = sweep({**SMALL, "exact": False}, tmp_path).data
    assert (len(calls), tasks.calls) == (4, [])
    of = without.sel(instance="EA 3x4 uniform open seed 5")
    assert np.isnan(of["ground_energy"])
    assert not of["certified"]
    assert float(of["target_energy"]) == float(of["best_energy"].min())


def test_a_task_that_fails_is_told_and_tried_by_the_next_call(tmp_path, counted):
    broken = counted(lambda problems, options: ValueError("no luck") if len(problems) == 1 else None)
    made = sweep(changed(num_steps=[4]), tmp_path)
    assert broken.calls.count((1, 4, 3)) == 2
    assert len(made.failures) == 1
    assert "1 tasks failed twice" in made.text
    assert "ValueError: no luck" in made.text
    assert "(3 missing)" in made.text
    assert "unknown" in made.text
    assert made.data["best_energy"].notnull().sum() == 3 * 3
    assert len(summary(made.data, made.failures)["failures"]) == 1
    counted()
    again = sweep(changed(num_steps=[4]), tmp_path)
    assert again.failures == []
    assert again.data["best_energy"].notnull().all()


def test_a_network_that_diverges_takes_no_other_with_it(tmp_path, counted):
    lost = edwards_anderson((3, 4), seed=2).name
    counted(
        lambda problems, options: DivergenceError("nan") if lost in [problem.name for problem in problems] else None
    )
    made = sweep(changed(num_steps=[4]), tmp_path / "lost")
    counted()
    whole = sweep(changed(num_steps=[4]), tmp_path / "whole").data
    data = made.data
    assert made.failures == []
    assert "3 diverged)" in made.text
    np.testing.assert_array_equal(data["diverged"].sum(("setting", "seed")), [0, 1, 0, 0])
    others = [name for name in data["instance"].values if name != lost]
    np.testing.assert_array_equal(data["best_energy"].sel(instance=others), whole["best_energy"].sel(instance=others))
    assert data["best_energy"].sel(instance=lost).isnull().all()
    told = summary(data)["ensembles"][0]["settings"][0]
    assert (told["num_diverged"], told["num_runs"]) == (3, 9)
    assert float(data["success"].sel(instance=lost).sum()) == 0
    found = float(whole["success"].sel(instance=others[:2]).sum())  # the third is of another ensemble
    assert told["success_mean"]["value"] == pytest.approx(found / 9)


def made_up():
    """Two instances of one ensemble and one of another, with three runs in two seeds and a setting with fewer."""
    best = np.array([
        [[[-4.0, -4.0, -3.0], [-4.0, -2.0, -4.0]], [[-4.0, -3.5, np.nan], [-3.0, -3.5, np.nan]]],
        [[[-7.0, -7.0, -7.0], [-7.0, -7.0, -6.0]], [[-5.0, -6.0, np.nan], [-5.0, -6.0, np.nan]]],
        [[[-2.0, -2.0, -2.5], [-2.0, -2.5, -2.0]], [[-1.0, -2.0, np.nan], [-1.5, -2.0, np.nan]]],
    ])  # fmt: skip
    runs = ("instance", "setting", "seed", "replica")
    seconds = np.array([[[0.3, 0.5], [0.2, 0.4]], [[0.6, 0.6], [1.0, 1.2]], [[0.1, 0.3], [0.2, 0.2]]])
    return xr.Dataset(
        {
            "best_energy": (runs, best),
            "energy_mean": (runs, best + np.array([0.4, 0.8, 1.2])),
            "lowest_share": (runs, np.where(np.isnan(best), np.nan, 0.25)),
            "train_seconds": (runs[:3], seconds),
            "sample_seconds": (runs[:3], 2 * seconds),
            "num_samples": (runs[:3], np.full((3, 2, 2), [[30.0], [14.0]])),
            "diverged": (runs[:3], np.zeros((3, 2, 2))),
            "num_replicas": (runs[:2], [[3, 2]] * 3),
            "num_steps": (runs[:2], [[10, 40]] * 3),
            "ground_energy": ("instance", [-4.0, np.nan, -2.0]),
            "certified": ("instance", [True, False, True]),
            "resolution": ("instance", [1e-8, 1e-8, 1e-8]),
            "mean_field": ("instance", [0.02, 0.05, 0.01]),
            "num_spins": ("instance", [4, 8, 5]),
        },
        {
            "instance": ["a", "b", "c"], "ensemble_of": ("instance", ["x", "x", "y"]), "setting": ["sa 10", "sa 40"],
            "method": ("setting", ["sa", "sa"]), "curve": ("setting", ["sa", "sa"]), "seed": [4, 2],
        },
        {"version": "0", "machine": "none"},
    )  # fmt: skip


def test_targets_are_ground_energies_or_what_was_met():
    data = summarise(made_up())
    np.testing.assert_array_equal(data["target_energy"], [-4.0, -7.0, -2.5])  # the stated -2.0 was undercut
    np.testing.assert_array_equal(data["certified"], [True, False, False])
    np.testing.assert_array_equal(data["success"].sum(("seed", "replica")), [[4, 1], [5, 0], [2, 0]])
    np.testing.assert_array_equal(data["ground_share"].sum(("seed", "replica")), [[1, 0.25], [1.25, 0], [0.5, 0]])
    assert data["success"].isel(setting=1, replica=2).isnull().all()
    np.testing.assert_allclose(data["best_residual"].isel(instance=2, setting=0)[0], [0.1, 0.1, 0.0])


def test_averages_over_the_disorder():
    data = summarise(made_up())
    of = data.sel(ensemble="x").isel(setting=0)
    first = np.mean([0.4, 0.8, 2.2, 0.4, 2.8, 1.2]) / 4
    second = np.mean([0.4, 0.8, 1.2, 0.4, 0.8, 2.2]) / 8
    expected = typical([first, second])
    np.testing.assert_allclose(
        [of["residual_typical"], of["residual_typical_low"], of["residual_typical_high"]], expected, rtol=1e-12
    )
    assert float(of["success_mean"]) == pytest.approx((4 / 6 + 5 / 6) / 2)
    assert float(of["success_mean_low"]) == pytest.approx(min(wilson(9, 12).low, 4 / 6))
    assert float(of["success_mean_high"]) == pytest.approx(max(wilson(9, 12).high, 5 / 6))
    per_run = [3 * 0.4 / 3, 3 * 0.6 / 3]
    assert float(of["seconds_per_run"]) == pytest.approx(np.mean(per_run))
    times = [time_to_solution(4, 6, per_run[0]).value, time_to_solution(5, 6, per_run[1]).value]
    assert float(of["time_to_solution_typical"]) == pytest.approx(np.sqrt(np.prod(times)))
    assert (float(of["num_runs"]), float(of["steps"])) == (12, 10)
    never = data.sel(ensemble="y").isel(setting=1)
    assert np.isinf(never["time_to_solution_typical"])
    assert float(never["time_to_solution_typical_low"]) == pytest.approx(time_to_solution(0, 4, 0.3).low)
    assert float(never["success_mean_high"]) == pytest.approx(wilson(0, 4).high)
    one = data.sel(ensemble="y").isel(setting=0)
    residuals = np.array([0.9, 1.3, 1.2, 0.9, 0.8, 1.7]) / 5
    assert float(one["residual_typical"]) == pytest.approx(residuals.mean())
    assert residuals.min() < float(one["residual_typical_low"]) < float(one["residual_typical"])


@pytest.mark.parametrize(("method", "seen"), [("sa", 6), ("sqa", 6), ("vca", 60)])
def test_a_residual_of_nothing_counts_as_one_sample(method, seen):
    """Reads of chains count once, samples of networks each."""
    data = made_up().assign_coords(method=("setting", [method] * 2))
    data["energy_mean"] = data["energy_mean"] * 0 + xr.DataArray([-4.0, -7.0, -2.5], dims="instance")
    found = summarise(data)
    floors = np.array([0.02 / 4, 0.05 / 8, 0.01 / 5]) / seen
    np.testing.assert_allclose(found["residual_floor"].isel(setting=0), floors)
    np.testing.assert_allclose(found["best_residual_floor"].isel(setting=1), [0.02 / 16, 0.05 / 32, 0.01 / 20])
    for name, floor in (("x", np.sqrt(floors[0] * floors[1])), ("y", floors[2])):
        of = found.sel(ensemble=name).isel(setting=0)
        ends = [float(of[f"residual_typical{end}"]) for end in ("", "_low", "_high")]
        # None of M samples: with 1 - 3 / M to the power of M, 5 %.
        assert ends == pytest.approx([floor, 0.0, np.log(20) * floor])
        assert int(of["num_floored"]) == {"x": 2, "y": 1}[name]
    assert "(2 at the floor)" in table(found)


def test_few_samples_do_not_win_by_their_number():
    """Two settings that are as good, one of which draws a hundredth of the samples and finds none above the ground."""
    rng = np.random.default_rng(3)
    share, cost, spins = 2e-3, 3.0, 10  # what lies above the ground lies three mean fields above it
    number = {"few": 20, "many": 2000}
    hits = {name: rng.random((40, draws)) < share for name, draws in number.items()}
    runs = ("instance", "setting", "seed", "replica")
    above = np.stack([hits[name].mean(axis=1) for name in number], axis=1)[..., None, None]
    data = made_up().isel(instance=[0] * 40, seed=[0], replica=[0])
    data = data.assign(
        best_energy=(runs, np.full(above.shape, -4.0)), energy_mean=(runs, -4.0 + cost * above),
        num_samples=(runs[:3], np.broadcast_to([[20.0], [2000.0]], (40, 2, 1))), mean_field=("instance", [1.0] * 40),
        num_spins=("instance", [spins] * 40), num_replicas=(runs[:2], np.ones((40, 2))),
        diverged=(runs[:3], np.zeros((40, 2, 1))),
    ).assign_coords(method=("setting", ["vca"] * 2))  # fmt: skip
    of = summarise(data).sel(ensemble="x")
    few, many = of["residual_typical"].values
    truth = share * cost / spins
    assert set(hits["few"].any(axis=1)) == {True, False}
    assert many == pytest.approx(truth, rel=0.3)
    assert few > truth
    assert of["residual_typical_low"].values[0] == 0 < of["residual_typical_low"].values[1]


def test_one_instance_above_the_floor_does_not_narrow_the_interval():
    runs, floors = [np.zeros(4)] * 9, np.full(10, 1e-3)
    all_floored = _typical([*runs, np.zeros(4)], floors)
    mixed = _typical([*runs, np.full(4, 1.01e-3)], floors)
    assert mixed.low == all_floored.low == 0
    assert mixed.high == pytest.approx(1e-3 * np.log(20) ** 0.9 * 1.01**0.1)


def test_the_floor_is_in_the_units_of_the_problem():
    problem = mixed_problem(6, seed=1)
    states = np.array(np.meshgrid(*[(-1, 1)] * 6)).reshape(6, -1).T
    squares = np.mean(np.square(np.asarray(problem.flip_cost(states), float) / 2))  # half of what a flip costs
    assert problem.mean_field() ** 2 == pytest.approx(squares)


def test_runs_that_diverge_are_failures():
    data = made_up()
    data["diverged"][0, 0, 1] = 1.0
    for name in ("best_energy", "energy_mean", "lowest_share"):
        data[name][0, 0, 1] = np.nan
    data["train_seconds"][0, 0, 1] = np.nan
    of = summarise(data).sel(ensemble="x").isel(setting=0)
    assert float(of["success_mean"]) == pytest.approx((2 / 6 + 5 / 6) / 2)
    assert (float(of["num_runs"]), float(of["num_diverged"])) == (12, 3)
    times = [time_to_solution(2, 6, 0.3).value, time_to_solution(5, 6, 0.6).value]
    assert float(of["time_to_solution_typical"]) == pytest.approx(np.sqrt(np.prod(times)))
    assert float(of["residual_typical"]) == pytest.approx(
        typical([np.mean([0.4, 0.8, 2.2]) / 4, np.mean([0.4, 0.8, 1.2, 0.4, 0.8, 2.2]) / 8]).value
    )
    for name in ("best_energy", "energy_mean", "lowest_share", "train_seconds"):
        data[name][0, 1] = np.nan  # where a second setting has fewer replicas
    data["diverged"][0, 1] = 1.0
    of = summarise(data).sel(ensemble="x").isel(setting=1)
    assert (float(of["num_runs"]), float(of["num_diverged"]), float(of["success_mean"])) == (8, 4, 0)
    assert np.isinf(of["time_to_solution_typical"])
    only = summarise(data.isel(instance=[0])).sel(ensemble="x").isel(setting=1)
    assert float(only["success_mean_high"]) == pytest.approx(wilson(0, 4).high)
    assert np.isnan(only["residual_typical"])
    assert np.isinf(only["time_to_solution_typical"])


@pytest.mark.parametrize(
    ("hits", "places"),
    [([1, 3, 6], [1]), ([6, 1, 2, 4], [2, 3]), ([0, 6, 0, 4], None), ([0, 2, 0], None), ([0, 5, 4], [2])],
)
def test_the_median_time_lies_between_the_middle_two_on_a_logarithmic_scale(hits, places):
    number = len(hits)
    best = np.where(np.arange(6) < np.array(hits)[:, None], -4.0, -3.0).reshape(number, 1, 1, 6)
    data = made_up().isel(instance=[0] * number, setting=[0], seed=[0])
    runs = ("instance", "setting", "seed", "replica")
    data = data.drop_vars([name for name in data if "replica" in data[name].dims]).assign(
        best_energy=(runs, best), energy_mean=(runs, best), lowest_share=(runs, 0 * best + 0.5),
        num_replicas=(runs[:2], np.full((number, 1), 6)),
    )  # fmt: skip
    found = float(summarise(data)["time_to_solution_typical"].squeeze())
    if places is None:
        assert np.isinf(found)
    else:
        times = [time_to_solution(hits[place], 6, 0.9 / 6).value for place in places]
        assert found == pytest.approx(np.exp(np.mean(np.log(times))))


def test_the_table_and_the_summary():
    data = summarise(made_up())
    text = table(data)
    assert "x: 2 instances, 4 to 8 spins; targets are exact ground energies for 1, and the lowest" in text
    assert "0.75 [" in text
    told = json.loads(json.dumps(summary(data), allow_nan=False))
    assert [ensemble["name"] for ensemble in told["ensembles"]] == ["x", "y"]
    assert told["ensembles"][0]["num_spins"] == [4, 8]
    assert told["ensembles"][1]["settings"][1]["time_to_solution_typical"]["value"] is None
    assert told["ensembles"][0]["settings"][0]["success_mean"]["value"] == pytest.approx(0.75)


@pytest.mark.usefixtures("drawn")
def test_the_picture_holds_the_numbers():
    data = summarise(made_up())
    axes = np.array(plot_sweep(data).axes).reshape(2, 3)
    for row, name in zip(axes, ["x", "y"], strict=True):
        of = data.sel(ensemble=name)
        (left,), (middle,) = (one.containers for one in row[:2])
        np.testing.assert_allclose(left[0].get_xydata(), np.stack([[10, 40], of["residual_typical"]], axis=1))
        np.testing.assert_allclose(middle[0].get_xdata(), of["seconds_per_run"])
        np.testing.assert_allclose(row[2].containers[0][0].get_xydata()[0], [10, of["time_to_solution_typical"][0]])
    (arrow,) = [line for line in axes[1, 2].lines if line.get_marker() == r"$\uparrow$"]
    np.testing.assert_allclose(arrow.get_xydata(), [[40, data["time_to_solution_typical_low"].sel(ensemble="y")[1]]])


def test_an_engine_runs_the_tasks(tmp_path):
    places = []

    def backwards(measure, points):
        for place in reversed(range(len(points))):
            places.append(place)
            yield attempt(measure, points[place], place)

    data = sweep(SMALL, tmp_path, engine=backwards).data
    assert places == [3, 2, 1, 0]
    np.testing.assert_array_equal(data["spin_updates"].isel(seed=0), [[144, 432]] * 3 + [[84, 252]])


def test_varied_options_are_coordinates(tmp_path):
    spec = {"problem": PROBLEMS[1:], "grid": {"method": ["sa", "pt"], "num_steps": 3, "replicas": 2}}
    spec["method"] = {"sa": {"ramp": ["linear", "geometric"]}, "pt": {"num_temperatures": [4, 8]}}
    data = sweep(spec, tmp_path).data
    assert data["setting"].values.tolist() == [
        "sa ramp=linear", "sa ramp=geometric", "pt num_temperatures=4", "pt num_temperatures=8"
    ]  # fmt: skip
    assert data["ramp"].values.tolist() == ["linear", "geometric", "", ""]
    np.testing.assert_array_equal(data["num_temperatures"], [np.nan, np.nan, 4, 8])
    assert data["method"].values.tolist() == ["sa", "sa", "pt", "pt"]


def test_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(
        '[[problem]]\nfamily = "chain"\nsize = 6\nseed = "1-2"\n[grid]\nmethod = "sa"\nnum_steps = [3, 6]\n'
    )
    done = CliRunner().invoke(app, ["sweep", "small.toml", "--json"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ensembles"][0]["num_certified"] == 2
    assert "2/2  chain 6 uniform01 open (2 instances), sa num_steps=6, seed 0" in done.stderr
    assert (tmp_path / "sweeps" / "small" / "sweep.nc").exists()
    text = CliRunner().invoke(app, ["sweep", "small.toml"])
    assert text.stdout.startswith("chain 6 uniform01 open: 2 instances, 6 spins; targets are exact ground energies\n")
    assert "1/2" not in text.stderr


def test_folders_that_cannot_be_used_are_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be one to write to"):
        sweep(SMALL, tmp_path / "file")
    (tmp_path / "other" / "tasks").mkdir(parents=True)
    (tmp_path / "other" / "tasks" / "tasks.json").write_text('{"figure": "a-fig3"}')
    with pytest.raises(InputError, match="must be free for these tasks"):
        sweep(SMALL, tmp_path / "other")
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["tasks"]
    sweep(changed(num_steps=[4]), tmp_path / "out")
    for content in ("rubbish", "{}", '{"oracle": 1, "ground_energy": "x"}'):
        for file in (tmp_path / "out" / "exact").iterdir():
            file.write_text(content)
        with pytest.raises(InputError, match="exact") as caught:
            sweep(changed(num_steps=[4]), tmp_path / "out")
        assert "\n" not in str(caught.value)


def test_what_the_page_shows_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "sweeps.md").read_text()
    (example,), (code,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("toml", "python"))
    Path("page.toml").write_text(example)
    spec = read_spec("page.toml")
    assert [(ensemble.name, len(ensemble.problems)) for ensemble in spec.ensembles] == [
        ("EA 10x10 gaussian open", 25), ("EA 8x12 gaussian open", 25), ("planted", 3),
    ]  # fmt: skip
    assert [setting.label for setting in spec.settings if setting.method != "vca"][2:4] == [
        "sa num_steps=16000", "pt num_steps=250"
    ]  # fmt: skip
    names = {}
    exec(code, names)
    assert names["swept"].text in capsys.readouterr().out
    assert set(re.findall(r"`(\w+_(?:typical|mean))`", page)) <= set(names["data"])
