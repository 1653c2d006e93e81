"""The kernels in C++: built where there is a compiler, left out where there is none. The rest is in pyproject.toml."""

import zlib
from pathlib import Path

import jax
from setuptools import Extension, setup

SOURCES = [f"src/lehr/native/{name}" for name in ("linear.cpp", "linear.inc", "vectors.inc")]
CHECKSUM = zlib.crc32(b"".join(Path(name).read_bytes() for name in SOURCES))

setup(
    ext_modules=[
        Extension(
            "lehr.native._kernels",
            sources=SOURCES[:1],
            depends=SOURCES[1:],
            include_dirs=[jax.ffi.include_dir()],
            define_macros=[("LEHR_SOURCES", f"{CHECKSUM}u")],
            extra_compile_args=["-std=c++17", "-O3", "-ffp-contract=fast", "-Wno-psabi"],
            language="c++",
            optional=True,
        )
    ]
)
