"""A file being read or written: where a mistake stands, what may be promised, and no half-written file."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lehr._files import written_whole
from lehr._types import InputError

MAX_SPINS = 10_000_000
"""Most spins a file may name: a small file must not make its reader, or what comes after, allocate gigabytes."""


class Source(NamedTuple):
    """The name and the bytes of a file."""

    name: str
    data: bytes

    def error(self, reason: str, line: int | None = None) -> InputError:
        """The one-line error "FILE, line 7: reason"; `reason` carries the remedy."""
        where = " ".join(self.name.split())
        return InputError(f"{where}: {reason}" if line is None else f"{where}, line {line}: {reason}")

    def text(self) -> str:
        """The bytes as UTF-8 text, with or without a byte-order mark."""
        if not self.data.strip():
            raise self.error("the file is empty; was it written completely?")
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self.data.count(b"\n", 0, error.start) + 1
            byte = self.data[error.start]
            raise self.error(f"byte 0x{byte:02x} is not UTF-8 text; give the format of the file", line) from None


def read_source(path: str | os.PathLike) -> Source:
    """Read a regular file whole; anything else (missing, directory, device, no permission) is an `InputError`."""
    source = Source(os.fspath(path), b"")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a device or a pipe may never end
            raise source.error("this is not a regular file; give the path of a problem file")
        return source._replace(data=Path(path).read_bytes())
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise source.error(f"cannot be read ({_cause(error)}); check the path and its permissions") from None


def write_whole(path: str | os.PathLike, data: bytes) -> None:
    """Write the file whole or not at all; what stops it (a missing folder, no permission) is an `InputError`."""
    target = Path(path)
    try:
        if not target.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {target.parent}")
        with written_whole(target) as temporary:
            temporary.write_bytes(data)
    except (OSError, ValueError) as error:
        reason = f"cannot be written ({_cause(error)}); check the folder and its permissions"
        raise Source(str(path), b"").error(reason) from None


def shown(text: object, limit: int = 40) -> str:
    """What a stranger wrote, fit for one line of an error message."""
    plain = ascii(text)
    return plain if len(plain) <= limit else plain[:limit] + "..."


def first_repeat(rows: np.ndarray) -> tuple[int, int] | None:
    """Positions (later, earlier) of the first row of `rows[m, k]` that has occurred before, or None."""
    by_row = np.lexsort(rows.T[::-1])  # stable: equal rows stay in the order of the file
    repeats = np.flatnonzero((rows[by_row[1:]] == rows[by_row[:-1]]).all(axis=1))
    if not repeats.size:
        return None
    first = repeats[np.argmin(by_row[repeats + 1])]
    return int(by_row[first + 1]), int(by_row[first])


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
