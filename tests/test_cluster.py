"""Tasks on a Ray cluster: the numbers of this process, and nothing lost or done twice when a node dies."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from typer.main import get_command
from typer.testing import CliRunner

from lehr import InputError
from lehr.baseline.walkers import num_threads
from lehr.cli import app
from lehr.cluster import on_ray
from lehr.sweep import read_spec, sweep
from lehr.tasks import in_turn, run_tasks

# Ray starts its servers by forking, which JAX warns of once it has threads: nothing of JAX runs in the children.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")

DOCS = Path(__file__).parent.parent / "docs"
SPEC = """
[[problem]]
family = "ea"
size = "2x3"
seed = [5, 2]
[grid]
method = "vca"
ansatz = "linear"
num_steps = [6, 3]
num_samples = 8
num_final_samples = 10
replicas = 3
seed = [3, 1]
"""
SECONDS = {"startup_seconds", "train_seconds", "sample_seconds", "run_seconds", "seconds_per_run"}


@pytest.fixture(scope="module")
def cluster():
    """A head that runs no tasks, and one node that does."""
    utilities = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # as in conftest.py
        found = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        found.add_node(num_cpus=1)
        yield found
        found.shutdown()


@pytest.fixture(scope="module")
def engine(cluster):
    with on_ray(cluster.address) as found:
        yield found


def lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def test_a_node_that_dies_loses_nothing_and_repeats_nothing(cluster, engine, tmp_path):
    """The task that waits at the gate is begun again elsewhere; all others, before and after it, are done once."""
    begun, gate, folder = tmp_path / "begun", tmp_path / "gate", tmp_path / "tasks"
    nodes = [*cluster.worker_nodes, cluster.add_node(num_cpus=1)]
    doomed = []

    def measure(number):
        import ray

        node = ray.get_runtime_context().get_node_id()
        with begun.open("a") as file:
            file.write(f"{number}:{node}:{os.getpid()}\n")
        while number == 4 and not gate.exists():
            time.sleep(0.05)
        return xr.Dataset({"square": number**2, "curve": ("t", np.arange(3) * number)})

    def report(step):
        waiting = [line.split(":")[1:] for line in lines(begun) if line.startswith("4:")]
        if step.number >= 6 and waiting and not doomed:
            ((of, process),) = waiting
            doomed.append(of)
            (node,) = [one for one in nodes if one.node_id == of]
            cluster.remove_node(node, allow_graceful=False)
            os.kill(int(process), signal.SIGKILL)
            gate.touch()

    axes = {"number": list(range(12))}
    outcome = run_tasks(axes, measure, folder, {}, report=report, engine=engine)
    assert outcome.failures == []
    np.testing.assert_array_equal(outcome.data["square"], np.arange(12) ** 2)
    np.testing.assert_array_equal(outcome.data["curve"][:, 2], 2 * np.arange(12))
    runs = [line.split(":") for line in lines(begun)]
    counts = {number: sum(run[0] == str(number) for run in runs) for number in range(12)}
    assert counts == {number: 2 if number == 4 else 1 for number in range(12)}
    (first, second) = [node for number, node, _ in runs if number == "4"]
    assert [first] == doomed != [second]
    if len(cluster.worker_nodes) < 1:
        cluster.add_node(num_cpus=1)
    assert run_tasks(axes, measure, folder, {}, engine=engine).data.identical(outcome.data)
    assert len(lines(begun)) == 13


def test_the_numbers_are_those_of_this_process(cluster, engine, tmp_path, monkeypatch):
    monkeypatch.setattr("lehr.sweep.run._drawn", lambda data, stem: [])
    (tmp_path / "small.toml").write_text(SPEC)
    here = sweep(tmp_path / "small.toml", tmp_path / "here").data
    asked = ["sweep", str(tmp_path / "small.toml"), "--engine", "ray", "--address", cluster.address]
    done = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "there"), "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["failures"] == []
    there = xr.load_dataset(tmp_path / "there" / "sweep.nc", engine="h5netcdf")
    assert set(there.variables) == set(here.variables)
    compared = [name for name in here.variables if name not in SECONDS and not name.startswith("time_to_solution")]
    assert len(compared) > 30
    for name in compared:
        np.testing.assert_array_equal(there[name].values, here[name].values, err_msg=name)
    assert there.attrs["spec"] == here.attrs["spec"]


@pytest.fixture
def interruptible():
    """A shell's background jobs ignore Ctrl-C, and so does what they start."""
    given = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, given)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_keeps_what_has_ended_and_cancels_the_rest(engine, tmp_path):
    import ray

    def measure(number):
        (tmp_path / f"begun-{number}").touch()
        while number == 3:
            time.sleep(0.05)
        return xr.Dataset({"square": number**2})

    def interrupt():
        while not (tmp_path / "begun-3").exists():
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    steps = []
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_tasks({"number": [1, 2, 3, 4]}, measure, tmp_path / "tasks", {}, report=steps.append, engine=engine)
    assert [step.point["number"] for step in steps] == [1, 2]
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0) < 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ray.available_resources().get("CPU", 0) == 1  # that of the task which was cancelled
    assert not (tmp_path / "begun-4").exists()

    tasks = engine(measure, [{"number": number} for number in (5, 6, 7)])
    assert next(tasks).answer["square"] == 25
    while not (tmp_path / "begun-7").exists():
        time.sleep(0.05)
    time.sleep(0.5)
    assert tasks.throw(KeyboardInterrupt).answer["square"] == 36
    assert next(tasks).answer["square"] == 49
    with pytest.raises(KeyboardInterrupt):
        next(tasks)


