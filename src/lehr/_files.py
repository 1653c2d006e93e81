"""Files that are either whole or absent, their checksums, and text and numbers that are safe to write."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lehr._types import InputError

TEMPORARY = ".tmp"


def printable(lines: Iterable[str]) -> str:
    """Lines as one text in which a stranger may have chosen names: no control characters, nothing that a terminal
    cannot encode.

    >>> printable(["a\\x07b", "c"])
    'a?b\\nc'
    """
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well, what was written there is on disk under `path`.

    A process killed at any instant leaves the old file or the new one, and at worst a leftover that ends in
    `TEMPORARY`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder, "a.txt")
    ...     with written_whole(target) as temporary:
    ...         _ = temporary.write_text("all of it")
    ...     [p.name for p in Path(folder).iterdir()]
    ['a.txt']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)  # the rename itself
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON, whole or not at all; floats keep every digit.

    Errors: `InputError` where something in it is not a JSON value (NaN and infinity are not).
    """
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Argument `content` must hold JSON values only, but {path.name} has another: {error}."
        ) from None
    with written_whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def json_number(value: Any) -> float | None:
    """A number for JSON, which has neither NaN nor infinity.

    >>> json_number(1), json_number(float("inf"))
    (1.0, None)
    """
    number = float(value)
    return number if math.isfinite(number) else None


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file `path`.

    Errors: `InputError` in one line where the file is missing, unreadable, or not one JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"File `{path}` must be readable JSON, but it is not: {one_line(error)}.") from None
    if not isinstance(content, dict):
        raise InputError(f"File `{path}` must hold one JSON object, but it holds a {type(content).__name__}.")
    return content


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, run: Mapping[str, Any]) -> None:
    """Errors: `InputError` where a file of a run folder is not the one whose checksum its `run.json` holds."""
    try:
        intact = sha256(path) == run["sha256"][path.name]
    except (OSError, KeyError, TypeError) as error:
        raise InputError(
            f"File `{path}` must belong to the run, but it cannot be checked: {one_line(error)}."
        ) from None
    if not intact:
        raise InputError(f"File `{path}` must be the one that the run wrote, but its checksum differs: it is damaged.")


def one_line(error: BaseException) -> str:
    """The message of an error in one line, without its full stop.

    >>> one_line(ValueError("first\\n  second."))
    'first second'
    """
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _flush(path: Path) -> None:
    """Ask the operating system to bring a file or folder to disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
