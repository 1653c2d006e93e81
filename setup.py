"""The kernels in C++: built where there is a compiler, left out where there is none. The rest is in pyproject.toml."""

import zlib
from pathlib import Path

import jax
from setuptools import Extension, setup

SOURCES = sorted(path for path in Path("src/lehr/native").iterdir() if path.suffix in (".cpp", ".h", ".inc"))
CHECKSUM = zlib.crc32(b"".join(path.read_bytes() for path in SOURCES))

setup(
    ext_modules=[
        Extension(
            "lehr.native._kernels",
            sources=[str(path) for path in SOURCES if path.suffix == ".cpp"],
            depends=[str(path) for path in SOURCES if path.suffix != ".cpp"],
            include_dirs=[jax.ffi.include_dir()],
            define_macros=[("LEHR_SOURCES", f"{CHECKSUM}u")],
            extra_compile_args=["-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi"],
            language="c++",
            optional=True,
        )
    ]
)
