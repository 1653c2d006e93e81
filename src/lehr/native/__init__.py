"""Kernels in C++ for CPUs, where they could be built; without them XLA does the same work.

They are compiled when Lehr is installed and a compiler is at hand. The environment variable `LEHR_NATIVE=0` leaves
them unused.
"""

import ctypes
import os
import sysconfig
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax

_LIBRARY = Path(__file__).with_name(f"_kernels{sysconfig.get_config_var('EXT_SUFFIX')}")
_LEVELS = ("portable", "AVX2", "AVX-512")
_TARGETS = ("lehr_linear_draw_f32", "lehr_linear_draw_f64", "lehr_linear_gradient_f32", "lehr_linear_gradient_f64")


class Status(NamedTuple):
    """Whether the kernels are used, and for which instructions or why not."""

    active: bool
    reason: str

    @property
    def description(self) -> str:
        """One line for a reader."""
        return f"linear ansatz in C++ ({self.reason}), the others by XLA" if self.active else self.reason


def status() -> Status:
    """Whether the kernels are used here.

    >>> status().active in (True, False)
    True
    """
    if os.environ.get("LEHR_NATIVE") == "0":
        return Status(False, "switched off by LEHR_NATIVE=0")
    if jax.default_backend() != "cpu":
        return Status(False, "they are for CPUs")
    library, reason = _library()
    return Status(library is not None, reason if library is None else _LEVELS[library.lehr_level()])


@cache
def _library() -> tuple[ctypes.CDLL | None, str]:
    """The library with its kernels registered, or the reason why there is none."""
    if not _LIBRARY.exists():
        return None, "not built: no C++ compiler was found when Lehr was installed"
    try:
        library = ctypes.CDLL(str(_LIBRARY))
        for name in _TARGETS:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except (OSError, AttributeError) as error:
        return None, f"built for another machine or version ({error})"
    return library, ""
