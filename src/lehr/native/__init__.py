"""Kernels in C++ for CPUs, where they could be built; without them XLA does the same work.

They are compiled when Lehr is installed and GCC or Clang is at hand (Linux, macOS). The environment variable
`LEHR_NATIVE=0` leaves them unused.
"""

import ctypes
import os
import sysconfig
import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax

_FOLDER = Path(__file__).parent
_LIBRARY = _FOLDER / f"_kernels{sysconfig.get_config_var('EXT_SUFFIX')}"
_SOURCES = sorted(path for path in _FOLDER.iterdir() if path.suffix in (".cpp", ".h", ".inc"))
_LEVELS = ("portable", "AVX2", "AVX-512")
_KERNELS = ("adam", "linear_draw", "linear_gradient", "recurrent_forward", "recurrent_backward", "recurrent_flips")
_TARGETS = [f"lehr_{kernel}_f{bits}" for kernel in _KERNELS for bits in (32, 64)]


class Status(NamedTuple):
    """Whether the kernels are used, and for which instructions or why not."""

    active: bool
    reason: str

    @property
    def description(self) -> str:
        """One line for a reader."""
        return f"in C++ ({self.reason}), for every ansatz" if self.active else self.reason


def status() -> Status:
    """Whether the kernels are used here.

    >>> status().active in (True, False)
    True
    """
    if os.environ.get("LEHR_NATIVE") == "0":
        return Status(False, "switched off by LEHR_NATIVE=0")
    if jax.default_backend() != "cpu":
        return Status(False, "the kernels in C++ are for CPUs")
    library, reason = _library()
    return Status(library is not None, reason if library is None else _LEVELS[library.lehr_level()])


@cache
def _library() -> tuple[ctypes.CDLL | None, str]:
    """The library with its kernels registered, or the reason why there is none."""
    if not _LIBRARY.exists():
        return None, "not built: there was no C++ compiler, or it failed, when Lehr was installed"
    try:
        library = ctypes.CDLL(str(_LIBRARY))
        library.lehr_sources.restype = ctypes.c_uint32
        # One that was left from other sources might still load, and mean something else by its arguments.
        if library.lehr_sources() != zlib.crc32(b"".join(path.read_bytes() for path in _SOURCES)):
            return None, "built from other sources: install Lehr again"
        for name in _TARGETS:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except (OSError, AttributeError, RuntimeError) as error:  # RuntimeError: for another version of XLA
        return None, f"built for another machine or version ({error})"
    return library, ""
