"""Networks, and the samples of one network, dealt to several devices and processes: the same numbers as on one."""

import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import lehr
from enumeration import mixed_problem
from lehr import InputError
from lehr.optimise import NaturalGradient
from lehr.processes import join

DEVICES = """
import sys
from test_devices import begun, divided, field, glass, one, save, several

found = [glass(), *several()]
assert [result.device for result in found] == ["cpu x 4", "cpu x 3", "cpu x 3", "cpu x 3"], found
save(sys.argv[1], found)
found = [field(), *divided()]
assert [result.device for result in found] == ["cpu x 4"] * 5, found
save(sys.argv[2], found)

def interrupt():
    raise KeyboardInterrupt

begun(glass, sys.argv[3], interrupt)
begun(one, sys.argv[4], interrupt)
"""

# One of two processes with two devices each: on the command line, in Python, and interrupted in the second alone.
PROCESSES = """
import os, signal, sys
from pathlib import Path
from lehr.cli import app
from test_devices import begun, field, glass, refused, save

address, index, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
how = ["--distributed", f"{address},2,{index}", "--replicas", "4", "--steps", "20", "--samples", "8"]
app(["solve", str(folder / "glass.json"), *how, "--json", "--out", str(folder / "shell")], standalone_mode=False)
print("end", flush=True)
found = field()
assert found.device == "cpu x 4 in 2 processes", found.device
save(folder / f"found-{index}.npz", [found])
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
begun(glass, folder / "begun", lambda: index == 1 and os.kill(os.getpid(), signal.SIGINT))
refused("a multiple of the 2 processes, but there are 3 networks", replicas=3)
refused("The first process could not begin" if index else "but `.*` holds one", out=folder / "shell")
"""

GLASS = lehr.edwards_anderson((4, 5), seed=2)
SHORT = {"num_steps": 20, "num_final_samples": 8, "progress": False}
# In double precision no rounding decides a spin. The number of final samples is none that 4 divides.
EXACT = {"num_steps": 10, "num_samples": 24, "num_final_samples": 10, "dtype": "float64", "progress": False}
# By natural gradient whose steps have to be halved.
HALVED = NaturalGradient(clip=math.inf, most_divergence=1e-3)


def glass(**options: Any) -> lehr.Result:
    """Of four networks."""
    return lehr.solve(GLASS, **{"replicas": 4, **SHORT, **options})


def field() -> lehr.Result:
    """Of two networks, of which one goes down in the field and one up, with weights for every site, by natural
    gradient; samples are divided where each has two devices."""
    ends = {"transverse_field": (2.0, 0.25), "temperature": (1.6, 0.1), "optimiser": HALVED, "branches": 2}
    network = {"ansatz": "rnn1d", "ansatz_options": {"hidden": 5, "shared": False}}
    steps = {"num_warmup_steps": 3, "num_annealing_steps": 9, **{k: v for k, v in EXACT.items() if k != "num_steps"}}
    return lehr.solve(mixed_problem(6), "vqa", replicas=1, **ends, **network, **steps)


def several() -> list[lehr.Result]:
    """Of three problems side by side."""
    problems = [lehr.edwards_anderson((3, 3), seed=seed) for seed in (1, 2, 3)]
    return lehr.solve(problems, replicas=1, **{**SHORT, "num_steps": 10})


def one(**options: Any) -> lehr.Result:
    """Of one network, whose sites share the parameters, by natural gradient."""
    return lehr.solve(lehr.newman_moore(3), replicas=1, **{**EXACT, **options})


