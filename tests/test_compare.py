"""Comparisons: the same seconds for every method, honest intervals, nothing lost when they are broken off."""

import json
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from typer.testing import CliRunner

import lehr
from enumeration import energies, mixed_problem
from lehr import InputError, Problem, compare
from lehr.cli import app
from lehr.compare import Comparison, Rung
from lehr.metrics import time_to_solution, wilson
from lehr.plot import plot_comparison, save_comparison
from lehr.report.studies import comparison_page
from lehr.solve import DivergenceError

PROBLEM = mixed_problem(6)
GROUND = energies(PROBLEM).min() + 0.7


def made_up(**times):
    """A comparison with a target of -1 per spin, from {method: [(seconds of 10 runs, runs that meet it)]}."""
    problem = Problem.from_terms(4, {(i,): 1.0 for i in range(4)}, name="four")
    rungs = [
        Rung(method, 2**k, seconds, 1.5, (-4.0,) * met + (-2.0,) * (10 - met))
        for method, ladder in times.items()
        for k, (seconds, met) in enumerate(ladder)
    ]
    return Comparison(problem, -4.0, "arithmetic", tuple(rungs))


@pytest.fixture
def paced(monkeypatch):
    """`solve`, on a clock of its own: a run takes a millisecond for each step."""

    def solve(problem, method, **options):
        result = lehr.solve(problem, method, **options)
        seconds = {"compile": 0.0, "train": options["num_steps"] / 1000, "sample": 0.0}
        return SimpleNamespace(seconds=seconds, replica_best_energies=result.replica_best_energies)

    monkeypatch.setattr(import_module("lehr.compare"), "solve", solve)


@pytest.mark.usefixtures("paced")
def test_ladders_double_and_keep_to_their_seconds():
    comparison = compare(PROBLEM, ["metropolis", "sa"], seconds=0.2, seed=3)
    assert comparison.methods == ["metropolis", "sa"]
    assert comparison.target == pytest.approx(GROUND)
    assert "enumeration" in comparison.oracle
    for method in comparison.methods:
        rungs = comparison.of(method)
        assert [rung.num_steps for rung in rungs] == [8, 16, 32, 64]
        assert all(len(rung.energies) == 32 for rung in rungs)
        assert [rung.seconds for rung in rungs] == [0.008, 0.016, 0.032, 0.064]  # twice the last would not fit
        again = lehr.solve(PROBLEM, method, num_steps=rungs[1].num_steps, replicas=32, seed=3)
        assert rungs[1].energies == tuple(again.replica_best_energies)


def test_networks_and_chains_in_one_table():
    comparison = compare(PROBLEM, ["vca", "pt"], seconds=1e-3)
    assert [(rung.method, rung.num_steps, len(rung.energies)) for rung in comparison.rungs[:1]] == [("vca", 25, 8)]
    assert {"vca", "pt"} == set(comparison.ranking())
    assert all(rung.startup_seconds > 0 for rung in comparison.rungs)


def test_numbers_of_a_rung():
    comparison = made_up(sa=[(5.0, 3)])
    (rung,) = comparison.rungs
    assert rung.seconds_per_run == 0.5
    assert comparison.residual(rung).value == pytest.approx(0.7 * 2 / 4)
    assert comparison.success(rung).value == 0.3
    assert comparison.time_to_solution(rung) == time_to_solution(3, 10, 0.5)


def test_a_residual_within_rounding_is_zero():
    problem = Problem.from_terms(4, {(i,): 1.0 for i in range(4)})
    rung = Rung("sa", 1, 1.0, 1.0, (-4.0 - 1e-13, -4.0 + 1e-13))
    assert Comparison(problem, -4.0, "arithmetic", (rung,)).residual(rung) == (0, 0, 0)


