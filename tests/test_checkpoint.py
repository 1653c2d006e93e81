"""Checkpoints: bit-exact, without pickle, and valid whatever instant the process is killed at."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lehr._types import InputError
from lehr.checkpoint import Checkpoints


class State(NamedTuple):
    params: dict
    keys: jax.Array
    step: int
    flags: tuple


def make_state(seed: int) -> State:
    rng = np.random.default_rng(seed)
    return State(
        params={
            "w": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32),
            "scalar": jnp.asarray(rng.normal(), jnp.float32),
            "host": rng.normal(size=5) * 1e-310,
            "empty": jnp.zeros((0, 2)),
        },
        keys=jax.random.split(jax.random.key(seed), 2),
        step=seed,
        flags=(jnp.asarray([True, False]), jnp.arange(3), np.float64(seed / 3), seed / 7),
    )


def assert_bits_equal(a, b) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert isinstance(y, type(x))
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            assert x.dtype == y.dtype
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_bit_comes_back(tmp_path):
    state = make_state(3)
    odd = np.array([np.nan, -0.0, np.inf, 5e-324]).view(np.uint64)
    odd[0] |= 0xBEEF  # a NaN with a payload
    history = {"energy": np.arange(7.0) / 3, "odd/one": odd.view(np.float64)}
    Checkpoints(tmp_path).save(state, 12, {"best": 0.1 + 0.2, "text": "a\nb"}, history)
    found = Checkpoints(tmp_path).restore(make_state(0))
    assert found is not None
    assert_bits_equal(state, found.tree)
    assert (found.step, found.extra) == (12, {"best": 0.1 + 0.2, "text": "a\nb"})
    assert_bits_equal(history, found.extra_arrays)


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_random_keys_go_on_where_they_were(tmp_path, implementation):
    key = jax.random.key(5, impl=implementation)
    Checkpoints(tmp_path).save({"key": key}, 1)
    found = Checkpoints(tmp_path).restore({"key": jax.random.key(0, impl=implementation)})
    np.testing.assert_array_equal(jax.random.bits(found.tree["key"], (4,)), jax.random.bits(key, (4,)))
    with pytest.raises(InputError, match=r"\['key'\] has shape \(\) and type key<urbg>"):
        Checkpoints(tmp_path).restore({"key": jax.random.key(0, impl="unsafe_rbg")})


def test_restored_arrays_lie_where_the_template_lies(tmp_path):
    device = jax.devices()[0]
    state = {"here": jax.device_put(jnp.ones(2), device), "anywhere": jnp.ones(2)}
    Checkpoints(tmp_path).save(state, 1)
    found = Checkpoints(tmp_path).restore(state)
    assert found.tree["here"].committed
    assert not found.tree["anywhere"].committed


def test_the_newest_two_are_kept_and_arrays_may_grow(tmp_path):
    checkpoints = Checkpoints(tmp_path / "deep" / "checkpoint")
    assert checkpoints.restore(make_state(0)) is None
    for step in (5, 10, 15):
        checkpoints.save(make_state(step), step, extra_arrays={"energy": np.arange(step)})
    assert files(checkpoints.folder) == ["step-000000010.npz", "step-000000015.npz"]
    found = checkpoints.restore(make_state(0))
    assert found.step == 15
    np.testing.assert_array_equal(found.extra_arrays["energy"], np.arange(15))


def two_checkpoints(folder: Path) -> tuple[Checkpoints, Path, bytes]:
    checkpoints = Checkpoints(folder)
    for step in (1, 2):
        checkpoints.save(make_state(step), step)
    newest = folder / "step-000000002.npz"
    return checkpoints, newest, newest.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_reported_and_the_previous_one_used(tmp_path, share):
    checkpoints, newest, content = two_checkpoints(tmp_path)
    newest.write_bytes(content[: int(share * len(content))])
    with pytest.warns(UserWarning, match=r"step-000000002.npz` is damaged .*; step-000000001.npz is used\.$") as caught:
        found = checkpoints.restore(make_state(0))
    assert all("\n" not in str(warning.message) for warning in caught)
    assert_bits_equal(found.tree, make_state(1))
    assert files(tmp_path) == ["step-000000001.npz", "step-000000002.damaged"]
    checkpoints.save(make_state(2), 2)  # the resumed run comes by here again
    assert_bits_equal(checkpoints.restore(make_state(0)).tree, make_state(2))


def test_no_flipped_byte_goes_unnoticed(tmp_path):
    checkpoints, newest, content = two_checkpoints(tmp_path)
    for position in np.random.default_rng(0).integers(0, len(content), 100):
        newest.write_bytes(content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = checkpoints.restore(make_state(0))
        # Some bytes carry no data (the archive's time stamps, say): then nothing is lost.
        assert_bits_equal(found.tree, make_state(found.step))


def rewritten(path: Path, change) -> None:
    """The checkpoint with its entries changed, as a valid archive."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in change(entries).items():
            archive.writestr(name, content)


