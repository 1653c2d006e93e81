"""The strictest JAX: no silent rank promotion, and shapes checked by jaxtyping and beartype."""

from jaxtyping import install_import_hook

install_import_hook("lehr", "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
# Most of the tests' time would go into compiling many tiny programs well.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def optimised():
    """Compile as users do."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
