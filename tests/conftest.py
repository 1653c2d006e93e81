"""The strictest JAX: no silent rank promotion, and shapes checked by jaxtyping and beartype."""

from jaxtyping import install_import_hook

install_import_hook("lehr", "beartype.beartype")

import jax  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