def test_ranking_and_verdict():
    clear = made_up(sa=[(1.0, 0), (2.0, 1)], pt=[(1.0, 10)], vca=[(1.0, 0)])
    assert clear.ranking() == ["pt", "sa", "vca"]
    assert clear.best("sa").seconds == 2.0
    assert clear.verdict == "pt is the fastest: 0.1 [0.1, 0.36] s to solution"
    close = made_up(sa=[(1.0, 5)], pt=[(1.1, 5)])
    assert close.ranking() == ["sa", "pt"]
    assert close.verdict.endswith("but the intervals of pt overlap with it")
    slower_but_unsure = made_up(sa=[(1.0, 5)], pt=[(2.0, 5)])
    assert slower_but_unsure.verdict.endswith("but the intervals of pt overlap with it")
    assert made_up(sa=[(1.0, 5)]).verdict.startswith("sa takes 0.664 [")
    lower_but_slower = made_up(sa=[(1.0, 5), (9.0, 9)])
    assert lower_but_slower.best("sa").num_steps == 1
    none = made_up(sa=[(1.0, 0)])
    assert none.verdict == "no method has met the target; sa comes closest, 0.5 per spin above"


def test_without_an_oracle_the_lowest_energy_is_the_target():
    rng = np.random.default_rng(1)
    triples = {tuple(sorted(rng.choice(40, 3, replace=False).tolist())): rng.normal() for _ in range(160)}
    problem = Problem.from_terms(40, triples)
    comparison = compare(problem, ["sa", "metropolis"], seconds=0.02)
    assert comparison.target == min(min(rung.energies) for rung in comparison.rungs)
    assert "not certified" in comparison.oracle


@pytest.mark.usefixtures("paced")
def test_a_broken_off_comparison_goes_on(tmp_path):
    options = {"seconds": 0.1, "seed": 1, "out": tmp_path}
    seen = []

    def stop(rung):
        seen.append(rung)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(PROBLEM, ["sa", "pt"], report=stop, **options)
    kept = json.loads((tmp_path / "comparison.json").read_text())["rungs"]
    assert [rung["num_steps"] for rung in kept] == [8, 16]
    comparison = compare(PROBLEM, ["sa", "pt"], **options)
    assert comparison.of("sa")[:2] == seen
    with pytest.raises(InputError, match="without another comparison"):
        compare(PROBLEM, ["sa"], **options)


@pytest.fixture
def clockwork(monkeypatch):
    """A `solve` that takes a second of training and two of sampling for every 25 steps; returns its calls."""
    calls = []

    def solve(problem, method, *, num_steps, replicas, **options):
        calls.append(num_steps)
        seconds = {"compile": 9.0, "train": num_steps / 25, "sample": 2 * num_steps / 25}
        return SimpleNamespace(seconds=seconds, replica_best_energies=np.full(replicas, -1.0))

    monkeypatch.setattr(import_module("lehr.compare"), "solve", solve)
    return calls


def test_training_and_sampling_count_and_ladders_keep_to_the_seconds(clockwork):
    comparison = compare(PROBLEM, ["vca"], seconds=10.0)
    assert [(rung.num_steps, rung.seconds) for rung in comparison.rungs] == [(25, 3.0), (50, 6.0)]
    assert clockwork == [1, 25, 50]  # one warm-up
    one = compare(PROBLEM, ["vca"], seconds=0.1)
    assert len(one.rungs) == 1  # the first is always run


def test_a_finished_ladder_is_not_started_again(clockwork, tmp_path):
    unbroken = compare(PROBLEM, ["vca"], seconds=10.0, out=tmp_path)
    clockwork.clear()
    assert compare(PROBLEM, ["vca"], seconds=10.0, out=tmp_path).rungs == unbroken.rungs
    assert clockwork == []
    with pytest.raises(InputError, match="without another comparison"):
        compare(mixed_problem(6, seed=4), ["vca"], seconds=10.0, out=tmp_path)


DIVERGING = {(50, 2), (50, 5), *((100, seed) for seed in range(8))}


