"""The linear autoregressive ansatz with exact conditioning sets."""

from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lehr._types import ArrayLike, Key, LogProb
from lehr.ansatz.base import Ansatz, Estimate, SiteOrder, check_interactions
from lehr.ansatz.blocks import Bucket, block_layout
from lehr.ansatz.dissection import conditioning_sets, nested_dissection, pair_entries
from lehr.native import linear as native
from lehr.problem.base import Problem, Terms
from lehr.shares import own_share


class LinearParams(eqx.Module):
    """Biases b and coupling scales a by position, and weights w, one for every position and each of its parents (the
    entries of `ConditioningSets.starts`)."""

    bias: Float[ArrayLike, " n"]
    weights: Float[ArrayLike, " entries"]
    coupling_scale: Float[ArrayLike, " n"]


class _Logits(eqx.Module):
    """Everything that makes logits from spins: they are linear in each of its arrays.

    `closing_scale[n + 1]` multiplies the fields of the closing terms of order >= 3. All end with the zero to which
    padding points.
    """

    bias: Float[Array, " n1"]
    weights: Float[Array, " entries1"]
    closing_scale: Float[Array, " n1"]


class Linear(Ansatz):
    """Logistic regression on the exact conditioning sets, with the Hamiltonian built in.

    The logit ln p(+1)/p(-1) of spin i, given the spins drawn before it, is

    `b_i + sum_{j in parents(i)} w_ij s_j - 2 beta a_i (h_i + sum of the terms that close at i, without s_i)`

    where parents(i) are the drawn spins adjacent to the component of undrawn spins that contains i, and a term closes
    at the last of its spins to be drawn. It starts at w = b = 0 and a = 1, where it is exact to first order at high
    temperature. On pairwise problems it is the strongest ansatz per second; where all terms have order three or more
    the products its logits would need are not linear in the spins.

    Arguments: `problem` (its interactions fix the structure; other coefficients on the same interactions may be shown
    later by `informed`); `sites`, the drawing order, nested dissection by default.

    Sources: exact form of the conditionals of pairwise models, arXiv:2302.08347; TwoBo, arXiv:2402.16579.

    >>> chain = Problem.from_terms(4, {(0, 1): -1.0, (1, 2): 0.5, (2, 3): -0.5})
    >>> ansatz = Linear(chain).informed(chain, jnp.asarray(2.0))
    >>> spins, log_prob = ansatz.sample(jax.random.key(0), 3)
    >>> spins.shape, log_prob.shape, ansatz.num_parameters
    ((3, 4), (3, 4), 11)
    """

    params: LinearParams
    order: SiteOrder
    buckets: tuple[Bucket, ...]
    pairs: Int[ArrayLike, "m 2"]  # the entry of each pair term, and where it closes
    terms: tuple[Terms, ...]
    inverse_temperature: Float[ArrayLike, ""]
    tables: native.Tables | None  # of the kernels, where they serve

    def __init__(self, problem: Problem, sites: Sequence[int] | Int[ArrayLike, " n"] | None = None):
        sets = conditioning_sets(problem, nested_dissection(problem) if sites is None else np.asarray(sites))
        self.order = sets.order
        self.buckets = block_layout(problem, sets)
        self.pairs = pair_entries(problem, sets).astype(np.int32)
        self.params = _fresh_params(len(self.order.sites), int(sets.starts[-1]))
        self.terms = problem.terms
        self.inverse_temperature = np.ones((), self.params.bias.dtype)
        self.tables = native.tables(problem, sets)

    def fresh_params(self, key: Key) -> LinearParams:
        """The parameters before training, w = b = 0 and a = 1; they need no randomness."""
        return _fresh_params(len(self.order.sites), self.params.weights.shape[-1])

    def informed(self, problem: Problem, inverse_temperature: Float[Array, ""]) -> "Linear":
        """The ansatz with the coefficients of `problem` and `beta` in its logits.

        Errors: `InputError` where other spins interact than in the problem it was built for.
        """
        check_interactions([terms.indices for terms in self.terms], problem)
        return eqx.tree_at(lambda a: (a.terms, a.inverse_temperature), self, (problem.terms, inverse_temperature))

    def sample(self, key: Key, num_samples: int) -> tuple[Float[Array, "num_samples n"], LogProb]:
        """Draw samples, one block after the other; see `Ansatz.sample`."""
        drawn, logits = _draw(
            num_samples, self._kernel(key), self.buckets, self._closing_coefficients(), self._effective(), key
        )
        return self.order.by_spin(drawn[:-1]), _log_prob(self.order, drawn, logits)

    def thermal_estimate(
        self,
        key: Key,
        num_samples: int,
        temperature: Float[Array, ""],
        unit: Float[Array, ""],
        *,
        normalise: bool,
    ) -> Estimate | None:
        """By one kernel, where there is one; see `Ansatz.thermal_estimate`."""
        tables = self._kernel(key)
        if tables is None:
            return None
        params = self.params
        lowest, energy, log_prob, weights, bias, scale = native.gradient(
            tables,
            key,
            num_samples,
            weights=jnp.asarray(params.weights),
            bias=jnp.asarray(params.bias),
            scale=jnp.asarray(params.coupling_scale),
            pairs=self._pair_coefficients(),
            fields=self._fields(),
            inverse_temperature=self.inverse_temperature,
            temperature=temperature,
            unit=unit,
            normalise=normalise,
        )
        return Estimate(lowest, energy, log_prob, LinearParams(bias, weights, scale))

    @property
    def divides_samples(self) -> bool:
        """Not by the kernels, which make the random numbers of all samples themselves."""
        return self.tables is None

    def log_prob(self, spins: Float[Array, "num_samples n"]) -> LogProb:
        """ln p per spin, all at once; see `Ansatz.log_prob`."""
        drawn = _by_position(self.order, spins)
        return _log_prob(
            self.order, drawn, _logits(self.buckets, self._closing_coefficients(), self._effective(), drawn)
        )

    def flip_log_ratio(self, spins: Float[Array, "num_samples n"]) -> Float[Array, "num_samples n"]:
        """ln p(s^i) - ln p(s): only the conditionals that have spin i among their parents are evaluated again."""
        drawn = _by_position(self.order, spins)
        effective, coefficients = self._effective(), self._closing_coefficients()
        logits = _logits(self.buckets, coefficients, effective, drawn)
        ratio = -drawn * logits  # flipping s_i itself: log_sigmoid(-x) - log_sigmoid(x) = -x
        for bucket in self.buckets:
            ratio = _flip_parents(bucket, coefficients, effective, drawn, logits, ratio)
        return self.order.by_spin(ratio[:-1])

    def _effective(self) -> "_Logits":
        """The weights of the logits, with the pair couplings and fields absorbed."""
        params, dtype = self.params, jnp.result_type(self.params.bias)
        scale = -2 * jnp.asarray(self.inverse_temperature, dtype) * params.coupling_scale
        bias = jnp.append(jnp.asarray(params.bias) + scale * self._fields(), 0)
        entries, closes = jnp.asarray(self.pairs).T
        weights = jnp.append(jnp.asarray(params.weights), 0).at[entries].add(scale[closes] * self._pair_coefficients())
        return _Logits(bias, weights, jnp.append(scale, 0))

    def _kernel(self, key: Key) -> native.Tables | None:
        """The kernels' tables, where they serve for this key."""
        return self.tables if self.tables is not None and self.tables.serves(key) else None

    def _fields(self) -> Float[Array, " n"]:
        """The terms of one spin, by position."""
        fields = jnp.zeros(len(self.order.sites), jnp.result_type(self.params.bias))
        for single in self.terms:
            if single.order == 1:
                at = jnp.asarray(self.order.positions)[single.indices[:, 0]]
                fields = fields.at[at].add(jnp.asarray(single.coefficients, fields.dtype))
        return fields

    def _pair_coefficients(self) -> Float[Array, " m"]:
        found = next((terms.coefficients for terms in self.terms if terms.order == 2), np.zeros(0))
        return jnp.asarray(found, jnp.result_type(self.params.bias))

    def _closing_coefficients(self) -> tuple[Float[Array, " _"], ...]:
        """Coefficients of the terms of order three and more, by order."""
        return tuple(_padded(terms, jnp.result_type(self.params.bias)) for terms in self.terms if terms.order > 2)