def test_a_task_keeps_to_its_share(engine, tmp_path, monkeypatch):
    def measure(of):
        devices = len(jax.devices())
        names = [Path(f"/proc/self/task/{thread}/comm").read_text() for thread in os.listdir("/proc/self/task")]
        xla = sum(name.startswith("tf_XLAEigen") for name in names)
        return xr.Dataset({"xla": xla, "chains": num_threads(), "process": os.getpid(), "devices": devices})

    def failing(of):
        raise ValueError("no luck")

    data = run_tasks({"of": [1, 2]}, measure, tmp_path, {}, engine=engine).data
    tried = list(engine(failing, [{"of": 1}]))
    assert data["xla"].values.tolist() == data["chains"].values.tolist() == data["devices"].values.tolist() == [1, 1]
    assert data["process"][0] == data["process"][1] != os.getpid()
    assert [(one.answer, one.failure) for one in tried] == [(None, "ValueError: no luck")]
    told = []
    monkeypatch.setattr(warnings, "warn", lambda message, **options: told.append(message))  # Ray's threads filter, too
    for cpus in (1.0, 99.0):
        with on_ray(cpus=cpus):
            pass
    assert told == ["No node of the cluster has 99 CPUs and 0 GPUs for a task: all wait for one that has."]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"address": "127.0.0.1:1"}, "`address` must be that of a Ray cluster, but at '127.0.0.1:1' none answers"),
        ({"address": "nonsense"}, "at 'nonsense' none answers: no address"),
        ({"cpus": 0.0}, "`cpus` must be above 0, but it is 0.0"),
        ({"gpus": -1.0}, "`gpus` must be at least 0, but it is -1.0"),
        ({"gpus": float("nan")}, "`gpus` must be at least 0"),
    ],
)
def test_what_cannot_be_is_one_clear_line(options, part, monkeypatch):
    def init(**options):
        raise ValueError("no\naddress")

    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError) as caught, on_ray(**options):
        pass
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_recipes_are_what_their_readers_take(tmp_path):
    """Shell and YAML, with commands and options that exist, and a spec that can be read."""
    yaml = pytest.importorskip("yaml")
    subprocess.run(["bash", "-n", DOCS / "clusters" / "sweep.sbatch"], check=True)
    spec, job = yaml.safe_load_all((DOCS / "clusters" / "sweep.yaml").read_text())
    (tmp_path / "spec.toml").write_text(spec["data"]["ea10.toml"])
    assert len(read_spec(tmp_path / "spec.toml").settings) == 6
    assert (spec["kind"], job["kind"], job["apiVersion"]) == ("ConfigMap", "RayJob", "ray.io/v1")
    head, *workers = [
        job["spec"]["rayClusterSpec"]["headGroupSpec"],
        *job["spec"]["rayClusterSpec"]["workerGroupSpecs"],
    ]
    assert head["template"]["spec"]["volumes"][0]["configMap"]["name"] == spec["metadata"]["name"]
    assert [len(group["template"]["spec"]["containers"]) for group in (head, *workers)] == [1, 1]
    texts = [(DOCS / name).read_text() for name in ("clusters.md", "clusters/sweep.sbatch")]
    shown = [
        line for text in texts for line in re.findall(r"^(?:srun .*?)?(lehr .*?)(?:  +#.*| &)?$", text, re.MULTILINE)
    ]
    shown.append(job["spec"]["entrypoint"])
    assert len(shown) >= 10
    commands = get_command(app).commands
    for _, name, *words in map(shlex.split, shown):
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, words


def test_without_ray_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'lehr\[ray\]'"), on_ray():
        pass


def test_nothing_but_the_answer_is_on_standard_output(tmp_path, monkeypatch):
    """Ray prints there what befalls nodes."""

    @contextmanager
    def chatty(**options):
        print("connected to", options)

        def engine(measure, points):
            print("a node has died")
            yield from in_turn(measure, points)

        yield engine

    monkeypatch.setattr("lehr.cluster.on_ray", chatty)
    monkeypatch.setattr("lehr.sweep.run._drawn", lambda data, stem: [])
    (tmp_path / "small.toml").write_text(SPEC)
    asked = ["sweep", str(tmp_path / "small.toml"), "--out", str(tmp_path / "out"), "--engine", "ray", "--json"]
    done = CliRunner().invoke(app, [*asked, "--address", "local", "--cpus", "2"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["failures"] == []
    assert "connected to {'address': 'local', 'cpus': 2.0}\n" in done.stderr
    assert "a node has died\n" in done.stderr


def test_a_cluster_is_for_the_engine_ray(tmp_path):
    (tmp_path / "small.toml").write_text(SPEC)
    done = CliRunner().invoke(app, ["sweep", str(tmp_path / "small.toml"), "--cpus", "2"])
    assert isinstance(done.exception, InputError)
    assert "`--cpus` must stand with --engine ray" in str(done.exception)
