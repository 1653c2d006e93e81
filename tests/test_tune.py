"""The search for settings: what it tries, what it keeps, and what it says of the best."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import lehr
from lehr.cli import main
from lehr.preset import default_settings
from lehr.tune import PRESET, Tuned, _Found, _Runs, told_changes, tune

pytest.importorskip("optuna")

GLASS = lehr.edwards_anderson((3, 4), seed=3)
OTHER = lehr.edwards_anderson((4, 4), seed=5)


@pytest.fixture
def quick(monkeypatch):
    """Runs that take a second of a clock of their own: the energy has its minimum where the learning rate is 0.03 and
    there are 8 replicas."""
    asked = []
    monkeypatch.setattr("lehr.tune.time", SimpleNamespace(perf_counter=lambda: len(asked)))

    def energies(self, changes, seed):
        asked.append((changes, seed))
        settings = self.settings(changes)
        off = np.log(settings.learning_rate / 0.03) ** 2 + (settings.replicas != 8)
        return [-p.num_spins * (1 - 0.01 * off) + np.arange(settings.replicas) for p in self.problems]

    monkeypatch.setattr(_Runs, "energies", energies)
    monkeypatch.setattr(_Runs, "num_steps", lambda self, changes, number=0: 50)
    return asked


def test_the_minimum_is_found_and_the_defaults_come_first(quick):
    trials = []
    tuned = tune([GLASS, OTHER], seconds=60.0, report=trials.append)
    defaults = default_settings(GLASS)
    assert trials[0].changes["learning_rate"] == defaults.learning_rate
    assert trials[0].changes["replicas"] == defaults.replicas
    assert tuned.num_trials == len(trials) == 36
    assert [trial.seconds_left for trial in trials] == list(range(35, -1, -1))
    assert tuned.changes["replicas"] == 8
    assert tuned.changes["learning_rate"] == pytest.approx(0.03, rel=0.3)
    best = min(trials, key=lambda trial: trial.score)
    assert best.changes == tuned.changes
    size = np.array([12, 16])
    off = np.log(tuned.changes["learning_rate"] / 0.03) ** 2
    expected = (-size * (1 - 0.01 * off) + 0.01 * (-size * (1 - 0.01 * off) + 3.5)) / size
    assert best.score == pytest.approx(expected.mean())


def test_fresh_seeds_are_those_of_no_trial(quick):
    trials = []
    tuned = tune(GLASS, seconds=10.0, seed=7, report=trials.append)
    seeds = [seed for _, seed in quick]
    assert seeds[: len(trials)] == list(range(len(trials)))
    fresh = quick[len(trials) :]
    assert [seed for _, seed in fresh[:8]] == [seed for _, seed in fresh[8:]]
    assert not {seed for _, seed in fresh} & set(seeds[: len(trials)])
    assert [changes for changes, _ in fresh] == [tuned.changes] * 8 + [{}] * 8


def test_fresh_runs_are_those_of_the_very_same_changes(quick, tmp_path):
    found, runs = _Found(tmp_path, {}), _Runs((GLASS,), "vca", 1.0, 0, _Found(None, {}))
    one = {"learning_rate": 0.012345, "temperature": (2.0, 0.1)}
    close = {**one, "learning_rate": 0.012346}
    assert told_changes(one) == told_changes(close)
    energies = found.fresh("best", one, runs)
    assert len(quick) == 8
    np.testing.assert_array_equal(_Found(tmp_path, {}).fresh("best", one, runs), energies)
    assert len(quick) == 8
    assert (_Found(tmp_path, {}).fresh("best", close, runs) != energies).all()
    assert len(quick) == 16


def verdict_of(energies, default_energies, ground=None):
    found, default = np.array([energies], float), np.array([default_energies], float)
    lowest = np.array([min(found.min(), default.min()) if ground is None else ground])
    return Tuned((GLASS,), {"replicas": 8}, lehr.Settings(), found, default, lowest, 1.0, 3)


def test_the_verdict_follows_from_the_fresh_runs():
    better = verdict_of([-12, -12, -12, -11], [-11, -11, -10, -8])
    differences = np.array([1, 1, 2, 3]) / 12
    assert better.gain == pytest.approx((differences.mean(), differences.std(ddof=1) / 2))
    assert better.successes == (3, 0)
    assert better.verdict.startswith("better than the defaults: 0.15 +- 0.04 lower per spin")
    assert "in 3 of 4 fresh runs instead of 0" in better.verdict
    assert verdict_of([-11, -11, -10, -8], [-12, -12, -12, -11]).verdict.startswith("worse than the defaults")
    assert verdict_of([-12, -9, -12, -9], [-12, -12, -9, -9]).verdict.startswith("not told apart")
    assert verdict_of([-12, -12], [-12, -12], ground=-13.0).successes == (0, 0)


def test_a_search_goes_on_where_it_was_broken_off(quick, tmp_path):
    seen = []

    def stop(trial):
        seen.append(trial)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(GLASS, seconds=20.0, out=tmp_path, report=stop)
    later = []
    tuned = tune(GLASS, seconds=20.0, out=tmp_path, report=later.append)
    assert [trial.number for trial in later] == list(range(4, 13))
    assert not {told_changes(trial.changes) for trial in later} & {told_changes(trial.changes) for trial in seen}
    assert tuned.num_trials == 12
    asked = len(quick)
    again = tune(GLASS, seconds=20.0, out=tmp_path)
    assert (again.changes, again.num_trials, len(quick)) == (tuned.changes, tuned.num_trials, asked)
    np.testing.assert_array_equal(again.energies, tuned.energies)


def test_a_trial_that_diverges_is_told_and_left_out(quick, monkeypatch):
    sound = _Runs.energies

    def energies(self, changes, seed):
        found = sound(self, changes, seed)
        if changes and changes["learning_rate"] < 0.015:
            raise lehr.DivergenceError("as the defaults do here")
        return found

    monkeypatch.setattr(_Runs, "energies", energies)
    trials = []
    tuned = tune(GLASS, seconds=30.0, report=trials.append)
    assert trials[0].score is None
    assert tuned.num_trials == len(trials) == 18
    assert tuned.changes["learning_rate"] >= 0.015


def test_runs_take_the_seconds_that_they_should(monkeypatch):
    runs = _Runs((GLASS, OTHER), "vca", 0.5, 0, _Found(None, {}))
    monkeypatch.setattr(runs, "_speed", lambda changes, number: 300.0 / changes["replicas"] / (1 + number))
    assert runs.num_steps({"replicas": 2}) == 75
    assert runs.num_steps({"replicas": 2}, 1) == 37
    assert runs.num_steps({"replicas": 300}) == 2


def test_a_second_call_measures_nothing(tmp_path):
    tune(GLASS, seconds=0.5, out=tmp_path)
    written = (tmp_path / PRESET).read_bytes()
    tune(GLASS, seconds=0.5, out=tmp_path)
    assert (tmp_path / PRESET).read_bytes() == written


def test_a_trial_broken_off_in_its_midst_is_made_again(quick, tmp_path, monkeypatch):
    whole = _Runs.energies

    def stop(self, changes, seed):
        raise KeyboardInterrupt

    monkeypatch.setattr(_Runs, "energies", stop)
    with pytest.raises(KeyboardInterrupt):
        tune(GLASS, seconds=20.0, out=tmp_path)
    monkeypatch.setattr(_Runs, "energies", whole)
    trials = []
    tuned = tune(GLASS, seconds=20.0, out=tmp_path, report=trials.append)
    assert trials[0].changes["learning_rate"] == default_settings(GLASS).learning_rate
    assert tuned.num_trials == len(trials) == 12


def test_defaults_that_diverge_are_counted(quick, monkeypatch):
    sound = _Runs.energies

    def energies(self, changes, seed):
        found = sound(self, changes, seed)
        if not changes:
            raise lehr.DivergenceError("always")
        return found

    monkeypatch.setattr(_Runs, "energies", energies)
    tuned = tune(GLASS, seconds=10.0)
    assert np.isinf(tuned.default_energies).all()
    assert tuned.successes == (8, 0)
    assert tuned.verdict.endswith("; 0 diverged, of the defaults 8")


def test_the_command_writes_a_preset_that_solve_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lehr.save_problem(GLASS, tmp_path / "glass.json")
    monkeypatch.setattr(sys, "argv", ["lehr", "tune", "glass.json", "--seconds", "2", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (None, 0)
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told["num_runs"] == 8
    assert f"written: tune/glass/{PRESET}" in printed.err
    result = lehr.solve(GLASS, preset=str(tmp_path / "tune" / "glass" / PRESET), num_steps=20)
    settings = result.spec["settings"]
    assert {name: settings[name] for name in ("learning_rate", "replicas")} == {
        name: told["changes"][name] for name in ("learning_rate", "replicas")
    }
    assert tuple(settings["temperature"]) == tuple(told["changes"]["temperature"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problems": []}, "`problems` must hold problems, at least one"),
        ({"method": "sa"}, "`method` must be one of vca, vqa, rvqa, cqo, but it is 'sa'"),
        ({"seconds": 0.0}, "`seconds` must be positive and finite, but it is 0.0"),
        ({"seed": -1}, "`seed` must be a whole number"),
        ({"ansatze": ["auto", "cnn"]}, "`ansatze` must hold some of auto, linear, .* but it holds 'cnn'"),
    ],
)
def test_bad_arguments(arguments, message, tmp_path):
    with pytest.raises(lehr.InputError, match=message):
        tune(**{"problems": GLASS, "seconds": 0.1, "out": tmp_path / "new", **arguments})
    assert not (tmp_path / "new").exists()


def test_another_search_keeps_its_folder(quick, tmp_path):
    tune(GLASS, seconds=0.1, out=tmp_path)
    with pytest.raises(lehr.InputError, match="without another search"):
        tune(OTHER, seconds=0.1, out=tmp_path)


def test_without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(lehr.InputError, match=r"pip install 'lehr\[tune\]'"):
        tune(GLASS, seconds=0.1)


@pytest.mark.parametrize("content", ["[]", "{}", '{"settings": {"replicas": 0}}', "no JSON"])
def test_a_preset_file_must_hold_settings(content, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(lehr.InputError):
        lehr.solve(GLASS, preset=str(path))
