"""The command line: one JSON object, exit codes, and never a traceback."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

import lehr
from enumeration import all_states, energies
from lehr import Result, load_problem
from lehr.cli import main
from test_result import SUMMARY_KEYS

CHAIN = 12
QUICK = ("--seed", 1, "--replicas", 2, "--samples", 25)  # one compiled program for all
# Arguments of `lehr.solve` that are no settings, and one that is nothing at all.
FOREIGN = ("problem", "out", "callback", "schedule", "progress", "preset", "history_every", "a[/b]")


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs `lehr ...` in this process, without the type checks of the tests: (exit code, stdout, stderr)."""
    jaxtyping.config.update("jaxtyping_disable", True)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lehr", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    yield run
    signal.signal(signal.SIGTERM, handler)
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts `lehr ...` as a process of its own; the processes share compiled programs."""
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiles in half the time
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def popen(*arguments):
        return subprocess.Popen([sys.executable, "-m", "lehr.cli", *map(str, arguments)], env=environment, **pipes)

    return popen


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    path = tmp_path_factory.mktemp("chain") / "chain.json"
    lehr.save_problem(lehr.random_chain(CHAIN, "uniform", seed=5), path)
    return path


@pytest.fixture(scope="module")
def solved(start, chain, tmp_path_factory):
    """One whole run: (folder, exit code, stdout, stderr)."""
    out = tmp_path_factory.mktemp("solved") / "run"
    process = start("solve", chain, *QUICK, "--steps", 300, "--out", out, "--json")
    stdout, stderr = process.communicate(timeout=300)
    return out, process.returncode, stdout, stderr


def assert_refused(answer, *parts, code=2):
    """One clear line on standard error, nothing on standard output, no traceback."""
    found, stdout, stderr = answer
    assert found == code, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert stderr.startswith("lehr: ")
    assert len(stderr.splitlines()) == 1
    for part in parts:
        assert part in stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["chain", "--size", 9, "--seed", 4], lambda: lehr.random_chain(9, seed=4)),
        (["chain", "--size", 9, "--couplings", "pm1"], lambda: lehr.random_chain(9, "pm1", seed=0)),
        (["ea", "--size", 4, "--seed", 3], lambda: lehr.edwards_anderson(4, seed=3)),
        (
            ["ea", "--size", "8x12", "--seed", 3, "--couplings", "gaussian", "--boundary", "periodic"],
            lambda: lehr.edwards_anderson((8, 12), "gaussian", boundary="periodic", seed=3),
        ),
        (["sk", "--size", 7, "--seed", 2], lambda: lehr.sherrington_kirkpatrick(7, seed=2)),
        (["wpe", "--size", 8, "--alpha", 0.5, "--seed", 1], lambda: lehr.wishart(8, 0.5, seed=1)),
        (["nm", "--size", 3], lambda: lehr.newman_moore((3, 3))),
        (["nm", "--size", "3X4"], lambda: lehr.newman_moore((3, 4))),
        (["ea", "--size", "2x3x4", "--seed", 3], lambda: lehr.edwards_anderson((2, 3, 4), seed=3)),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_generate(call, tmp_path, arguments, expected):
    path = tmp_path / "problem.json"
    code, stdout, stderr = call("generate", *arguments, "-o", path)
    assert (code, stdout) == (0, "")
    assert str(path) in stderr
    found, wanted = load_problem(path), expected()
    assert (found.num_spins, found.name, found.lattice) == (wanted.num_spins, wanted.name, wanted.lattice)
    assert found.ground_energy == wanted.ground_energy
    for a, b in zip(found.terms, wanted.terms, strict=True):
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_array_equal(a.coefficients, b.coefficients)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["chain", "--size", "4x4"], "`--size` must be one number for chain"),
        (["ea", "--size", "4x4x4x4"], "`--size` must be a number, or two or three joined by x"),
        (["nm", "--size", "4x4x4"], "`--size` must be a side or two for nm"),
        (["ea", "--size", "-4"], "`--size` must be"),
        (["ea", "--size", "0"], "must be"),
        (["ea", "--size", "four"], "`--size` must be"),
        (["sk", "--size", 5, "--couplings", "pm1"], "`--couplings` must be left out for sk"),
        (["chain", "--size", 5, "--boundary", "open"], "`--boundary` must be left out for chain"),
        (["nm", "--size", 3, "--alpha", 0.5], "`--alpha` must be left out for nm"),
        (["nm", "--size", 3, "--seed", 1], "`--seed` must be left out for nm"),
        (["sk", "--size", 99999999999], "`num_spins` must be at most 20000, so that it fits in memory"),
        (["chain", "--size", 99999999999], "`num_spins` must be at most 10000000"),
        (["ea", "--size", "4x99999999999"], "`shape` must have from 2 to 10000000 sites"),
        (["nm", "--size", 3163], "`shape` must have from 1 to 10000000 sites"),
        (["nm", "--size", 5000 * "9"], "`--size` must be"),
        (["wpe", "--size", 20000, "--alpha", 1.5], "`alpha` must be at most 1 for 20000 spins"),
        (["wpe", "--size", 8], "`--alpha` must be given for wpe"),
        (["wpe", "--size", 8, "--alpha", "nan"], "alpha"),
        (["ea", "--size", 4, "--couplings", "cauchy"], "cauchy"),
        (["ea", "--size", 4, "--boundary", "twisted"], "twisted"),
        (["ea", "--size", 4, "--seed", -1], "seed"),
        (["ea", "--size", 4, "--format", "csv"], "`format` must be one of"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_generate_refuses(call, tmp_path, arguments, part):
    assert_refused(call("generate", *arguments, "-o", tmp_path / "p.json"), part)
    assert list(tmp_path.iterdir()) == []


def test_generate_refuses_paths(call, tmp_path):
    size = ("generate", "sk", "--size", 4)
    assert_refused(call(*size, "-o", tmp_path / "problem.xyz"), "`format` must be given")
    assert_refused(call(*size, "-o", tmp_path / "missing" / "p.json"), "cannot be written")
    assert_refused(call(*size, "-o", tmp_path, "--format", "json"), "cannot be written")


def test_solve_prints_one_json_object(solved, chain):
    _, code, stdout, stderr = solved
    assert code == 0, stderr
    assert len(stdout.splitlines()) == 1
    summary = json.loads(stdout)
    assert list(summary) == SUMMARY_KEYS
    assert list(summary["problem"]) == ["name", "num_spins"]
    assert sorted(summary["seconds"]) == ["compile", "sample", "train"]
    problem = load_problem(chain)
    exact = energies(problem)
    assert summary["best_energy"] == pytest.approx(exact.min(), rel=1e-12)
    assert summary["ground_energy"] == pytest.approx(exact.min(), rel=1e-12)
    best = np.array(summary["best_spins"])
    np.testing.assert_array_equal(np.abs(best @ all_states(CHAIN)[exact.argmin()]), CHAIN)  # up to a global flip
    residual = (summary["mean_energy"] - exact.min()) / CHAIN
    assert summary["residual_per_spin"] == pytest.approx(residual, abs=1e-12)
    assert (summary["method"], summary["seed"], summary["gradient_steps"]) == ("vca", 1, 300)
    assert summary["num_samples"] == 25 * 2
    assert summary["problem"] == {"name": problem.name, "num_spins": CHAIN}
    assert summary["version"] == lehr.__version__


def test_two_branches(call, chain, tmp_path):
    settings = ("--method", "vqa", "--set", "branches=2", "--steps", 40, "--field", 2, 0.1, "--temperature", 1, 0.1)
    code, stdout, stderr = call("solve", chain, *QUICK, *settings, "--json", "--out", tmp_path / "run")
    assert code == 0, stderr
    assert list(json.loads(stdout)) == SUMMARY_KEYS
    assert json.loads(stdout)["num_samples"] == 25 * 2
    history = Result.load(tmp_path / "run").history
    assert history["up_field"].values[0, 0] == pytest.approx(0.1)
    assert history["up_temperature"].values[0, 0] == pytest.approx(1.0)


def test_solve_keeps_everything_in_its_folder(solved):
    out, _, stdout, stderr = solved
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    expected = ["figures/run.png", "history.nc", "problem.json", "run.json", "samples.nc"]
    assert [name for name in files if not name.startswith("checkpoint/")] == expected
    assert any(name.startswith("checkpoint/step-") for name in files)
    result = Result.load(out)
    assert json.dumps(result.summary()) == stdout.strip()
    assert stderr.splitlines() == [f"picture: {out / 'figures' / 'run.png'}"]  # no bar where there is no terminal


def test_resume_of_a_complete_run_prints_it(call, solved):
    out, _, stdout, _ = solved
    assert call("solve", "--resume", out, "--json")[:2] == (0, stdout)
    code, text, _ = call("solve", "--resume", out)
    assert code == 0
    assert text.startswith(f"{load_problem(out / 'problem.json').name}: 12 spins, method vca, seed 1\n")


def test_several_results_are_one_json_object(call, solved, monkeypatch):
    out = solved[0]
    result = Result.load(out)
    monkeypatch.setattr(sys.modules["lehr.solve"], "resume", lambda *arguments, **options: [result, result])
    code, stdout, _ = call("solve", "--resume", out, "--json")
    assert (code, len(stdout.splitlines())) == (0, 1)
    assert json.loads(stdout) == {"results": [result.summary()] * 2}


def test_refine_goes_on_from_a_run_and_keeps_it_apart(call, solved, tmp_path):
    before = json.loads(solved[2])
    out = tmp_path / "run"
    shutil.copytree(solved[0], out)
    code, stdout, stderr = call("solve", "--resume", out, "--refine", "--json")
    assert code == 0, stderr
    after = json.loads(stdout)
    assert after["unrefined_best_energy"] == before["best_energy"] >= after["best_energy"]
    assert after["mean_energy"] == before["mean_energy"]
    assert after["spin_updates"] > before["spin_updates"]
    assert Result.load(out).summary() == after


def test_warnings_are_told_beside_the_json(call, solved, monkeypatch):
    result = Result.load(solved[0])
    energies = np.array([result.best_energy, result.best_energy + 1])
    unsure = replace(result, problem=unsolved(result.problem), replica_best_energies=energies)
    monkeypatch.setattr(sys.modules["lehr.solve"], "resume", lambda *arguments, **options: unsure)
    (line,) = unsure.warnings
    code, stdout, stderr = call("solve", "--resume", solved[0], "--json")
    assert (code, stderr.splitlines()[0]) == (0, f"warning: {line}")
    assert json.loads(stdout)["warnings"] == [line]
    code, stdout, stderr = call("solve", "--resume", solved[0])
    assert stdout.splitlines()[-1].endswith(line)
    assert line not in stderr


def unsolved(problem):
    return lehr.Problem(problem.num_spins, [(t.indices, t.coefficients) for t in problem.terms])


def test_interrupt_leaves_a_checkpoint_and_resume_finishes(start, chain, tmp_path):
    out = tmp_path / "run"
    command = ("solve", chain, *QUICK, "--steps", 8000, "--out", out)
    process = start(*command, "--checkpoint-seconds", 0)
    try:
        deadline = time.monotonic() + 240
        while not list(out.glob("checkpoint/step-*.npz")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        # A shell's background jobs ignore Ctrl-C, and so does what they start; SIGTERM is answered alike.
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        process.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert_refused((process.returncode, stdout, stderr), "Interrupted", "--resume", code=130)
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    last = max(out.glob("checkpoint/step-*.npz"))
    assert 0 < int(last.stem.split("-")[1]) < 8000

    process = start("solve", "--resume", out, "--json")
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["gradient_steps"] == 8000
    assert (out / "figures" / "run.png").exists()


def test_divergence_is_one_line(start, chain, tmp_path):
    out = tmp_path / "run"
    process = start("solve", chain, *QUICK, "--set", "learning_rate=1e38", "--out", out)
    stdout, stderr = process.communicate(timeout=240)
    assert_refused((process.returncode, stdout, stderr), "non-finite at step", "try a tenth of it", str(out), code=1)


def test_internal_failure_is_one_line(call, chain, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(sys.modules["lehr.solve"], "solve", fail)
    assert_refused(call("solve", chain), "RuntimeError: first line second line", "LEHR_TRACEBACK=1", code=1)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--preset", "none"], "`preset` must be one of a-chain-vca"),
        (["--ansatz", "transformer"], "`ansatz` must be one of auto, linear"),
        (["--ansatz", "rnn2d"], "needs a two-dimensional lattice"),
        (["--steps", 0], "`num_steps` must be an integer of at least 1"),
        (["--samples", 0], "`num_final_samples` must be an integer of at least 1"),
        (["--replicas", -3], "`replicas` must be an integer of at least 1"),
        (["--seed", -1], "`seed` must be an integer of at least 0"),
        (["--seed", 2**70], "`seed` must be an integer of at least 0"),
        (["--temperature", 1, "nan"], "`temperature` must be"),
        (["--temperature", -1, 0], "`temperature` must be"),
        (["--temperature", 1, 0], "`temperature` must be finite and above 0"),
        (["--method", "vqa", "--field", 1, "inf"], "`transverse_field` must be"),
        (["--set", "branches=2"], "`branches` must be 1 for vca, which has no field, but it is 2"),
        (["--method", "vqa", "--set", "branches=up"], "`branches` must be an integer of at least 1 and at most 2"),
        (["--set", "learning_rate"], "`--set` must look like NAME=VALUE"),
        (["--set", "=3"], "`--set` must look like NAME=VALUE"),
        (["--set", "rate=3"], "`rate` must be a setting"),
        *[(["--set", f"{name}=1"], f"`{name}` must be a setting") for name in FOREIGN],
        (["--set", "method=null"], "`method` must be one of"),
        (["--set", "ansatz=[1]"], "`ansatz` must be one of"),
        (["--set", "seed=" + 5000 * "9"], "`seed` must be an integer"),
        (["--ansatz", "rnn1d", "--set", 'ansatz_options={"activation": "step"}'], "`activation` must be a function or"),
        (["--ansatz", "rnn1d", "--set", 'ansatz_options={"hidden": 2.5}'], "`hidden` must be an integer"),
        (["--set", "learning_rate=fast"], "`learning_rate` must be positive and finite"),
        (["--set", "learning_rate=null"], "`learning_rate` must be positive and finite"),
        (["--set", "learning_rate=NaN"], "`learning_rate` must be positive and finite"),
        (["--set", "temperature=5"], "`temperature` must be two finite numbers"),
        (["--set", "num_samples=1e3"], "`num_samples` must be an integer"),
        (["--set", "normalise=perhaps"], "`normalise` must be true or false"),
        (["--set", "ansatz_options=[1]"], "`ansatz_options` must be a mapping"),
        (["--set", 'ansatz_options={"width": 3}'], "`ansatz_options` must hold options of"),
        (["--set", "dtype=float16"], "`dtype` must be one of"),
        (["--format", "csv"], "`format` must be one of"),
        (["--resume", "x"], "`--resume` must stand without FILE"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_solve_refuses(call, chain, arguments, part):
    assert_refused(call("solve", chain, *arguments), part)


def test_solve_refuses_files(call, solved, chain, tmp_path):
    assert_refused(call("solve"), "`FILE` must be given, unless --resume is")
    assert_refused(call("solve", tmp_path / "missing.json"), "missing.json")
    assert_refused(call("solve", tmp_path), str(tmp_path))
    for name, content in {
        "half.json": b'{"a"',
        "x.bqm": b"DIMODBQM\x01",
        "x.txt": b"1 2 3\n",
        "null.json": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert_refused(call("solve", tmp_path / name), name)
    assert_refused(call("solve", chain, "--out", solved[0]), "`out` must be a folder without a run")
    assert_refused(call("solve", chain, "--out", chain), "`out` must be a folder")
    assert_refused(call("solve", "--resume", tmp_path), "run.json")
    assert_refused(call("solve", "--resume", tmp_path / "missing"), "run.json")
    for other in (["--steps", 3], ["--out", tmp_path / "o"], ["--preset", "b-vca"], ["--set", "seed=1"]):
        assert_refused(call("solve", "--resume", solved[0], *other), "`--resume` must stand without FILE")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["anneal"], "anneal"),
        (["generate", "chain", "--size", "4"], "--output"),
        (["generate", "chain", "-o", "x.json"], "--size"),
        (["generate", "potts", "--size", "4", "-o", "x.json"], "potts"),
        (["generate", "chain", "--size", "4", "--seed", "one", "-o", "x.json"], "--seed"),
        (["solve", "x.json", "--method", "adiabatic"], "adiabatic"),
        (["solve", "x.json", "--temperature", "1"], "--temperature"),
        (["solve", "x.json", "--speed", "9"], "--speed"),
        (["info", "more"], "more"),
    ],
    ids=" ".join,
)
def test_usage_errors(call, arguments, part):
    code, stdout, stderr = call(*arguments)
    assert (code, stdout) == (2, "")
    assert part in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("command", [[], ["generate"], ["solve"], ["info"]])
def test_help(call, command):
    code, stdout, stderr = call(*command, "--help")
    assert (code, stderr) == (0, "")
    assert "Usage: lehr" in stdout


def test_info(call):
    code, stdout, stderr = call("info", "--json")
    assert (code, stderr, len(stdout.splitlines())) == (0, "", 1)
    facts = json.loads(stdout)
    assert facts["version"] == lehr.__version__
    assert list(facts["presets"]) == list(lehr.PRESETS)
    assert facts["devices"]
    assert facts["kernels"]["active"]
    code, text, _ = call("info")
    assert code == 0
    assert all(name in text for name in lehr.PRESETS)
    assert lehr.__version__ in text


def test_the_command_is_installed():
    command = Path(sys.executable).with_name("lehr")
    if not command.exists():
        pytest.skip("lehr is not installed beside this Python")
    answer = subprocess.run([command, "solve", "missing.json"], capture_output=True, text=True, timeout=120)
    assert_refused((answer.returncode, answer.stdout, answer.stderr), "missing.json")