def pickled(entries):
    array = np.array([{"a": 1}], dtype=object)
    np.save("payload.npy", array, allow_pickle=True)
    return entries | {"leaf-0.npy": Path("payload.npy").read_bytes()}


@pytest.mark.parametrize(
    "change",
    [
        lambda e: {k: v for k, v in e.items() if not k.startswith("manifest")},
        lambda e: {k: v for k, v in e.items() if k != "leaf-0.npy"},
        lambda e: e | {"leaf-0.npy": e["leaf-1.npy"]},
        lambda e: e | {"extra-x.npy": e["leaf-1.npy"]},
        pickled,
    ],
)
def test_a_checkpoint_with_other_entries_is_damaged(tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    checkpoints, newest, _ = two_checkpoints(tmp_path / "checkpoint")
    rewritten(newest, change)
    with pytest.warns(UserWarning, match="is damaged"):
        assert checkpoints.restore(make_state(0)).step == 1


def test_a_compressed_bomb_is_damaged(tmp_path):
    checkpoints, newest, _ = two_checkpoints(tmp_path)
    with zipfile.ZipFile(newest, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", bytes(10**7))
    with pytest.warns(UserWarning, match="promises more"):
        assert checkpoints.restore(make_state(0)).step == 1


def test_leftovers_of_a_killed_process_are_ignored_and_cleared(tmp_path):
    checkpoints, _, content = two_checkpoints(tmp_path)
    (tmp_path / ".step-000000003.npz.999.tmp").write_bytes(content[:100])
    assert checkpoints.restore(make_state(0)).step == 2
    checkpoints.save(make_state(3), 3)
    assert files(tmp_path) == ["step-000000002.npz", "step-000000003.npz"]


def test_nothing_intact_is_an_error_and_not_a_fresh_start(tmp_path):
    checkpoints, _, _ = two_checkpoints(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"step-000000002.npz: .*; step-000000001.npz: "):
        checkpoints.restore(make_state(0))
    assert len(files(tmp_path)) == 2


def test_a_failed_save_leaves_the_last_one(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make_state(1), 1)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(make_state(2), 2)
    assert files(tmp_path) == ["step-000000001.npz"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"a": np.zeros((3, 2)), "b": np.zeros(2)}, r"\['a'\] has shape \(3, 2\) and type float64, not \(2, 3\) and"),
        ({"a": np.zeros((2, 3), np.float32), "b": np.zeros(2)}, r"\['a'\] has shape \(2, 3\) and type float32, not"),
        ({"a": np.zeros((2, 3)), "c": np.zeros(2)}, r"\['c'\] is not in the checkpoint"),
        ({"a": np.zeros((2, 3))}, r"\['b'\] of the checkpoint is not in it"),
    ],
)
def test_another_tree_is_refused_with_the_difference(tmp_path, template, message):
    Checkpoints(tmp_path).save({"a": np.zeros((2, 3)), "b": np.zeros(2)}, 1)
    with pytest.raises(InputError, match=message):
        Checkpoints(tmp_path).restore(template)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tree": {"f": print}}, r"\['f'\] is a builtin_function"),
        ({"tree": {"f": np.array([None])}}, "of type object"),
        ({"tree": {}, "extra": {"a": np.zeros(2)}}, "`extra` must hold JSON"),
        ({"tree": {}, "extra_arrays": {"a": np.array(["x"])}}, r"extra_arrays\['a'\] is of type"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        Checkpoints(tmp_path / "new").save(step=1, **arguments)
    assert not (tmp_path / "new").exists()


WRITER = """
import sys, itertools, numpy as np
from lehr.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
for step in itertools.count(1):
    checkpoints.save({"w": np.full(200_000, float(step))}, step, {"step": step})
    print(step, flush=True)
"""


@pytest.mark.parametrize("delay", [0.003, 0.0101, 0.0173])
def test_a_process_killed_at_any_instant_leaves_a_valid_state(tmp_path, delay):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with process:
        written = [int(process.stdout.readline()) for _ in range(3)][-1]
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    found = Checkpoints(tmp_path).restore({"w": np.zeros(200_000)})  # and no warning: it is an error here
    assert found.step >= written
    assert found.extra == {"step": found.step}
    assert (found.tree["w"] == found.step).all()


def test_the_manifest_is_readable_json(tmp_path):
    Checkpoints(tmp_path).save({"w": np.zeros((2, 3))}, 4)
    with np.load(tmp_path / "step-000000004.npz", allow_pickle=False) as entries:
        manifest = json.loads(entries["manifest"].tobytes())
    assert manifest["step"] == 4
    assert manifest["leaves"] == [{"place": "['w']", "shape": [2, 3], "dtype": "float64", "key": False}]
    assert len(manifest["sha256"]) == 64
