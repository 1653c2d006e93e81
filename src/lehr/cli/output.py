"""What all commands share: exit codes, the last line, and pictures."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

BAD_INPUT, FAILURE, INTERRUPTED = 2, 1, 130


def leave(message: str, code: int) -> None:
    """One line on standard error, and the end."""
    print(f"lehr: {message}", file=sys.stderr)
    raise SystemExit(code)


def tell(draw: Callable[[Any], list[Path]]) -> None:
    """Pictures, where matplotlib is installed."""
    try:
        from lehr import plot
    except ImportError:
        return
    for path in draw(plot):
        print(f"picture: {path}", file=sys.stderr)
