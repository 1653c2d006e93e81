"""The strictest JAX: no silent rank promotion, and shapes checked by jaxtyping and beartype."""

from jaxtyping import install_import_hook

install_import_hook("lehr", "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def quick_compile():
    """Compile with few optimisations, for exact tests of many tiny programs: most of their time goes into compiling."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
