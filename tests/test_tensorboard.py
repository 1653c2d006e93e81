"""TensorBoard: the event file holds the history, and a run that goes on continues the curves."""

import struct
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lehr
from lehr import InputError, Problem, solve
from lehr.cli import app
from lehr.progress import Report
from lehr.tensorboard import TensorBoard
from product import Product

# With an offset, which the curves of energies must hold.
CHAIN = {(k, k + 1): (-1) ** (k // 3) * (1 + 0.3 * k) for k in range(13)}
PROBLEM = Problem.from_terms(14, {(): 7.0, (4,): 0.3, **CHAIN})
QUICK = {"num_steps": 40, "num_samples": 6, "num_final_samples": 8, "replicas": 3, "seed": 5, "progress": False}
CURVES = {
    "temperature", "field", "energy_mean", "energy_min", "energy_std", "free_energy", "free_energy_variance",
    "free_energy_error", "entropy", "effective_sample_size", "gradient_norm", "best_energy",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _single_steps(monkeypatch):
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr(import_module("lehr.solve"), "_CHUNK_SECONDS", 0.0)


def written(folder: Path) -> dict[str, dict[int, float]]:
    """The curves of all event files in a folder: records of a length, its checksum, an event, and its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    curves = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content, place = file.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            for value in event.summary.value:
                curves.setdefault(value.tag, {})[event.step] = value.simple_value
            place += length + 16
    return curves


def assert_curves(folder: Path, result: lehr.Result, steps: range) -> None:
    """Those of the history, in the event file's float32."""
    curves, history = written(folder), result.history
    assert set(curves) == CURVES
    for name in CURVES & set(history):
        assert list(curves[name]) == list(steps), name
        expected = history[name].sel(step=list(steps)).mean("replica")
        np.testing.assert_allclose(list(curves[name].values()), expected, rtol=1e-5, err_msg=name)
    variance = history["free_energy_variance"].sel(step=list(steps)).mean("replica")
    error = np.sqrt(variance / (QUICK["num_samples"] * QUICK["replicas"]))
    np.testing.assert_allclose(list(curves["free_energy_error"].values()), error, rtol=1e-5)
    lowest = np.minimum.accumulate(history["energy_min"].min("replica").values)[list(steps)]
    assert len(set(lowest)) > 2
    np.testing.assert_allclose(list(curves["best_energy"].values()), lowest, rtol=1e-5)


def test_the_curves_are_the_history(tmp_path, monkeypatch):
    with TensorBoard(tmp_path) as board:
        result = solve(PROBLEM, ansatz=Product(14), callback=board, **QUICK)
    assert_curves(tmp_path, result, range(40))
    monkeypatch.setattr(import_module("lehr.solve"), "_CHUNK_SECONDS", 0.02)
    with TensorBoard(tmp_path / "chains") as board:
        chains = solve(PROBLEM, "sa", num_steps=3000, replicas=2, seed=1, callback=board, progress=False)
    curves = written(tmp_path / "chains")
    assert set(curves) == {"temperature", "field", "energy_mean", "energy_min", "best_energy"}
    steps = list(curves["energy_mean"])
    assert steps[-1] == 2997
    assert set(steps) <= set(chains.history["step"].values)
    expected = chains.history["energy_mean"].sel(step=steps).mean("replica")
    np.testing.assert_allclose(list(curves["energy_mean"].values()), expected, rtol=1e-5)


def test_what_is_unknown_is_left_out(tmp_path):
    records = {"step": 6, "energy_mean": -2.5, "effective_sample_size": float("nan")}
    with TensorBoard(tmp_path) as board:
        board(Report(8, 20, 0.5, 0.0, None, -2.5, -3.25, 10.0, records))
        board(Report(9, 20, 0.5, 0.0, None, -2.5, -3.5, 10.0))
    assert written(tmp_path) == {"energy_mean": {6: -2.5}, "best_energy": {6: -3.25, 9: -3.5}}


def test_a_run_that_goes_on_continues_the_curves(tmp_path, monkeypatch):
    lehr.save_problem(PROBLEM, tmp_path / "problem.json")
    settings = [f"--set={name}={value}" for name, value in QUICK.items() if name != "progress"]
    asked = ["solve", str(tmp_path / "problem.json"), *settings, "--out", str(tmp_path / "run")]
    asked += ["--tensorboard", str(tmp_path / "board")]
    begun = TensorBoard.__call__

    def interrupted(board, report):
        begun(board, report)
        if report.step == 13:
            raise KeyboardInterrupt

    monkeypatch.setattr("lehr.plot.save_figures", lambda result, folder: [])
    with monkeypatch.context() as patch:
        patch.setattr(TensorBoard, "__call__", interrupted)
        assert CliRunner().invoke(app, asked).exit_code == 130
    assert list(written(tmp_path / "board")["free_energy"]) == list(range(13))
    again = [*asked[:-1], str(tmp_path / "board"), "--out", str(tmp_path / "new")]
    other = CliRunner().invoke(app, again)
    assert isinstance(other.exception, InputError)
    assert "must be a folder without events, but" in str(other.exception)
    goes_on = ["solve", "--resume", str(tmp_path / "run"), "--tensorboard", str(tmp_path / "board")]
    assert CliRunner().invoke(app, goes_on).exit_code == 0
    assert len(list((tmp_path / "board").iterdir())) == 2
    assert_curves(tmp_path / "board", lehr.Result.load(tmp_path / "run"), range(40))


def test_what_cannot_be_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="`tensorboard` must be a folder to write to, but: "):
        TensorBoard(tmp_path / "file")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'lehr\[tensorboard\]'"):
        TensorBoard(tmp_path / "new")
    assert not (tmp_path / "new").exists()
