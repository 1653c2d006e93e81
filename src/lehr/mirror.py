"""Folders at a URL (object stores, by fsspec): worked on in a copy, whose files are brought there whole."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from lehr._files import TEMPORARY, one_line
from lehr._types import InputError


def is_url(place: str | Path) -> bool:
    """Whether a place is named by a URL.

    >>> is_url("s3://bucket/ea10"), is_url("sweeps/ea10")
    (True, False)
    """
    return "://" in str(place)


def public(url: str) -> str:
    """A URL without the name and the password that may stand in it.

    >>> public("ftp://me:secret@host/x"), public("s3://bucket/x")
    ('ftp://host/x', 's3://bucket/x')
    """
    return re.sub(r"://[^/@]*@", "://", url)


@contextmanager
def mirrored(place: str | Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The folder `place`, and a function that keeps what was written there; for a URL like `s3://bucket/ea10` the
    folder is a copy of all that is there, and the function brings each file that has changed since, in one transaction
    of the store. It is called once more when the block ends, however it ends; what cannot be brought stays in the copy.

    Errors: `InputError` where fsspec or its package for this kind of URL is not installed, or nothing is answered.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, mirrored(folder) as (same, keep):
    ...     str(same) == folder
    True
    """
    if not is_url(place):
        if re.match(r"[a-z][a-z0-9+.-]+:/", str(place)):  # `Path` makes one slash of two
            raise InputError(f"Argument `out` must be a folder, or a URL as a string, but it is the path `{place}`.")
        yield Path(place), lambda: None
        return
    store, root = _opened(str(place))
    if "file" in store.protocol:  # a folder after all, where files are renamed
        yield Path(root), lambda: None
        return
    folder, known = _fetched(store, root, str(place))
    keep = _keeper(store, root, folder, known, str(place))
    try:
        yield folder, keep
    except BaseException as error:
        try:
            keep()
        except InputError as failed:
            error.add_note(str(failed))
            raise error from None
        rmtree(folder)
        raise
    keep()
    rmtree(folder)


def _keeper(store: Any, root: str, folder: Path, known: dict[Path, tuple[int, int]], url: str) -> Callable[[], None]:
    """What brings all files that have changed to the store, each whole; those that fail, the next time again."""

    def keep() -> None:
        failed: Exception | None = None
        for file in sorted(folder.rglob("*")):
            if not file.is_file() or file.name.endswith(TEMPORARY):
                continue
            stamp = _stamp(file)
            if known.get(file) == stamp:
                continue
            target = f"{root}/{file.relative_to(folder).as_posix()}"
            try:
                store.makedirs(target.rpartition("/")[0], exist_ok=True)
                with store.transaction, store.open(target, "wb") as written:
                    written.write(file.read_bytes())
                known[file] = stamp
            except Exception as error:  # stores fail in many ways
                failed = failed or error
        if failed is not None:
            raise InputError(
                f"Folder `{public(url)}` must be one to write to, but: {one_line(failed)}. "
                f"What is not there yet lies in {folder}."
            ) from None

    return keep


def _opened(url: str) -> tuple[Any, str]:
    """The store of a URL, and the folder in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(
            f"Folder `{public(url)}` needs fsspec, but it is not installed: pip install 'lehr[url]'."
        ) from None
    try:
        store, root = url_to_fs(url)
    except Exception as error:  # an unknown kind of URL, or its package is missing
        raise InputError(f"Argument `out` must be a folder or a URL, but `{public(url)}`: {one_line(error)}.") from None
    return store, root.rstrip("/")


def _fetched(store: Any, root: str, url: str) -> tuple[Path, dict[Path, tuple[int, int]]]:
    """A new folder with copies of the files of the store, and their stamps."""
    folder, known = Path(mkdtemp(prefix="lehr-")), {}
    try:
        store.invalidate_cache()  # of listings: others may have written there
        for name in store.find(root):
            own = PurePosixPath(name[len(root) :].lstrip("/"))
            if ".." in own.parts:
                continue
            file = folder / own
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(store.cat_file(name))
            known[file] = _stamp(file)
    except Exception as error:  # stores fail in many ways
        rmtree(folder)
        raise InputError(f"Folder `{public(url)}` must be one to read, but: {one_line(error)}.") from None
    return folder, known


def _stamp(file: Path) -> tuple[int, int]:
    return file.stat().st_mtime_ns, file.stat().st_size
