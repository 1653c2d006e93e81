"""The strictest JAX: no silent rank promotion, and shapes checked by jaxtyping and beartype."""

import itertools
from pathlib import Path

from jaxtyping import install_import_hook

install_import_hook("lehr", "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
# Most of the tests' time would go into compiling many tiny programs well.
jax.config.update("jax_disable_most_optimizations", True)

_finished = itertools.count(1)
_MAPS = Path("/proc/self/maps")


def pytest_runtest_teardown():
    """Forgets compiled programs where there are many: each takes a few maps of memory, of which Linux grants a process
    65 530, and XLA crashes where there are no more."""
    if next(_finished) % 25 == 0 and _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture
def optimised():
    """Compile as users do."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
