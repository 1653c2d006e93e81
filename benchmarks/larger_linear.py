"""Two ansätze built around the linear one, with more inputs; `hidden_units.py` measures what they are worth."""

import itertools
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

import lehr
from lehr._types import ArrayLike
from lehr.ansatz.base import Ansatz, SiteOrder, with_params
from lehr.ansatz.dissection import conditioning_sets
from lehr.ansatz.hearing import Hearing, hear
from lehr.ansatz.linear import Linear, LinearParams, _by_position, _closing_values, _flat, _log_prob, _with_closing
from lehr.problem.base import Terms

_HIGHEST = jax.lax.Precision.HIGHEST


def on_xla(linear: Linear) -> Linear:
    """Without its kernels."""
    return eqx.tree_at(lambda a: a.tables, linear, None, is_leaf=lambda x: x is None)


class HiddenParams(eqx.Module):
    """Those of the linear ansatz, and weights, thresholds and outputs of the units: by unit and entry or position where
    they are a spin's own, else by bucket and block."""

    linear: LinearParams
    inputs: Any
    thresholds: Any
    outputs: Any


class Hidden(Ansatz):
    """The linear ansatz, to whose logits hidden units are added: `sum_k v_ik tanh(c_k + sum_j u_kj s_j)`.

    With `own` each spin has K units that see its conditioning set; else the spins of a block share K units, which see
    what is drawn of the block and its boundary (NADE, arXiv:1605.02226, on a tree). Unchanged at the start: v = 0.
    """

    params: HiddenParams
    order: SiteOrder
    linear: Linear
    scales: Any
    width: int = eqx.field(static=True)
    own: bool = eqx.field(static=True)

    def __init__(self, problem: lehr.Problem, width: int, own: bool = False):
        self.linear = on_xla(Linear(problem))
        self.order, self.width, self.own = self.linear.order, width, own
        sets = conditioning_sets(problem, np.asarray(self.order.sites))
        counts = np.maximum(np.diff(sets.starts), 1)
        if own:
            self.scales = np.repeat(counts, np.diff(sets.starts)) ** -0.5
        else:
            slots = (np.concatenate([b.boundary, b.rows], -1) < len(counts) for b in self.linear.buckets)
            self.scales = [np.broadcast_to(real.sum(-1, keepdims=True).clip(1) ** -0.5, real.shape) for real in slots]
        self.params = self.fresh_params(jax.random.key(0))

    def fresh_params(self, key):
        n, width, linear = len(self.order.sites), self.width, self.linear.fresh_params(key)
        if self.own:
            inputs = jnp.asarray(self.scales, float) * jax.random.normal(key, (width, len(self.scales)))
            return HiddenParams(linear, inputs, jnp.zeros((width, n)), jnp.zeros((width, n)))
        inputs, thresholds, outputs = [], [], []
        for number, (scale, bucket) in enumerate(zip(self.scales, self.linear.buckets, strict=True)):
            *shape, slots = scale.shape
            normal = jax.random.normal(jax.random.fold_in(key, number), (*shape, width, slots))
            inputs.append(jnp.asarray(scale, float)[..., None, :] * normal)
            thresholds.append(jnp.zeros((*shape, width)))
            outputs.append(jnp.zeros((*bucket.rows.shape, width)))
        return HiddenParams(linear, inputs, thresholds, outputs)

    def informed(self, problem, inverse_temperature):
        linear = self.linear.informed(problem, inverse_temperature)
        return eqx.tree_at(lambda a: a.linear, self, linear)

    def sample(self, key, num_samples):
        drawn = self._draw(jax.lax.stop_gradient(self._weights()), key, num_samples)
        return self.order.by_spin(drawn[:-1]), _log_prob(self.order, drawn, self._logits(drawn))

    def log_prob(self, spins):
        drawn = _by_position(self.order, spins)
        return _log_prob(self.order, drawn, self._logits(drawn))

    def flip_log_ratio(self, spins):
        flips = 1 - 2 * jnp.eye(spins.shape[1], dtype=spins.dtype)
        flipped = jax.vmap(lambda flip: self.log_prob(spins * flip).sum(1), out_axes=1)(flips)
        return flipped - self.log_prob(spins).sum(1, keepdims=True)

    def _weights(self):
        """Of each bucket: (weights of the logits, of the units, thresholds, outputs)."""
        linear = with_params(self.linear, self.params.linear)
        effective, coefficients = linear._effective(), linear._closing_coefficients()
        p, found = self.params, []
        for number, bucket in enumerate(self.linear.buckets):
            if self.own:
                hidden = [
                    jnp.moveaxis(_padded(p.inputs)[:, bucket.entries], 0, -2),  # [g, c, l, k, p + l]
                    jnp.moveaxis(_padded(p.thresholds)[:, bucket.rows], 0, -1),
                    jnp.moveaxis(_padded(p.outputs)[:, bucket.rows], 0, -1),
                ]
            else:
                hidden = [p.inputs[number], p.thresholds[number], p.outputs[number]]
            found.append((effective.weights[bucket.entries], *hidden))
        return effective, coefficients, found

    def _draw(self, weights, key, num_samples):
        effective, coefficients, found = weights
        noise = jax.random.logistic(key, (len(effective.bias), num_samples), effective.bias.dtype)
        drawn = jnp.zeros_like(noise)
        for bucket, own in zip(self.linear.buckets, found, strict=True):
            step = partial(_draw_depth, self.own, effective, coefficients, noise)
            drawn, _ = jax.lax.scan(step, drawn, (bucket, own))
        return drawn

    def _logits(self, drawn):
        effective, coefficients, found = self._weights()
        total = jnp.broadcast_to(effective.bias[:, None], drawn.shape)
        for bucket, own in zip(self.linear.buckets, found, strict=True):
            bucket, (weights, inputs, thresholds, outputs) = _flat(bucket), _flat(own)
            num_boundary = bucket.boundary.shape[1]
            local = drawn[jnp.concatenate([bucket.boundary, bucket.rows], axis=1)]
            block = jnp.matmul(weights, local, precision=_HIGHEST)
            if self.own:
                c, rows, k, slots = inputs.shape
                before = jnp.matmul(inputs.reshape(c, rows * k, slots), local, precision=_HIGHEST)
                before = before.reshape(c, rows, k, -1) + thresholds[..., None]
            else:
                start = jnp.matmul(inputs[..., :num_boundary], local[:, :num_boundary], precision=_HIGHEST)
                moves = jnp.moveaxis(inputs[..., num_boundary:], 1, 2)[..., None] * local[:, num_boundary:, None]
                before = (start + thresholds[..., None])[:, None] + jnp.cumsum(moves, 1) - moves
            block = block + (outputs[..., None] * jnp.tanh(before)).sum(2)
            for closing, coefficient in zip(bucket.closing, coefficients, strict=True):
                block = block + _closing_values(closing, coefficient, effective.closing_scale, bucket.rows, local).sum(
                    2
                )
            total = total.at[bucket.rows].add(block)
        return total