def _fresh_params(num_spins: int, num_entries: int) -> LinearParams:
    dtype = jnp.result_type(float)
    return LinearParams(np.zeros(num_spins, dtype), np.zeros(num_entries, dtype), np.ones(num_spins, dtype))


def _padded(terms: Terms, dtype) -> Float[Array, " m1"]:
    """Coefficients with the zero to which padding points."""
    return jnp.append(jnp.asarray(terms.coefficients, dtype), 0)


def _by_position(order: SiteOrder, spins: Float[Array, "num_samples n"]) -> Float[Array, "n1 num_samples"]:
    """Spins in drawing order, spin-major, with the padding row of zeros."""
    return jnp.pad(spins.T[jnp.asarray(order.sites)], ((0, 1), (0, 0)))


def _log_prob(order: SiteOrder, drawn: Float[Array, "n1 m"], logits: Float[Array, "n1 m"]) -> LogProb:
    return order.by_spin(jax.nn.log_sigmoid(drawn * logits)[:-1])


def _closing_values(closing, coefficients, closing_scale, rows, local):
    """Contribution of every closing term to the logit of its last spin, [blocks, l, T, M]."""
    block = jnp.arange(local.shape[0])[:, None, None]
    value = (coefficients[closing.terms] * closing_scale[rows][..., None])[..., None]
    for k in range(closing.others.shape[-1]):
        value = value * local[block, closing.others[..., k]]
    return value


