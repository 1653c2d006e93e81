"""Symmetrised: the mean of a distribution over a group of symmetries, with its exact log-probability."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from lehr._types import InputError, Key, LogProb, is_traced
from lehr.ansatz.base import Ansatz, SiteOrder, with_params
from lehr.ansatz.scores import Jacobian
from lehr.problem.base import Problem
from lehr.symmetry import Group, check_unchanged, symmetries

# Spins of the images that are evaluated at once; a recurrent ansatz holds some kB of states for each.
_MOST_SPINS = 2**18


class Symmetrised(Ansatz):
    """The mean `p(s) = (1 / |G|) sum_g q(g s)` of a distribution q over a group G of symmetries of the problem.

    It is as symmetric as the problem whatever q is: where q holds one ground state, p holds all its images, each with
    the same probability. An evaluation costs |G| of those of q. The parameters are those of q.

    p is no product of conditionals of q, so the log-probability per spin is ln p(s) at the spin drawn first, which is
    to blame for all costs, and 0 at the others.

    Arguments: `ansatz`, q; `group`, a `lehr.symmetry.Group`. Errors: `InputError` where these have different numbers of
    spins, or (in `informed`) the group changes the energy.

    Source: symmetry averages of autoregressive networks, e.g. Hibat-Allah et al., Phys. Rev. Research 2, 023358 (2020).

    >>> from lehr import Linear, Problem
    >>> pair = Problem.from_terms(2, {(0, 1): -1.0})
    >>> ansatz = Symmetrised(Linear(pair), symmetries(pair, "flip"))
    >>> up, down = jnp.exp(ansatz.log_prob(jnp.array([[1.0, 1.0], [-1.0, -1.0]])).sum(1)).tolist()
    >>> round(up, 3), round(down, 3)
    (0.44, 0.44)
    """

    ansatz: Ansatz
    group: Group
    order: SiteOrder

    def __init__(self, ansatz: Ansatz, group: Group):
        num_spins = ansatz.order.sites.shape[-1]
        if group.permutations.shape[1] != num_spins:
            raise InputError(
                f"Argument `group` must act on the {num_spins} spins of the ansatz, "
                f"but it acts on {group.permutations.shape[1]}."
            )
        self.ansatz, self.group = ansatz, group
        # Where q has branches p has none: all costs are to-go for the first spin.
        self.order = SiteOrder.sequential(ansatz.order.sites)

    @property
    def params(self) -> Any:
        """The trainable arrays of q."""
        return self.ansatz.params

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        return self.ansatz.num_parameters

    def fresh_params(self, key: Key) -> Any:
        """New random parameters of q."""
        return self.ansatz.fresh_params(key)

    def informed(self, problem: Problem, inverse_temperature: Float[Array, ""]) -> "Symmetrised":
        """The ansatz with q informed.

        Errors: `InputError` where q was built for other interactions, or the group changes the energy.
        """
        if not any(map(is_traced, jax.tree.leaves((self.group, problem)))):
            check_unchanged(self.group, problem)
        return eqx.tree_at(lambda a: a.ansatz, self, self.ansatz.informed(problem, inverse_temperature))

    def sample(self, key: Key, num_samples: int) -> tuple[Float[Array, "num_samples n"], LogProb]:
        """Draw independent samples of q, each transformed by a random element of the group; see `Ansatz.sample`."""
        key, which = jax.random.split(key)
        drawn, _ = self.ansatz.sample(key, num_samples)
        element = jax.random.randint(which, (num_samples,), 0, self.group.size)
        permutations, signs = (jnp.asarray(table)[element] for table in (self.group.permutations, self.group.signs))
        spins = lax.stop_gradient(jnp.take_along_axis(drawn, permutations, axis=1) * signs.astype(drawn.dtype))
        return spins, self.log_prob(spins)

    def log_prob(self, spins: Float[Array, "num_samples n"]) -> LogProb:
        """ln p(s) at the spin drawn first and 0 at the others, shape [num_samples, N]; the sum is ln p(s)."""

        def log_prob(images, group):
            return self.ansatz.log_prob(images).sum(1).reshape(group.size, -1)

        total = self._log_mean(spins, spins.shape[:1], log_prob)
        return jnp.zeros(spins.shape, total.dtype).at[:, self.order.sites[0]].set(total)

    def flip_log_ratio(self, spins: Float[Array, "num_samples n"]) -> Float[Array, "num_samples n"]:
        """ln p(s with spin i flipped) - ln p(s) for every i, shape [num_samples, N]. Not differentiated.

        A flip of spin i of s is one of spin j of g s, where `permutations[g, j] = i`.
        """
        num_samples, num_spins = spins.shape

        def log_probs(images, group):
            ratio = self.ansatz.flip_log_ratio(images).reshape(group.size, num_samples, num_spins)
            place = jnp.broadcast_to(jnp.argsort(group.permutations, axis=1)[:, None], ratio.shape)
            ratio = jnp.pad(jnp.take_along_axis(ratio, place, axis=2), ((0, 0), (0, 0), (1, 0)))
            return ratio + self.ansatz.log_prob(images).sum(1).reshape(group.size, num_samples, 1)

        found = self._log_mean(spins, (num_samples, 1 + num_spins), log_probs)
        return found[:, 1:] - found[:, :1]

    def scores(self, spins: Float[Array, "num_samples n"]) -> Jacobian:
        """d ln p(s) / d theta of every sample, as many at once as their images leave room for."""

        def log_prob(params, one):
            return with_params(self, params).log_prob(one[None]).sum()

        num_samples, num_spins = spins.shape
        together = min(num_samples, max(1, _MOST_SPINS // (self.group.size * num_spins)))
        return Jacobian(lax.map(partial(jax.grad(log_prob), self.params), spins, batch_size=together))

    def _log_mean(
        self, spins: Float[Array, "m n"], shape: tuple[int, ...], values: Callable[[Array, Group], Array]
    ) -> Float[Array, "m ..."]:
        """`ln (1 / |G|) sum_g exp values(g s)`, of this shape.

        `values(images, group)` gets the images of a few elements, [few * M, N], and these elements, and returns
        [few, *shape].
        """
        (num_samples, num_spins), size = spins.shape, self.group.size
        room = max(1, _MOST_SPINS // (num_samples * num_spins))
        few = max(each for each in range(1, min(size, room) + 1) if size % each == 0)
        chunks = jax.tree.map(lambda table: jnp.asarray(table).reshape(size // few, few, num_spins), self.group)

        # The states of the networks are made again for the gradient rather than kept for all elements.
        @partial(jax.checkpoint, prevent_cse=False)
        def add(total, chunk):
            images = chunk.images(spins).reshape(few * num_samples, num_spins)
            found = jax.nn.logsumexp(values(images, chunk), axis=0)
            return jnp.logaddexp(total, found.astype(total.dtype)), None

        start = jnp.full(shape, -jnp.inf, jnp.result_type(spins, *jax.tree.leaves(self.params)))
        return lax.scan(add, start, chunks)[0] - jnp.log(size).astype(start.dtype)


def symmetrised(ansatz: Ansatz, description: str, problems: Sequence[Problem], symmetrise: str) -> tuple[Ansatz, str]:
    """The ansatz and its description, averaged over the symmetries named; both as they are where none is named.

    Whoever reads the description of a symmetrised ansatz, given or made here, is told that it is one. Errors:
    `InputError` where the problems have not all of these symmetries.
    """
    if symmetrise:
        if isinstance(ansatz, Symmetrised):
            raise InputError("Argument `symmetrise` must be left out for an ansatz that is symmetrised already.")
        ansatz = Symmetrised(ansatz, symmetries(problems[0], symmetrise))
    if isinstance(ansatz, Symmetrised):
        for problem in problems:
            check_unchanged(ansatz.group, problem)
        kinds = f" ({symmetrise})" if symmetrise else ""
        description = f"{description}; symmetrised: p is the mean over {ansatz.group.size} symmetries{kinds}"
    return ansatz, description