@pytest.fixture
def diverging(monkeypatch):
    """A `solve` whose 8 networks diverge together in 50 and 100 steps, and alone with some of the seeds."""

    def solve(problem, method, *, num_steps, replicas, seed, **options):
        at = {(num_steps, seed)} if replicas == 1 else {(num_steps, number) for number in range(replicas)}
        if method == "vca" and at & DIVERGING:
            raise DivergenceError("Training became non-finite.")
        seconds = {"compile": 9.0, "train": 0.25, "sample": 0.25}
        return SimpleNamespace(seconds=seconds, replica_best_energies=np.full(replicas, GROUND))

    monkeypatch.setattr(import_module("lehr.compare"), "solve", solve)
    monkeypatch.setattr(import_module("lehr.compare"), "_room_for_another", lambda done, seconds: len(done) < 3)


@pytest.mark.usefixtures("diverging")
def test_runs_that_diverge_are_failures_and_end_nothing(tmp_path):
    comparison = compare(PROBLEM, ["vca", "sa"], out=tmp_path)
    sound, some, none = comparison.of("vca")
    assert [(rung.num_steps, len(rung.energies), rung.diverged) for rung in (sound, some, none)] == [
        (25, 8, 0), (50, 6, 2), (100, 0, 8),
    ]  # fmt: skip
    assert some.energies == pytest.approx([GROUND] * 6)
    assert (comparison.hits(some), comparison.success(some)) == (6, wilson(6, 8))
    assert comparison.time_to_solution(some) == time_to_solution(6, 8, some.seconds / 8)
    assert some.seconds > 6 * 0.5  # those of the runs that diverged count
    assert (comparison.hits(none), comparison.residual(none).value) == (0, np.inf)
    assert len(comparison.of("sa")) == 3  # the others went on
    lines = str(comparison).splitlines()
    assert "vca, 50 steps: 2 of 8 runs diverged, and count as failures" in lines
    assert "vca, 100 steps: 8 of 8 runs diverged, and count as failures" in lines
    kept = json.loads((tmp_path / "comparison.json").read_text())
    assert [rung["diverged"] for rung in kept["rungs"][:3]] == [0, 2, 8]
    axes = plot_comparison(comparison)
    assert [len(container[0].get_xdata()) for container in axes.containers] == [2, 3]
    plt.close(axes.figure)
    assert "50 (2 diverged)" in (page := comparison_page(tmp_path / "comparison.json"))
    assert "100 (8 diverged)" in page
    again = compare(PROBLEM, ["vca", "sa"], out=tmp_path)
    assert again.of("vca") == [sound, some, none]


def test_where_all_runs_diverge_there_is_nothing_to_compare(monkeypatch):
    def diverge(*arguments, **options):
        raise DivergenceError("non-finite")

    monkeypatch.setattr(import_module("lehr.compare"), "solve", diverge)
    monkeypatch.setattr(import_module("lehr.compare"), "_reference", lambda problem: None)
    with pytest.raises(DivergenceError, match="Every run of every method"):
        compare(PROBLEM, ["vca"], seconds=30.0)  # a ladder of nothing but failures does not go on


def test_a_stated_ground_energy_that_is_too_high_loses_nothing():
    rng = np.random.default_rng(2)
    couplings = {(i, j): rng.normal() for i in range(40) for j in range(i + 1, 40)}
    comparison = compare(Problem.from_terms(40, couplings, ground_energy=-5.0), ["sa"], seconds=0.02)
    assert comparison.target == min(min(rung.energies) for rung in comparison.rungs) < -5.0
    assert "below the stated" in str(comparison)


def test_success_does_not_depend_on_the_unit_of_energy():
    for unit in (1e-11, 1.0, 1e11):
        problem = Problem.from_terms(4, {(i,): unit for i in range(4)})
        rung = Rung("sa", 8, 1.0, 0.0, (-4 * unit, -2 * unit, -4 * unit * (1 - 1e-13)))
        assert Comparison(problem, -4 * unit, "arithmetic", (rung,)).hits(rung) == 2


