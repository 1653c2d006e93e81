"""Tasks on a Ray cluster: the engine of `lehr.tasks.run_tasks` for many machines."""

import functools
import itertools
import math
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import xarray as xr

from lehr._files import one_line
from lehr._types import InputError
from lehr.tasks import Ended, Engine, Point, attempt

# Tasks handed to Ray at once: enough for it to see how many machines would be of use, few enough to look through.
_MOST_AT_ONCE = 1000
# How often a task is begun again that was lost with its process or machine.
_MOST_LOSSES = 5
_ANSWERS_SECONDS = 5.0
# Share of a device's memory that JAX takes by default.
_MEMORY_SHARE = 0.75


@contextmanager
def on_ray(address: str = "auto", *, cpus: float = 1.0, gpus: float = 0.0) -> Iterator[Engine]:
    """The engine that runs tasks on a Ray cluster, for the `engine` of `lehr.sweep.sweep` and `run_tasks`.

    Each task gets `cpus` processors and `gpus` devices of one node, and uses no more threads than that. A task that is
    lost with its process or its node is begun again elsewhere. Answers come back to this process, which alone writes
    them: the nodes need no common folder, and a sweep that lost this process goes on where its answers end. Ray sends
    functions and answers as pickles: whoever reaches the cluster's ports can run code on it.

    Arguments: `address`: "auto" for the cluster of this machine (or of RAY_ADDRESS), "host:port" of its head, or
    "local", which starts Ray on this machine until the block ends. A Ray that this process is connected to already is
    used as it is, and stays.

    Errors: `InputError` where Ray is not installed or no cluster answers.

        with on_ray("auto", cpus=2) as engine:
            sweep("ea10.toml", "sweeps/ea10", engine=engine)
    """
    for name, value, least, enough in (("cpus", cpus, "above", cpus > 0), ("gpus", gpus, "at least", gpus >= 0)):
        if not (enough and math.isfinite(value)):
            raise InputError(f"Argument `{name}` must be {least} 0, but it is {value}.")
    try:
        import ray
    except ImportError:
        raise InputError("The engine ray needs Ray, but it is not installed: pip install 'lehr[ray]'.") from None
    found = ray.is_initialized()
    if not found:
        _connect(ray, address)
    try:
        if not any(_offers(node, cpus, gpus) for node in ray.nodes()):
            warnings.warn(
                f"No node of the cluster has {cpus:g} CPUs and {gpus:g} GPUs for a task: all wait for one that has.",
                stacklevel=3,
            )
        yield functools.partial(_run, ray, cpus, gpus)
    finally:
        if not found:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    """Errors: `InputError` where no cluster answers at the address."""
    named = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    host, _, port = named.rpartition(":")
    ours = signal.getsignal(signal.SIGTERM)
    try:
        if host and port.isdigit() and "//" not in host:
            # Ray itself would wait for minutes, and end the process.
            socket.create_connection((host, int(port)), timeout=_ANSWERS_SECONDS).close()
        ray.init(address=named, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except Exception as error:
        raise InputError(
            f"Argument `address` must be that of a Ray cluster, but at {named!r} none answers: {one_line(error)}."
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)  # Ray takes it


def _offers(node: dict[str, Any], cpus: float, gpus: float) -> bool:
    has = node["Resources"]
    return node["Alive"] and has.get("CPU", 0) >= cpus and has.get("GPU", 0) >= gpus


def _run(
    ray: Any, cpus: float, gpus: float, measure: Callable[..., xr.Dataset], points: Sequence[Point]
) -> Generator[Ended, None, None]:
    """The tasks in the order in which they end; those that run when this one is closed are cancelled."""
    task = ray.remote(_attempt).options(
        num_cpus=cpus, num_gpus=gpus, max_retries=_MOST_LOSSES, runtime_env={"env_vars": _environment(cpus, gpus)}
    )
    shared = [ray.put(measure)]
    left, running = iter(enumerate(points)), {}
    try:
        while True:
            for place, point in itertools.islice(left, _MOST_AT_ONCE - len(running)):
                running[task.remote(shared, point, place)] = place
            if not running:
                return
            (done,), _ = ray.wait(list(running))
            yield _ended(ray, done, running.pop(done))
    except KeyboardInterrupt:  # what is there is kept
        for done in ray.wait(list(running), num_returns=len(running), timeout=0)[0] if running else []:
            yield _ended(ray, done, running.pop(done))
        raise
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _ended(ray: Any, reference: Any, place: int) -> Ended:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:  # lost too often, or its process cannot begin
        return Ended(place, None, f"{type(error).__name__}: {one_line(getattr(error, 'cause', None) or error)}", 0.0)


def _environment(cpus: float, gpus: float) -> dict[str, str]:
    """What keeps a process to its share of a node: of the threads of XLA, of BLAS and of the chains, and of devices."""
    threads = str(max(1, int(cpus)))
    environment = {"PJRT_NPROC": threads, "OMP_NUM_THREADS": threads}
    if not gpus:
        environment["JAX_PLATFORMS"] = "cpu"
    elif gpus < 1:
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{_MEMORY_SHARE * gpus:g}"
    return environment


def _attempt(shared: list[Any], point: Point, place: int) -> Ended:
    """One task, in a process of the cluster. What all tasks share comes in a list, for else Ray would unpack it for
    each task, and what a function keeps from task to task would be lost."""
    return attempt(_fetched(shared[0]), point, place)


@functools.lru_cache(maxsize=1)
def _fetched(reference: Any) -> Callable[..., xr.Dataset]:
    import ray

    return ray.get(reference)