def divided() -> list[lehr.Result]:
    """Of one network, and of two problems, whose samples are divided among four devices."""
    tensorised = {"ansatz": "rnn2d", "ansatz_options": {"cell": "tensorised", "hidden": 5}, "optimiser": "adam"}
    problems = [lehr.edwards_anderson((2, 4), seed=seed) for seed in (1, 2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEHR_NATIVE", "0")  # the kernels of the linear ansatz leave samples undivided
        linear = lehr.solve(GLASS, replicas=1, symmetrise="flip", optimiser=HALVED, **EXACT)
    return [
        one(),
        linear,
        *lehr.solve(problems, replicas=1, **tensorised, **EXACT),
    ]


def begun(run: Callable[..., Any], out: str, interrupt: Callable[[], Any]) -> None:
    """A run that is interrupted after seven steps."""
    import_module("lehr.solve")._CHUNK_SECONDS = 0.0  # one step at a time
    with pytest.raises(KeyboardInterrupt):
        run(out=out, callback=lambda at: interrupt() if at.step == 7 else None)


def refused(reason: str, **options: Any) -> None:
    with pytest.raises(InputError, match=reason):
        glass(**options)


def arrays(result: lehr.Result) -> list[np.ndarray]:
    """What a run has left, to be compared."""
    curves = [result.history[name].values for name in result.history if name.endswith("free_energy")]
    return [result.samples, result.log_probs, result.best_spins, np.array(result.best_energy), *curves]


def save(file: str, results: list[lehr.Result]) -> None:
    np.savez(file, *[array for result in results for array in arrays(result)])


def assert_same(found: list[np.ndarray], results: list[lehr.Result], rtol: float = 1e-4) -> None:
    expected = [array for result in results for array in arrays(result)]
    assert len(found) == len(expected) >= 5 * len(results)
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=rtol, atol=rtol / 10)


def environment(num_devices: int) -> dict[str, str]:
    return {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # as in conftest.py
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }


@pytest.fixture(scope="module")
def alone() -> list[lehr.Result]:
    return [glass(), field()]


def test_networks_on_several_devices_are_those_of_one(tmp_path, alone):
    files = [tmp_path / name for name in ("networks.npz", "samples.npz", "networks", "samples")]
    subprocess.run([sys.executable, "-c", DEVICES, *files], env=environment(4), check=True)
    with np.load(files[0]) as found:
        assert_same(list(found.values()), [alone[0], *several()])
    goes_on_alone(files[2], alone[0])
    results = divided()
    with np.load(files[1]) as found:
        assert_same(list(found.values()), [alone[1], *results], rtol=1e-9)
    goes_on_alone(files[3], results[0], rtol=1e-9)


def goes_on_alone(out: Path, unbroken: lehr.Result, rtol: float = 1e-4) -> None:
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    assert [file.name for file in (out / "checkpoint").iterdir()] == ["step-000000007.npz"]
    assert_same(arrays(lehr.resume(out, progress=False)), [unbroken], rtol)


def test_two_processes_are_one(tmp_path, alone):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    lehr.save_problem(GLASS, tmp_path / "glass.json")
    command = [sys.executable, "-c", PROCESSES, address]
    running = [
        subprocess.Popen([*command, str(index), str(tmp_path)], env=environment(2), stdout=-1, stderr=-1, text=True)
        for index in (0, 1)
    ]
    try:
        told = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "\n".join(err for _, err in told)
    (first, _), (second, _) = told
    summary, *_ = first.partition("end\n")
    assert json.loads(summary)["num_samples"] == 4 * 8
    assert second.startswith("end\n")
    for index in (0, 1):
        with np.load(tmp_path / f"found-{index}.npz") as found:
            assert_same(list(found.values()), alone[1:])
    assert_same(arrays(lehr.Result.load(tmp_path / "shell")), alone[:1])
    goes_on_alone(tmp_path / "begun", alone[0])


@pytest.mark.parametrize("where", ["here", "node1:4321", "node1:4321,2", "node1,2,0", "node1:4321,2,-1", "a:1,2,0,0"])
def test_how_processes_join_is_one_clear_line(where):
    with pytest.raises(InputError, match=r"`distributed` must be auto or HOST:PORT,COUNT,INDEX, but it is '"):
        join(where)


def test_processes_that_find_no_others_are_one_clear_line(monkeypatch):
    def initialize(**options):
        raise ValueError(f"no\nothers {options}")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(InputError, match=r"with 'auto' it does not: no others \{\}\.$"):
        join("auto")
    with pytest.raises(InputError, match="'coordinator_address': 'a:1', 'num_processes': 3, 'process_id': 2"):
        join("a:1,3,2")
