"""What all commands share: exit codes, the last line, progress, and pictures."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

BAD_INPUT, FAILURE, INTERRUPTED = 2, 1, 130


def leave(message: str, code: int) -> None:
    """One line on standard error, and the end."""
    print(f"lehr: {message}", file=sys.stderr)
    raise SystemExit(code)


@contextmanager
def told_aside() -> Iterator[None]:
    """What libraries print on standard output, in C++ too, comes on standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def tell(draw: Callable[[Any], list[Path]]) -> None:
    """Pictures, where matplotlib is installed."""
    try:
        from lehr import plot
    except ImportError:
        return
    for path in draw(plot):
        print(f"picture: {path}", file=sys.stderr)


def tell_step(step: Any) -> None:
    """One line on standard error for a task that has ended (`lehr.tasks.Step`)."""
    ended = f"failed twice: {step.failure}" if step.failure else f"{step.seconds:.1f} s"
    point = ", ".join(map(str, step.point.values()))
    left = f", about {step.seconds_left / 60:.0f} min left" if step.seconds_left >= 60 else ""
    print(f"{step.number:>4}/{step.total}  {point}: {ended}{left}", file=sys.stderr, flush=True)
