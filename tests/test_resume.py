"""A run that was killed, interrupted or damaged goes on to the same bits as one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import optax
import pytest

from enumeration import mixed_problem
from lehr import InputError, Result, resume, solve
from product import Product

PROBLEM = mixed_problem(6)
ANSATZ = Product(6)
STEPS = 60
QUICK = {"num_steps": STEPS, "num_samples": 16, "num_final_samples": 20, "replicas": 2, "seed": 3}

# What is killed: it starts the run in the folder of its first argument, or goes on with it.
RUNNER = """
import sys
from importlib import import_module
from pathlib import Path

import lehr
from enumeration import mixed_problem
from product import Product

import_module("lehr.solve")._CHUNK_SECONDS = 0.0  # one step, one checkpoint
folder = Path(sys.argv[1])
often = {"ansatz": Product(6), "checkpoint_seconds": 0.0}
if (folder / "run.json").exists():
    lehr.resume(folder, **often)
else:
    settings = {"num_samples": 16, "num_final_samples": 20, "replicas": 2, "seed": 3}
    lehr.solve(mixed_problem(6), num_steps=int(sys.argv[2]), out=folder, **settings, **often)
"""


def newest(folder: Path) -> int:
    """Step of the newest checkpoint, -1 where there is none."""
    steps = [int(path.stem.split("-")[1]) for path in (folder / "checkpoint").glob("step-*.npz")]
    return max(steps, default=-1)


def assert_same_bits(folder: Path, unbroken: Path) -> None:
    """Parameters (and all else that moves), history and samples."""
    assert newest(folder) == newest(unbroken)
    last = f"checkpoint/step-{newest(unbroken):09d}.npz"
    with np.load(folder / last) as a, np.load(unbroken / last) as b:
        assert sorted(a) == sorted(b)
        assert any(name.startswith("leaf-") for name in a)
        for name in a:
            if name != "manifest":  # holds the seconds
                assert (a[name].dtype, a[name].shape, a[name].tobytes()) == (
                    b[name].dtype,
                    b[name].shape,
                    b[name].tobytes(),
                )
    assert_same_results(Result.load(folder), Result.load(unbroken))


def assert_same_results(a: Result, b: Result) -> None:
    assert a.history.identical(b.history)
    np.testing.assert_array_equal(a.samples, b.samples)
    np.testing.assert_array_equal(a.log_probs, b.log_probs)
    np.testing.assert_array_equal(a.best_spins, b.best_spins)
    assert (a.best_energy, a.gradient_steps) == (b.best_energy, b.gradient_steps)


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """Starts the runner: a process of its own, with compiled programs shared between its lives."""
    folder = tmp_path_factory.mktemp("runner")
    script = folder / "runner.py"
    script.write_text(RUNNER)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiles in half the time
    }

    def start(out: Path, num_steps: int) -> subprocess.Popen:
        command = [sys.executable, str(script), str(out), str(num_steps)]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    return start


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments(kills, runner, tmp_path):
    num_steps = 100 * kills
    straight = runner(tmp_path / "unbroken", num_steps)
    _, errors = straight.communicate(timeout=300)
    assert straight.returncode == 0, errors

    rng = np.random.default_rng(20221)
    out = tmp_path / "killed"
    died_at = []
    for target in np.sort(rng.integers(0, num_steps - 20, kills)):
        process = runner(out, num_steps)
        try:
            while newest(out) < target and process.poll() is None:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == -signal.SIGKILL, errors
        assert json.loads((out / "run.json").read_text())["status"] == "running"
        died_at.append(newest(out))
    assert sorted(died_at) == died_at
    assert len(set(died_at)) > kills / 2
    assert max(died_at) < num_steps
    last = runner(out, num_steps)
    _, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert_same_bits(out, tmp_path / "unbroken")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    solve(PROBLEM, ansatz=ANSATZ, out=out, **QUICK)
    return out


@pytest.fixture
def _single_steps(monkeypatch):
    monkeypatch.setattr(import_module("lehr.solve"), "_CHUNK_SECONDS", 0.0)


def interrupt_at(step):
    def callback(report):
        if report.step >= step:
            raise KeyboardInterrupt

    return callback


def interrupted(out: Path, step: int, **options) -> None:
    with pytest.raises(KeyboardInterrupt):
        solve(PROBLEM, out=out, callback=interrupt_at(step), **{"ansatz": ANSATZ, **QUICK, **options})
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    assert newest(out) == step


@pytest.mark.usefixtures("_single_steps")
@pytest.mark.parametrize("step", [1, 23, STEPS - 1])
def test_interrupt_and_resume(step, unbroken, tmp_path):
    interrupted(tmp_path / "run", step)
    again = [step] if step != 23 else [step, 24, 40]
    for later in again[1:]:
        with pytest.raises(KeyboardInterrupt):
            resume(tmp_path / "run", ansatz=ANSATZ, callback=interrupt_at(later))
        assert newest(tmp_path / "run") == later
    result = resume(tmp_path / "run", ansatz=ANSATZ)
    assert_same_bits(tmp_path / "run", unbroken)
    assert_same_results(result, Result.load(unbroken))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "complete"


@pytest.mark.usefixtures("_single_steps")
@pytest.mark.parametrize("moment", ["compile", "draw"])
def test_interrupt_outside_the_training(moment, unbroken, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("lehr.batch").Batch, moment, stop)
        with pytest.raises(KeyboardInterrupt):
            solve(PROBLEM, ansatz=ANSATZ, out=tmp_path / "run", **QUICK)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    resume(tmp_path / "run", ansatz=ANSATZ)
    assert_same_bits(tmp_path / "run", unbroken)


@pytest.mark.usefixtures("_single_steps")
@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty"])
def test_damaged_checkpoint(damage, unbroken, tmp_path):
    out = tmp_path / "run"
    interrupted(out, 30, checkpoint_seconds=0.0)
    path = max((out / "checkpoint").glob("step-*.npz"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes({"truncated": content[: len(content) // 2], "one bit": content, "empty": b""}[damage])
    seen = []
    with pytest.warns(UserWarning, match=r"step-000000030.npz` is damaged .*; step-000000029.npz is used"):
        resume(out, ansatz=ANSATZ, callback=lambda report: seen.append(report.step))
    assert seen[0] == 30
    assert_same_bits(out, unbroken)


@pytest.mark.usefixtures("_single_steps")
def test_all_checkpoints_damaged(tmp_path):
    interrupted(tmp_path / "run", 5)
    for path in (tmp_path / "run" / "checkpoint").glob("step-*.npz"):
        path.write_bytes(b"rubbish")
    with pytest.raises(InputError, match="must hold an intact checkpoint, but it does not"):
        resume(tmp_path / "run", ansatz=ANSATZ)


def test_a_run_without_checkpoint_begins_again(unbroken, tmp_path):
    out = tmp_path / "run"
    solve(PROBLEM, ansatz=ANSATZ, out=out, **QUICK)
    for path in (out / "checkpoint").iterdir():
        path.unlink()
    run = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**run, "status": "running"}))
    resume(out, ansatz=ANSATZ)
    assert_same_bits(out, unbroken)


def test_complete_run_is_read(unbroken):
    before = {path: path.read_bytes() for path in unbroken.rglob("*") if path.is_file()}
    assert_same_results(resume(unbroken), Result.load(unbroken))
    assert {path: path.read_bytes() for path in unbroken.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("_single_steps")
def test_several_problems(tmp_path):
    """A stack resumes as a list, whole again; thinning and the callback's early stop are kept."""
    problems = [PROBLEM, mixed_problem(6, seed=8)]
    options = {**QUICK, "ansatz": ANSATZ, "replicas": 1, "history_every": 4}
    straight = solve(problems, out=tmp_path / "unbroken", **options)
    with pytest.raises(KeyboardInterrupt):
        solve(problems, out=tmp_path / "run", callback=interrupt_at(17), **options)
    results = resume(tmp_path / "run", ansatz=ANSATZ)
    loaded = resume(tmp_path / "run")
    for a, b, c in zip(results, straight, loaded, strict=True):
        assert_same_results(a, b)
        assert_same_results(c, b)
        np.testing.assert_array_equal(a.history["step"], np.arange(0, STEPS, 4))


