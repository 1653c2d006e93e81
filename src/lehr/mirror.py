"""Folders at a URL (object stores, by fsspec): worked on in a copy, whose files are brought there whole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from lehr._files import TEMPORARY, one_line
from lehr._types import InputError


def is_url(place: str | Path) -> bool:
    """Whether a place is named by a URL.

    >>> is_url("s3://bucket/ea10"), is_url("sweeps/ea10")
    (True, False)
    """
    return "://" in str(place)


@contextmanager
def mirrored(place: str | Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The folder `place`, and a function that keeps what was written there; for a URL like `s3://bucket/ea10` the
    folder is a copy of what is there, and the function brings each file that has changed since, whole or not at all.
    It is called once more when the block ends, however it ends.

    Errors: `InputError` where fsspec or its package for this kind of URL is not installed, or nothing is answered.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, mirrored(folder) as (same, keep):
    ...     str(same) == folder
    True
    """
    if not is_url(place):
        yield Path(place), lambda: None
        return
    store, root = _opened(str(place))
    with TemporaryDirectory() as copy:
        folder = Path(copy)
        known = _fetched(store, root, folder, str(place))

        def keep() -> None:
            for file in sorted(folder.rglob("*")):
                if not file.is_file() or file.name.endswith(TEMPORARY) or known.get(file) == _stamp(file):
                    continue
                known[file] = _stamp(file)
                target = f"{root}/{file.relative_to(folder).as_posix()}"
                try:
                    store.makedirs(target.rpartition("/")[0], exist_ok=True)
                    with store.transaction, store.open(target, "wb") as written:
                        written.write(file.read_bytes())
                except Exception as error:  # stores fail in many ways
                    raise InputError(f"Folder `{place}` must be one to write to, but: {one_line(error)}.") from None

        try:
            yield folder, keep
        finally:
            keep()


def _opened(url: str) -> tuple[Any, str]:
    """The store of a URL, and the folder in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(f"Folder `{url}` needs fsspec, but it is not installed: pip install 'lehr[url]'.") from None
    try:
        store, root = url_to_fs(url)
    except Exception as error:  # an unknown kind of URL, or its package is missing
        raise InputError(f"Argument `out` must be a folder or a URL, but `{url}`: {one_line(error)}.") from None
    return store, root.rstrip("/")


def _fetched(store: Any, root: str, folder: Path, url: str) -> dict[Path, tuple[int, int]]:
    """The files of the store, copied, and their stamps."""
    known = {}
    try:
        for name in store.find(root):
            own = PurePosixPath(name[len(root) :].lstrip("/"))
            if ".." in own.parts:
                continue
            file = folder / own
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(store.cat_file(name))
            known[file] = _stamp(file)
    except Exception as error:  # stores fail in many ways
        raise InputError(f"Folder `{url}` must be one to read, but: {one_line(error)}.") from None
    return known


def _stamp(file: Path) -> tuple[int, int]:
    return file.stat().st_mtime_ns, file.stat().st_size