def _padded(table):
    """With the zeros to which padding points."""
    return jnp.pad(table, ((0, 0), (0, 1)))


def _draw_depth(own, effective, coefficients, noise, drawn, depth):
    bucket, (weights, inputs, thresholds, outputs) = depth
    num_boundary, num_rows = bucket.boundary.shape[-1], bucket.rows.shape[-1]
    known = drawn[bucket.boundary]
    outer = jnp.matmul(weights[..., :num_boundary], known, precision=_HIGHEST)
    block = effective.bias[bucket.rows][..., None] + outer
    if own:
        c, rows, k, _ = inputs.shape
        before = jnp.matmul(inputs[..., :num_boundary].reshape(c, rows * k, -1), known, precision=_HIGHEST)
        before = before.reshape(c, rows, k, -1) + thresholds[..., None]
    else:
        before = jnp.matmul(inputs[..., :num_boundary], known, precision=_HIGHEST) + thresholds[..., None]
    real = bucket.rows < noise.shape[0] - 1
    local = jnp.pad(known, ((0, 0), (0, num_rows), (0, 0)))

    def draw_spin(carry, xs):
        block, before, local = carry
        r, column, reading, writing, noise_r, real_r = xs
        logit = jax.lax.dynamic_index_in_dim(block, r, axis=1, keepdims=False)
        mine = jax.lax.dynamic_index_in_dim(before, r, axis=1, keepdims=False) if own else before
        logit = logit + (writing[..., None] * jnp.tanh(mine)).sum(1)
        logit = _with_closing(logit, bucket, coefficients, effective.closing_scale, r, local)
        spin = jnp.where(logit > noise_r, 1, -1).astype(noise.dtype) * real_r[:, None]
        block = block + column[..., None] * spin[:, None, :]
        before = before + reading[..., None] * (spin[:, None, None] if own else spin[:, None])
        if bucket.closing:
            local = jax.lax.dynamic_update_index_in_dim(local, spin, num_boundary + r, axis=1)
        return (block, before, local), spin

    inner = jnp.moveaxis(weights[..., num_boundary:], -1, 0)
    reading = jnp.moveaxis(inputs[..., num_boundary:], -1, 0)
    writing = jnp.moveaxis(outputs, 1, 0)
    xs = (jnp.arange(num_rows), inner, reading, writing, jnp.moveaxis(noise[bucket.rows], 1, 0), real.T)
    _, spins = jax.lax.scan(draw_spin, (block, before, local), xs)
    return drawn.at[bucket.rows.T].set(spins), None


