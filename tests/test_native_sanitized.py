"""The tests of the kernels once more, with kernels that watch every access to memory and every overflow."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path

import jax
import pytest

import lehr

FLAGS = ["-std=c++17", "-O1", "-g", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi", "-fPIC", "-shared"]
WATCH = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def _file(compiler, name):
    """Where the compiler finds a library."""
    told = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return told.stdout.strip()


@pytest.mark.slow
def test_the_kernels_stay_within_their_memory(tmp_path):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    package = tmp_path / "lehr"
    shutil.copytree(Path(lehr.__file__).parent, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    sources = sorted(path for path in (package / "native").iterdir() if path.suffix in (".cpp", ".h", ".inc"))
    checksum = zlib.crc32(b"".join(path.read_bytes() for path in sources))
    library = package / "native" / f"_kernels{sysconfig.get_config_var('EXT_SUFFIX')}"
    units = [str(path) for path in sources if path.suffix == ".cpp"]
    include = ["-isystem", jax.ffi.include_dir(), f"-DLEHR_SOURCES={checksum}u"]
    subprocess.run([compiler, *FLAGS, *WATCH, *include, *units, "-o", str(library)], check=True)
    # The C++ library as well: what watches exceptions looks for it before the interpreter has loaded it.
    preloaded = [_file(compiler, "libasan.so"), _file(compiler, "libstdc++.so")]
    watched = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "LD_PRELOAD": " ".join(preloaded),
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter's own
    }
    here = Path(__file__).parent
    tests = [str(here / name) for name in ("test_native.py", "test_native_adam.py", "test_native_recurrent.py")]
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-n", "0", "-k", "not threads", *tests],
        env=watched, capture_output=True, text=True, cwd=here.parent,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-4000:] + told.stderr[-4000:]
    assert " passed" in told.stdout
    assert "skipped" not in told.stdout
