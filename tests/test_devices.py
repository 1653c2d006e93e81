"""Networks dealt to several devices and processes: the same numbers as on one."""

import json
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
from lehr.processes import join
from product import Product

DEVICES = """
import sys
from test_devices import begun, field, glass, save, several

found = [glass(), field(), *several()]
devices = [result.device for result in found]
assert devices == ["cpu x 4", "cpu x 2", "cpu x 2", "cpu x 3", "cpu x 3", "cpu x 3"], devices
save(sys.argv[1], found)

def interrupt():
    raise KeyboardInterrupt

begun(sys.argv[2], interrupt)
"""

# One of two processes with two devices each: on the command line, in Python, and interrupted in the second alone.
PROCESSES = """
import os, signal, sys
from pathlib import Path
from lehr.cli import app
from test_devices import begun, field, refused, save

address, index, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
how = ["--distributed", f"{address},2,{index}", "--replicas", "4", "--steps", "20", "--samples", "8"]
app(["solve", str(folder / "glass.json"), *how, "--json", "--out", str(folder / "shell")], standalone_mode=False)
print("end", flush=True)
found = field()
assert found.device == "cpu x 2 in 2 processes", found.device
save(folder / f"found-{index}.npz", [found])
begun(folder / "begun", lambda: index == 1 and os.kill(os.getpid(), signal.SIGINT))
refused("a multiple of the 2 processes, but there are 3 networks", replicas=3)
refused("The first process could not begin" if index else "but `.*` holds one", out=folder / "shell")
"""

GLASS = lehr.edwards_anderson((4, 5), seed=2)
SHORT = {"num_steps": 20, "num_final_samples": 8, "progress": False}


def glass(**options: Any) -> lehr.Result:
    """Of four networks."""
    return lehr.solve(GLASS, **{"replicas": 4, **SHORT, **options})


def field() -> lehr.Result:
    """Of two networks, of which one goes down in the field and one up."""
    ends = {"transverse_field": (2.0, 0.25), "temperature": (1.6, 0.1), "optimiser": "adam"}
    steps = {"num_warmup_steps": 4, "num_annealing_steps": 16, "num_final_samples": 8, "progress": False}
    return lehr.solve(mixed_problem(6), "vqa", ansatz=Product(6), branches=2, replicas=1, **ends, **steps)


def several() -> list[lehr.Result]:
    """Of two recurrent networks, and of three problems side by side."""
    model = lehr.solve(lehr.newman_moore(3), replicas=2, **{**SHORT, "num_steps": 10})
    problems = [lehr.edwards_anderson((3, 3), seed=seed) for seed in (1, 2, 3)]
    return [model, *lehr.solve(problems, replicas=1, **{**SHORT, "num_steps": 10})]


def begun(out: str, interrupt: Callable[[], Any]) -> None:
    """The run of four networks, interrupted after seven steps."""
    import_module("lehr.solve")._CHUNK_SECONDS = 0.0  # one step at a time
    with pytest.raises(KeyboardInterrupt):
        glass(out=out, callback=lambda at: interrupt() if at.step == 7 else None)


def refused(reason: str, **options: Any) -> None:
    with pytest.raises(InputError, match=reason):
        glass(**options)


def arrays(result: lehr.Result) -> list[np.ndarray]:
    """What a run has left, to be compared."""
    curves = [result.history[name].values for name in result.history if name.endswith("free_energy")]
    return [result.samples, result.log_probs, result.best_spins, np.array(result.best_energy), *curves]


def save(file: str, results: list[lehr.Result]) -> None:
    np.savez(file, *[array for result in results for array in arrays(result)])


def assert_same(found: list[np.ndarray], results: list[lehr.Result]) -> None:
    expected = [array for result in results for array in arrays(result)]
    assert len(found) == len(expected) >= 5 * len(results)
    for one, array in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, array, rtol=1e-4, atol=1e-5)


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
    file, out = tmp_path / "found.npz", tmp_path / "begun"
    subprocess.run([sys.executable, "-c", DEVICES, file, out], env=environment(4), check=True)
    with np.load(file) as found:
        assert_same(list(found.values()), [*alone, *several()])
    goes_on_alone(out, alone[0])


def goes_on_alone(out: Path, unbroken: lehr.Result) -> None:
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    assert [file.name for file in (out / "checkpoint").iterdir()] == ["step-000000007.npz"]
    assert_same(arrays(lehr.resume(out, progress=False)), [unbroken])


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