def _with_closing(logit: Float[Array, "blocks m"], bucket: Bucket, coefficients, closing_scale, r, local):
    """The logits of spin r of each block with what the terms say that close there."""
    at = partial(jax.lax.dynamic_slice_in_dim, start_index=r, slice_size=1, axis=1)
    for closing, coefficient in zip(bucket.closing, coefficients, strict=True):
        value = _closing_values(jax.tree.map(at, closing), coefficient, closing_scale, at(bucket.rows), local)
        logit = logit + value.sum((1, 2))
    return logit


def _flat(bucket: Bucket) -> Bucket:
    """The blocks of all depths side by side, for work that needs no order."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf).reshape(-1, *leaf.shape[2:]), bucket)


def _logits(buckets, coefficients, logits: _Logits, drawn: Float[Array, "n1 m"]) -> Float[Array, "n1 m"]:
    """Logits of all spins given all spins."""
    total = jnp.broadcast_to(logits.bias[:, None], drawn.shape)
    for bucket in map(_flat, buckets):
        local = drawn[jnp.concatenate([bucket.boundary, bucket.rows], axis=1)]
        block = jnp.matmul(logits.weights[bucket.entries], local, precision=jax.lax.Precision.HIGHEST)
        for closing, coefficient in zip(bucket.closing, coefficients, strict=True):
            block = block + _closing_values(closing, coefficient, logits.closing_scale, bucket.rows, local).sum(2)
        total = total.at[bucket.rows].add(block)
    return total


def _drawn(
    num_samples: int, tables: native.Tables | None, buckets, coefficients, logits: _Logits, key: Key
) -> tuple[Float[Array, "n1 m"], Float[Array, "n1 m"]]:
    """Draw spins: (spins, logits), both [n + 1, M] in drawing order, by the kernel where its tables are given.

    Spin t is up where its logit exceeds row t of logistic noise.
    """
    if tables is not None:
        return native.draw(tables, key, logits.weights, logits.bias, num_samples)
    noise = own_share(jax.random.logistic(key, (len(logits.bias), num_samples), logits.bias.dtype), axis=1)
    drawn = jnp.zeros_like(noise)
    found = jnp.zeros_like(noise)
    for bucket in buckets:
        step = partial(_draw_depth, coefficients, logits, noise)
        (drawn, found), _ = jax.lax.scan(step, (drawn, found), (bucket, logits.weights[bucket.entries]))
    return drawn, found


def _draw_depth(coefficients, logits: _Logits, noise, carry, depth):
    """All blocks of one depth: the boundary by one matrix product, then spin after spin."""
    drawn, found = carry
    bucket, weights = depth
    num_boundary = bucket.boundary.shape[-1]
    known = drawn[bucket.boundary]
    outer = jnp.matmul(weights[..., :num_boundary], known, precision=jax.lax.Precision.HIGHEST)
    block = logits.bias[bucket.rows][..., None] + outer
    inner = jnp.moveaxis(weights[..., num_boundary:], -1, 0)
    real = bucket.rows < noise.shape[0] - 1
    local = jnp.pad(known, ((0, 0), (0, bucket.rows.shape[-1]), (0, 0)))

    def draw_spin(carry, xs):
        block, local = carry
        r, column, noise_r, real_r = xs
        logit = jax.lax.dynamic_index_in_dim(block, r, axis=1, keepdims=False)
        logit = _with_closing(logit, bucket, coefficients, logits.closing_scale, r, local)
        spin = jnp.where(logit > noise_r, 1, -1).astype(noise.dtype) * real_r[:, None]
        block = block + column[..., None] * spin[:, None, :]
        if bucket.closing:
            local = jax.lax.dynamic_update_index_in_dim(local, spin, num_boundary + r, axis=1)
        return (block, local), (spin, logit)

    index = jnp.arange(bucket.rows.shape[-1])
    xs = (index, inner, jnp.moveaxis(noise[bucket.rows], 1, 0), real.T)
    _, (spins, logit) = jax.lax.scan(draw_spin, (block, local), xs)
    return (drawn.at[bucket.rows.T].set(spins), found.at[bucket.rows.T].set(logit)), None


def _draw_forward(num_samples, tables, buckets, coefficients, logits: _Logits, key):
    drawn, found = _drawn(num_samples, tables, buckets, coefficients, logits, key)
    return (drawn, found), (buckets, coefficients, logits, drawn)


def _draw_backward(num_samples, residuals, cotangents):
    """Logits are linear in the arrays of `_Logits`, so their transpose needs no second forward pass."""
    buckets, coefficients, logits, drawn = residuals
    transpose = jax.linear_transpose(lambda arrays: _logits(buckets, coefficients, arrays, drawn), logits)
    return None, None, None, transpose(cotangents[1])[0], None


_draw = jax.custom_vjp(_drawn, nondiff_argnums=(0,))
_draw.defvjp(_draw_forward, _draw_backward)


def _flip_parents(bucket, coefficients, effective: _Logits, drawn, logits, ratio):
    """Add what flipping each parent changes in the conditionals of the spins of a bucket."""
    bucket = _flat(bucket)
    weights = effective.weights[bucket.entries]
    slots = jnp.concatenate([bucket.boundary, bucket.rows], axis=1)
    local = drawn[slots]
    block = jnp.arange(local.shape[0])[:, None]

    def add_row(total, r):
        take = partial(jax.lax.dynamic_index_in_dim, index=r, axis=1, keepdims=False)
        row = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, r, 1, axis=1), bucket)
        spin, logit = drawn[take(bucket.rows)], logits[take(bucket.rows)]
        change = -2 * take(weights)[..., None] * local
        for closing, coefficient in zip(row.closing, coefficients, strict=True):
            value = -2 * _closing_values(closing, coefficient, effective.closing_scale, row.rows, local)[:, 0]
            for k in range(closing.others.shape[-1]):
                change = change.at[block, closing.others[:, 0, :, k]].add(value)
        flipped = jax.nn.log_sigmoid(spin[:, None] * (logit[:, None] + change))
        return total + flipped - jax.nn.log_sigmoid(spin * logit)[:, None], None

    total, _ = jax.lax.scan(add_row, jnp.zeros_like(local), jnp.arange(bucket.rows.shape[1]))
    return ratio.at[slots].add(total)
