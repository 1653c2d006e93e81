"""One run in several processes (`jax.distributed`): all take the same steps, and the first writes and speaks."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from lehr._files import one_line
from lehr._types import InputError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def join(where: str) -> None:
    """Make this process one of those that solve together; before anything else is done with JAX.

    Argument `where`: "auto" where JAX finds out by itself (Slurm, Open MPI, Kubernetes), or the address of the first
    process, how many there are, and which this is, like "node1:4321,2,0".

    Errors: `InputError` where it is neither, or JAX finds no others.
    """
    address, *numbers = where.split(",")
    if where != "auto" and not (len(numbers) == 2 and ":" in address and all(one.isdecimal() for one in numbers)):
        raise InputError(f"Argument `distributed` must be auto or HOST:PORT,COUNT,INDEX, but it is {where!r}.")
    given = {} if where == "auto" else dict(zip(("num_processes", "process_id"), map(int, numbers), strict=True))
    try:
        jax.distributed.initialize(**({"coordinator_address": address, **given} if given else {}))
    except Exception as error:
        raise InputError(
            f"Argument `distributed` must tell how this process joins the others, but with {where!r} it does not: "
            f"{one_line(error)}."
        ) from None
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # JAX takes it


def is_first() -> bool:
    """Whether this process is the one that writes and speaks; always where there is one."""
    return jax.process_index() == 0


def whole(tree: PyTree) -> PyTree:
    """Arrays on this host, with the parts of all processes; all must ask for them at the same point."""
    if all(getattr(leaf, "is_fully_addressable", True) for leaf in jax.tree.leaves(tree)):
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def check_first(failure: str | None) -> None:
    """Errors: `InputError` on all processes where the first has a `failure` to tell."""
    if jax.process_count() > 1 and not multihost_utils.broadcast_one_to_all(np.array(failure is None)):
        raise InputError(failure or "The first process could not begin; it says why.")
    if failure is not None and is_first():
        raise InputError(failure)


@contextmanager
def in_step() -> Iterator[Callable[..., tuple[int, ...]]]:
    """A function that makes whole numbers those of the first process, on all; where one of them was interrupted since
    the last call, it raises `KeyboardInterrupt` on all, so that all stand at the same step.

    >>> with in_step() as agreed:
    ...     agreed(3, True)
    (3, True)
    """
    if jax.process_count() == 1:
        yield lambda *numbers: numbers
        return
    caught: list[int] = []

    def note(number: int, frame: Any) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)  # who asks twice does not want to wait

    def agreed(*numbers: int) -> tuple[int, ...]:
        told = multihost_utils.process_allgather(np.array([len(caught), *numbers]))
        if told[:, 0].any():
            raise KeyboardInterrupt
        return tuple(told[0, 1:].tolist())

    held = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, note) for number in _SIGNALS} if held else {}
    try:
        yield agreed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
