"""Checkpoints: the whole state of a run on disk, bit for bit, whatever instant the process is killed at."""

import contextlib
import hashlib
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from lehr._files import TEMPORARY, one_line, written_whole
from lehr._types import InputError
from lehr.processes import is_first, whole

_FORMAT = 1
_KEPT = 2
_MANIFEST = "manifest"


class Checkpoint(NamedTuple):
    """What `Checkpoints.restore` found: the tree, its step, the JSON-able dict and the arrays of free shape."""

    tree: PyTree
    step: int
    extra: dict[str, Any]
    extra_arrays: dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints in one folder: the newest two, each in one file `step-000000123.npz` with its checksum.

    A tree is any pytree of JAX arrays (typed random keys too), NumPy arrays and numbers. No pickle: a checkpoint from
    a stranger can only be arrays.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = Checkpoints(folder)
    ...     checkpoints.save({"w": np.array([0.1, 0.2])}, step=20, extra={"best": -1.5})
    ...     found = checkpoints.restore({"w": np.zeros(2)})
    >>> found.step, found.tree["w"].tolist(), found.extra
    (20, [0.1, 0.2], {'best': -1.5})
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def save(
        self,
        tree: PyTree,
        step: int,
        extra: Mapping[str, Any] | None = None,
        extra_arrays: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Write the checkpoint of `step`, then drop all but the newest two; of several processes the first does.

        `extra` is a JSON-able dict; `extra_arrays` are arrays by name whose shapes may change between checkpoints
        (the history so far).

        Errors: `InputError` where a leaf of `tree` is not an array or a number, or `extra` is not JSON-able.
        """
        leaves, described = _described(tree)
        if not is_first():
            return
        arrays = {f"leaf-{number}": array for number, array in enumerate(leaves)}
        named = {name: np.asarray(array) for name, array in (extra_arrays or {}).items()}
        for name, array in named.items():
            _check_plain(f"extra_arrays[{name!r}]", array)
        arrays |= {f"extra-{name}": array for name, array in named.items()}
        try:
            text = json.dumps(
                {
                    "format": _FORMAT,
                    "step": int(step),
                    "leaves": described,
                    "extra": dict(extra or {}),
                    "extra_arrays": list(named),
                    "sha256": _checksum(arrays),
                }
            )
        except (TypeError, ValueError) as error:
            raise InputError(f"Argument `extra` must hold JSON values only, but it does not: {error}.") from None
        with written_whole(self.folder / f"step-{step:09d}.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **{_MANIFEST: np.frombuffer(text.encode(), np.uint8)}, **arrays)
        for outdated in [*self._newest_first()[_KEPT:], *self.folder.glob(f".step-*{TEMPORARY}")]:
            outdated.unlink(missing_ok=True)

    def restore(self, template: PyTree) -> Checkpoint | None:
        """The newest intact checkpoint, in the structure (and on the devices) of `template`; None where there is none.

        A damaged checkpoint is reported by a warning, set aside under the ending `.damaged`, and the previous one is
        used.

        Errors: `InputError` where no checkpoint is intact, or where it was made of another tree than `template`.
        """
        damaged: list[tuple[Path, str]] = []
        for path in self._newest_first():
            try:
                manifest, arrays = _read(path)
            except Exception as error:  # damage shows in errors of many types
                damaged.append((path, one_line(error)))
                continue
            for broken, reason in damaged:
                warnings.warn(f"Checkpoint `{broken}` is damaged ({reason}); {path.name} is used.", stacklevel=2)
                _set_aside(broken)
            tree = _rebuilt(template, manifest["leaves"], arrays, path)
            named = {name: arrays[f"extra-{name}"] for name in manifest["extra_arrays"]}
            return Checkpoint(tree, manifest["step"], manifest["extra"], named)
        if damaged:
            reasons = "; ".join(f"{path.name}: {reason}" for path, reason in damaged)
            raise InputError(f"Folder `{self.folder}` must hold an intact checkpoint, but it does not: {reasons}.")
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.npz"), reverse=True)


def _set_aside(path: Path) -> None:
    """Rename a damaged checkpoint, so that it does not count among the two that are kept."""
    # A folder that may only be read can be restored from, too.
    with contextlib.suppress(OSError):
        path.replace(path.with_suffix(".damaged"))


def _described(tree: PyTree) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """The leaves of a tree as NumPy arrays, and for each its place, shape and type."""
    arrays, described = [], []
    for place, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(place)
        description = _description(name, leaf)
        array = np.asarray(whole(jax.random.key_data(leaf) if description["key"] else leaf))
        _check_plain(name, array)
        arrays.append(array)
        described.append(description)
    return arrays, described


def _description(name: str, leaf: Any) -> dict[str, Any]:
    if isinstance(leaf, bool | int | float):
        leaf = np.asarray(leaf)
    if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
        raise InputError(f"Argument `tree` must hold arrays and numbers, but {name} is a {type(leaf).__name__}.")
    key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return {"place": name, "shape": list(leaf.shape), "dtype": str(leaf.dtype), "key": bool(key)}


def _check_plain(name: str, array: np.ndarray) -> None:
    if array.dtype.kind not in "biufc":
        raise InputError(f"Argument `tree` must hold plain numbers, but {name} is of type {array.dtype}.")


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Manifest and arrays of one file; any error means that it is damaged."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("it promises more data than it holds")
    with np.load(path, allow_pickle=False) as entries:
        arrays = {name: entries[name] for name in entries.files}
    manifest = json.loads(arrays.pop(_MANIFEST).tobytes())
    if manifest["format"] != _FORMAT:
        raise ValueError(f"its format is {manifest['format']}, not {_FORMAT}")
    if _checksum(arrays) != manifest["sha256"]:
        raise ValueError("its checksum differs")
    expected = [f"leaf-{number}" for number in range(len(manifest["leaves"]))]
    if list(arrays) != expected + [f"extra-{name}" for name in manifest["extra_arrays"]]:
        raise ValueError("its manifest names other arrays than it holds")
    return {**manifest, "step": int(manifest["step"]), "extra": dict(manifest["extra"])}, arrays


def _rebuilt(template: PyTree, saved: list[dict[str, Any]], arrays: Mapping[str, np.ndarray], path: Path) -> PyTree:
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = [_description(jax.tree_util.keystr(place), leaf) for place, leaf in leaves]
    if wanted != saved:
        raise InputError(
            f"Argument `template` must be of the tree that `{path}` was made of, but {_difference(wanted, saved)}."
        )
    return structure.unflatten(
        [_like(leaf, arrays[f"leaf-{number}"], key=saved[number]["key"]) for number, (_, leaf) in enumerate(leaves)]
    )


def _difference(wanted: list[dict[str, Any]], saved: list[dict[str, Any]]) -> str:
    """The first difference between two descriptions of a tree, in words."""
    here = {d["place"]: d for d in wanted}
    there = {d["place"]: d for d in saved}
    for place in here | there:
        if place not in there:
            return f"{place} is not in the checkpoint"
        if place not in here:
            return f"{place} of the checkpoint is not in it"
        if here[place] != there[place]:
            a, b = ({"shape": tuple(d["shape"]), "dtype": d["dtype"]} for d in (here[place], there[place]))
            return f"{place} has shape {a['shape']} and type {a['dtype']}, not {b['shape']} and {b['dtype']}"
    return "the order of its leaves differs"


def _like(leaf: Any, array: np.ndarray, *, key: bool) -> Any:
    """`array` as the kind of thing that `leaf` is: a number, a NumPy array, or a JAX array where `leaf` lies."""
    if isinstance(leaf, bool | int | float):
        return type(leaf)(array.item())
    if isinstance(leaf, np.ndarray | np.generic):
        return array
    restored = jax.random.wrap_key_data(jnp.asarray(array), dtype=leaf.dtype) if key else jnp.asarray(array)
    return jax.device_put(restored, leaf.sharding) if getattr(leaf, "committed", False) else restored
