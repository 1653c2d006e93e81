"""Symmetrised: the mean of a distribution over a group of symmetries, with its exact log-probability."""

from collections.abc import Sequence
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
from lehr.shares import own_share
from lehr.symmetry import Group, check_size, check_unchanged, symmetries

# Spins of the images that are evaluated at once; a recurrent ansatz holds some kB of states for each.
MOST_SPINS = 2**18


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
        check_size(group, ansatz.order.sites.shape[-1], "ansatz")
        self.ansatz, self.group = ansatz, group
        # Where q has branches p has none: all costs are to-go for the first spin.
        self.order = SiteOrder.sequential(ansatz.order.sites)

    @property
    def params(self) -> Any:
        """The trainable arrays of q."""
        return self.ansatz.params

    @property
    def side_by_side(self) -> bool:
        """As q."""
        return self.ansatz.side_by_side

    @property
    def divides_samples(self) -> bool:
        """As q."""
        return self.ansatz.divides_samples

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
        element = own_share(jax.random.randint(which, (num_samples,), 0, self.group.size))
        permutations, signs = (jnp.asarray(table)[element] for table in (self.group.permutations, self.group.signs))
        spins = lax.stop_gradient(jnp.take_along_axis(drawn, permutations, axis=1) * signs.astype(drawn.dtype))
        return spins, self.log_prob(spins)

    def log_prob(self, spins: Float[Array, "num_samples n"]) -> LogProb:
        """ln p(s) at the spin drawn first and 0 at the others, shape [num_samples, N]; the sum is ln p(s)."""
        total = log_means(self, spins)[:, 0]
        return jnp.zeros(spins.shape, total.dtype).at[:, self.order.sites[0]].set(total)

    def flip_log_ratio(self, spins: Float[Array, "num_samples n"]) -> Float[Array, "num_samples n"]:
        """ln p(s with spin i flipped) - ln p(s) for every i, shape [num_samples, N]. Not differentiated."""
        found = log_means(lax.stop_gradient(self), spins, flips=True)
        return found[:, 1:] - found[:, :1]

    def scores(self, spins: Float[Array, "num_samples n"], *, room: int = MOST_SPINS) -> Jacobian:
        """d ln p(s) / d theta of every sample, as many at once as their images leave room for."""

        def log_prob(params, one):
            return log_means(with_params(self, params), one[None], room=room).sum()

        num_samples, num_spins = spins.shape
        together = min(num_samples, max(1, room // (self.group.size * num_spins)))
        return Jacobian(lax.map(partial(jax.grad(log_prob), self.params), spins, batch_size=together))


# Compiled once for each kind and shape, also where the caller does not compile.
@partial(jax.jit, static_argnames=("flips", "room"))
def log_means(
    ansatz: Symmetrised, spins: Float[Array, "m n"], *, flips: bool = False, room: int = MOST_SPINS
) -> Float[Array, "m _"]:
    """ln p(s), shape [M, 1]; with `flips` also ln p(s with spin i flipped) for every i, [M, 1 + N].

    The images are made for a few elements of the group at a time: at most `room` spins, unless those of one are more. A
    flip of spin i of s is a flip of spin j of g s, where `permutations[g, j] = i`.
    """
    (num_samples, num_spins), group, inner = spins.shape, ansatz.group, ansatz.ansatz
    most = min(group.size, max(1, room // spins.size))
    few = max(number for number in range(1, most + 1) if group.size % number == 0)
    chunks = jax.tree.map(lambda table: jnp.asarray(table).reshape(-1, few, num_spins), group)

    # The states of the network are made again for the gradient rather than kept for all elements.
    @partial(jax.checkpoint, prevent_cse=False)
    def add(total, chunk):
        images = chunk.images(spins).reshape(-1, num_spins)
        found = inner.log_prob(images).sum(1).reshape(few, num_samples, 1)
        if flips:
            ratio = inner.flip_log_ratio(images).reshape(few, num_samples, num_spins)
            place = jnp.broadcast_to(jnp.argsort(chunk.permutations, axis=1)[:, None], ratio.shape)
            flipped = found + jnp.take_along_axis(ratio, place, axis=2)
            found = jnp.concatenate([found, flipped], axis=2)
        return jnp.logaddexp(total, jax.nn.logsumexp(found, axis=0).astype(total.dtype)), None

    dtype = jnp.result_type(spins, *jax.tree.leaves(ansatz.params))
    start = jnp.full((num_samples, 1 + num_spins * flips), -jnp.inf, dtype)
    return lax.scan(add, start, chunks)[0] - jnp.log(group.size).astype(dtype)


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
