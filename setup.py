"""The kernels in C++: built where there is a compiler, left out where there is none. The rest is in pyproject.toml."""

import jax
from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "lehr.native._kernels",
            sources=["src/lehr/native/linear.cpp"],
            depends=["src/lehr/native/linear.inc", "src/lehr/native/vectors.inc"],
            include_dirs=[jax.ffi.include_dir()],
            extra_compile_args=["-std=c++17", "-O3", "-ffp-contract=fast", "-Wno-psabi"],
            language="c++",
            optional=True,
        )
    ]
)