@pytest.mark.usefixtures("_single_steps")
def test_custom_objects_are_asked_for_again(tmp_path):
    out = tmp_path / "run"
    interrupted(out, 3)
    with pytest.raises(InputError, match=r"`ansatz` must be given again, but the run in .* was started otherwise"):
        resume(out)
    with pytest.raises(InputError, match="`optimiser` must be left out"):
        resume(out, ansatz=ANSATZ, optimiser=optax.adam(1e-2))
    with pytest.raises(InputError, match=r"must have as many spins as the problem, 6, but it has 5"):
        resume(out, ansatz=Product(5))


def test_folders_that_hold_no_run(unbroken, tmp_path):
    with pytest.raises(InputError, match=r"run.json` must be readable JSON"):
        resume(tmp_path / "missing")
    run = json.loads((unbroken / "run.json").read_text())
    bad = [
        ({}, "describes none"),
        ({**run, "version": "0.0.1"}, r"must hold a run of Lehr .*, but its version is 0.0.1"),
        ({**run, "spec": {}}, "describes none"),
        ({**run, "spec": [1]}, "describes none"),
        *(({**run, "spec": {**run["spec"], name: None}}, "describes none") for name in run["spec"]),
        ({**run, "status": "running", "spec": {**run["spec"], "settings": {"seed": -1}}}, "`seed` must be an integer"),
        ({**run, "status": "running", "spec": {**run["spec"], "settings": {"rm": 1}}}, "`rm` must be a setting"),
        ({**run, "status": "running"}, r"problem.json"),
    ]
    for number, (content, message) in enumerate(bad):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=message):
            resume(folder, ansatz=ANSATZ)
    (tmp_path / "0" / "run.json").write_text("{")
    with pytest.raises(InputError, match="must be readable JSON"):
        resume(tmp_path / "0")