class ProductParams(eqx.Module):
    """Those of the linear ansatz, and a weight for every product."""

    linear: LinearParams
    products: Float[ArrayLike, " p"]


class Products(Ansatz):
    """The linear ansatz that hears what the recurrent ones hear (`lehr.ansatz.hearing`): at every site the product of
    the other spins of each term, pair of terms and constraint that closes there, up to the kind that `hears` names.
    What each tells is built in, as the terms are, and a weight is added to it."""

    params: ProductParams
    order: SiteOrder
    linear: Linear  # of a problem whose terms are all these products
    hearing: Hearing
    places: tuple[Int[ArrayLike, " p"], ...]  # of the products of each kind among these terms

    def __init__(self, problem: lehr.Problem, hears: str = "constraints"):
        base = Linear(problem)
        sites = np.asarray(base.order.sites)
        self.hearing = hear(problem, base.order, hears)
        members: list[list[tuple[int, ...]]] = []
        for kind, site in zip(self.hearing.kinds, self.hearing.sites, strict=True):
            spins = [()] * len(kind.sets)
            for t, slot in np.argwhere(np.asarray(site.closing)):
                others = [sites[other - 1] for other in np.asarray(site.others)[t, slot] if other > 0]
                spins[np.asarray(site.numbers)[t, slot]] = tuple(sorted(map(int, [sites[t], *others])))
            members.append(spins)
        every = dict.fromkeys(itertools.chain(*members), 1.0)
        self.linear = on_xla(Linear(lehr.Problem.from_terms(problem.num_spins, every, lattice=problem.lattice), sites))
        ordered = [tuple(sorted(row)) for terms in self.linear.terms for row in np.asarray(terms.indices).tolist()]
        self.places = tuple(np.array([ordered.index(spins) for spins in each], int) for each in members)
        self.order = self.linear.order
        self.params = self.fresh_params(jax.random.key(0))

    def fresh_params(self, key):
        num_products = sum(len(terms.coefficients) for terms in self.linear.terms)
        return ProductParams(self.linear.fresh_params(key), jnp.zeros(num_products))

    def informed(self, problem, inverse_temperature):
        hearing = self.hearing.told(problem, inverse_temperature)
        return eqx.tree_at(lambda a: (a.hearing, a.linear.inverse_temperature), self, (hearing, inverse_temperature))

    def sample(self, key, num_samples):
        spins, _ = jax.lax.stop_gradient(self._linear()).sample(key, num_samples)
        return spins, self.log_prob(spins)  # the linear ansatz has no derivative in its coefficients when it draws

    def log_prob(self, spins):
        return self._linear().log_prob(spins)

    def flip_log_ratio(self, spins):
        return self._linear().flip_log_ratio(spins)

    def _linear(self) -> Linear:
        """The linear ansatz with the coefficients that make the logits of these products."""
        linear, told = self.linear, jnp.asarray(self.params.products)
        for kind, places in zip(self.hearing.kinds, self.places, strict=True):
            told = told.at[places].add(jnp.asarray(kind.evidence, told.dtype)[:-1])
        ends = np.cumsum([len(terms.coefficients) for terms in linear.terms])
        parts = jnp.split(told / (-2 * linear.inverse_temperature), ends[:-1])
        terms = tuple(Terms(each.indices, part) for each, part in zip(linear.terms, parts, strict=True))
        return eqx.tree_at(lambda a: (a.params, a.terms), linear, (self.params.linear, terms))