def test_open_symbols_do_not_depend_on_the_unit_of_energy():
    for unit in (1e-13, 1.0, 1e13):
        problem = Problem.from_terms(4, {(i,): unit for i in range(4)})
        energies = (-4 * unit, -4 * unit * (1 - 1e-13)), (-4 * unit, -2 * unit)
        rungs = tuple(Rung("sa", 8, seconds, 0.0, ends) for seconds, ends in zip((1.0, 2.0), energies, strict=True))
        axes = plot_comparison(Comparison(problem, -4 * unit, "arithmetic", rungs))
        (open_points,) = (line.get_xdata() for line in axes.lines if line.get_markerfacecolor() == "white")
        assert list(open_points) == [0.5]
        plt.close(axes.figure)


@pytest.mark.parametrize("content", ["{}", '{"spec": 1}', "rubbish"])
def test_damaged_folders_are_one_clear_line(content, tmp_path):
    (tmp_path / "comparison.json").write_text(content)
    with pytest.raises(InputError, match="comparison") as caught:
        compare(PROBLEM, ["sa"], seconds=0.1, out=tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="`out` must be a folder"):
        compare(PROBLEM, ["sa"], seconds=0.1, out=tmp_path / "comparison.json")


def test_summary_is_json_and_tells_everything():
    comparison = made_up(sa=[(1.0, 0), (2.0, 1)], pt=[(1.0, 10)])
    summary = json.loads(json.dumps(comparison.summary(), allow_nan=False))
    assert summary["ranking"] == ["pt", "sa"]
    assert summary["rungs"][0]["time_to_solution"]["value"] is None
    assert summary["rungs"][2]["success"]["value"] == 1.0
    for word in ("four", "arithmetic", "pt", "0.1 [0.1, 0.36]", comparison.verdict):
        assert word in str(comparison)


def test_the_picture_shows_every_rung():
    comparison = made_up(sa=[(1.0, 0), (2.0, 1)], pt=[(1.0, 5), (4.0, 10)])
    axes = plot_comparison(comparison)
    lines = {container.get_label(): container[0].get_xydata() for container in axes.containers}
    np.testing.assert_allclose(lines["sa"], [(0.1, 0.5), (0.2, 0.45)])
    np.testing.assert_allclose(lines["pt"][0], (0.1, 0.25))
    floor = axes.get_ylim()[0]
    np.testing.assert_allclose(lines["pt"][1], (0.4, floor))
    open_points = [line.get_xydata() for line in axes.lines if line.get_markerfacecolor() == "white"]
    np.testing.assert_allclose(np.concatenate(open_points), [(0.4, floor)])
    plt.close(axes.figure)


def test_pictures_are_files(tmp_path):
    paths = save_comparison(made_up(pt=[(1.0, 10)]), tmp_path)
    assert [path.name for path in paths] == ["comparison.png", "comparison.pdf"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().startswith(b"%PDF")


def test_the_command_line(tmp_path):
    lehr.save_problem(PROBLEM, tmp_path / "six.json")
    arguments = ["compare", str(tmp_path / "six.json"), "--methods", "sa,pt", "--seconds", "0.05", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert json.loads(done.stdout)["target"] == pytest.approx(GROUND)
    assert (tmp_path / "out" / "comparison.png").exists()
    assert "sa" in done.stderr


@pytest.mark.parametrize(
    ("methods", "changes", "message"),
    [
        (["sa", "tabu"], {}, "`methods` must hold some of vca"),
        ([], {}, "`methods` must name at least one"),
        (["sa", "sa"], {}, "`methods` must name at least one"),
        (["sa"], {"seconds": 0.0}, "`seconds` must be positive"),
    ],
)
def test_bad_arguments_are_one_clear_line(methods, changes, message):
    with pytest.raises(InputError, match=message):
        compare(PROBLEM, methods, **changes)
