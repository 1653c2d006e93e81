"""What recurrent ansätze hear of the Hamiltonian: exact where theory says so, causal, the same under translation."""

import itertools
import math
from decimal import Decimal, localcontext

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enumeration import all_states, energies, mixed_problem, with_random_params
from lehr import RNN1D, RNN2D, DilatedRNN, InputError, Lattice, Problem, build_ansatz, newman_moore, solve
from lehr.ansatz.hearing import hear
from lehr.ansatz.order import given, raster

ORDER = [3, 0, 5, 4, 1, 2]
PROBLEM = mixed_problem(6)
OTHER = Problem.from_terms(6, {(0, 1): 1.0})


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def make(name, problem=PROBLEM, beta=0.7):
    """An informed ansatz that has been trained on nonsense."""
    options = {"problem": problem, "hidden": 3}
    built = {
        "1d": lambda: RNN1D(6, cell="gru", order=ORDER, **options),
        "1d sites": lambda: RNN1D(6, cell="tensorised", shared=False, order=ORDER, **options),
        "2d": lambda: RNN2D((2, 3), **options),
        "dilated": lambda: DilatedRNN(6, order=ORDER, **options),
    }[name]()
    return with_random_params(built).informed(problem, jnp.asarray(beta))


NAMES = ["1d", "1d sites", "2d", "dilated"]


def at(hearing, t):
    """The tables of the site drawn at t."""
    return jax.tree.map(lambda table: table[t], hearing.sites)


def slots(order, t, spins):
    """The spins of the problem by slot: those drawn before t, and nonsense for the others."""
    drawn = np.where(np.arange(len(order)) < t, np.asarray(spins)[np.asarray(order)], 99.0)
    return jnp.concatenate([jnp.zeros(1), jnp.asarray(drawn)])[:, None]


def written_out(problem, order, t, spins):
    """Closed and open terms of the site drawn at t, from the spins of the problem: {term: value}."""
    place = {int(spin): position for position, spin in enumerate(order)}
    here, closed, unfinished, number = order[t], {}, {}, 0
    for terms in problem.terms:
        for members, coefficient in zip(terms.indices.tolist(), terms.coefficients.tolist(), strict=True):
            if here in members:
                drawn = [spin for spin in members if place[spin] < t]
                value = coefficient * np.prod([spins[spin] for spin in drawn])
                (closed if len(drawn) == len(members) - 1 else unfinished)[number] = value
            number += 1
    return closed, unfinished


def pairs_written_out(problem, order, t, spins):
    """{(term, term): (coefficients, product of the other spins)} of the two that tell position t, by the definition."""
    place = {int(spin): position for position, spin in enumerate(order)}
    every = [
        (set(members), coefficient)
        for terms in problem.terms
        for members, coefficient in zip(terms.indices.tolist(), terms.coefficients.tolist(), strict=True)
    ]
    found = {}
    for a, b in itertools.combinations(range(len(every)), 2):
        one, other = every[a][0], every[b][0]
        later = [{spin for spin in members if place[spin] > t} for members in (one, other)]
        rest = one ^ other
        if later[0] and later[0] == later[1] and order[t] in rest:
            product = np.prod([spins[spin] for spin in rest - {order[t]}])
            found[a, b] = ((every[a][1], every[b][1]), product)
    return found


def test_features_and_fields_are_the_terms_and_their_pairs():
    hearing, order = hear(PROBLEM, given(6, ORDER)), ORDER
    hearing = hearing.told(PROBLEM, jnp.asarray(0.3))
    coefficients = np.concatenate([terms.coefficients for terms in PROBLEM.terms])
    unit = np.sqrt((coefficients**2).mean())
    widths = [table.numbers.shape[1] for table in hearing.sites]
    assert hearing.num_features == 2 * widths[0] + sum(widths[1:])
    num_pairs = 0
    for t, spins in itertools.product(range(6), all_states(6)[::7]):
        site = at(hearing, t)
        features, fields = hearing.listen(site, slots(order, t, spins))
        closed, unfinished = written_out(PROBLEM, order, t, spins)
        assert fields[0, 0] == pytest.approx(-2 * 0.3 * sum(closed.values()), abs=1e-12)
        banks = np.split(np.asarray(features)[:, 0] * unit, np.cumsum([widths[0], *widths[:2]]))
        for bank, values in zip(banks[:2], (closed, unfinished), strict=True):
            found = {int(m): v for m, v in zip(site[0].numbers, bank, strict=True) if abs(v) > 1e-12}
            assert found == pytest.approx(values)
        pairs = pairs_written_out(PROBLEM, order, t, spins)
        told = [2 * np.arctanh(np.tanh(-0.3 * a) * np.tanh(-0.3 * b)) * s for (a, b), s in pairs.values()]
        assert fields[1, 0] == pytest.approx(sum(told), abs=1e-12)
        names = [tuple(pair) for pair in hearing.kinds[1].sets.tolist()]
        found = {names[p]: v for p, v in zip(site[1].numbers, banks[2], strict=True) if abs(v) > 1e-12}
        assert found == pytest.approx(
            {pair: -np.sign(a * b) * min(abs(a), abs(b)) * s for pair, ((a, b), s) in pairs.items()}
        )
        num_pairs += len(pairs)
    assert num_pairs


@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_open_newman_moore_is_exactly_boltzmann_at_the_start(beta):
    """Every site closes one term at most, so the skip connection alone is the exact conditional."""
    rows, columns = 3, 3
    site = np.arange(rows * columns).reshape(rows, columns)
    terms = {(site[x, y], site[x + 1, y], site[x, y + 1]): 0.5 for x in range(rows - 1) for y in range(columns - 1)}
    problem = Problem.from_terms(
        9, {tuple(map(int, term)): c for term, c in terms.items()}, lattice=Lattice((rows, columns))
    )
    ansatz = RNN2D((rows, columns), problem=problem, order="raster").informed(problem, jnp.asarray(beta))
    weights = -beta * energies(problem)
    exact = weights - np.log(np.exp(weights).sum())
    np.testing.assert_allclose(ansatz.log_prob(jnp.asarray(all_states(9))).sum(1), exact, atol=1e-12)


def random_problem(seed):
    """Sparse terms of orders 1 to 3 on seven spins, and an order in which to draw them."""
    rng = np.random.default_rng(seed)
    every = [spins for k in (1, 2, 3) for spins in itertools.combinations(range(7), k)]
    chosen = rng.choice(len(every), 14, replace=False)
    return Problem.from_terms(7, {every[m]: rng.normal() for m in chosen}), rng.permutation(7)


@pytest.mark.parametrize("seed", range(4))
def test_the_start_is_exact_to_second_order_at_high_temperature(seed):
    """Every conditional logit, against enumeration; without the pairs it is exact to first order only."""
    problem, order = random_problem(seed)
    ansatz, states = RNN1D(7, order=order, problem=problem, hidden=3), all_states(7)
    alone = eqx.tree_at(lambda a: a.params["coupling"].kernel, ansatz, jnp.eye(1, len(ansatz.hearing.kinds)).T)

    def error(ansatz, beta):
        log_prob = np.asarray(ansatz.informed(problem, jnp.asarray(beta)).log_prob(jnp.asarray(states)))
        weights, largest = np.exp(-beta * energies(problem)), 0.0
        for t, spin in enumerate(order):
            before = [states[:, earlier] > 0 for earlier in order[:t]]
            group = sum((2**k * b for k, b in enumerate(before)), np.zeros(len(states), int))
            up, down = (np.bincount(group, weights * (states[:, spin] == sign)) for sign in (1, -1))
            exact = np.log(up / down)[group]
            logit = np.where(states[:, spin] > 0, 1, -1) * (log_prob[:, spin] - np.log(-np.expm1(log_prob[:, spin])))
            largest = max(largest, np.abs(logit - exact).max())
        return largest

    assert error(ansatz, 1e-2) < 1e-3
    assert error(ansatz, 1e-2) / error(ansatz, 5e-3) == pytest.approx(8, rel=0.05)
    assert error(alone, 1e-2) / error(alone, 5e-3) == pytest.approx(4, rel=0.05)


def test_newman_moore_samples_all_ground_states_before_any_training():
    """L = 7: the first row has a parity that no term and no pair tells, and 2^6 ground states."""
    problem = newman_moore(7)
    ansatz = RNN2D((7, 7), problem=problem, order="zigzag", hidden=3)
    constraint = ansatz.hearing.sites[2].closing[:, 0]
    assert np.flatnonzero(constraint).tolist() == [6]
    spins = np.asarray(ansatz.informed(problem, jnp.asarray(20.0)).sample(jax.random.key(0), 600)[0])
    assert (spins[:, :7].prod(1) == -1).all()  # the product of the last row's terms
    assert (problem.energy(spins) == problem.ground_energy).mean() > 0.99
    assert len(np.unique(spins, axis=0)) == 64
    deaf = eqx.tree_at(lambda a: a.params["coupling"].kernel, ansatz, jnp.array([[1.0], [1.0], [0.0]]))
    spins = np.asarray(deaf.informed(problem, jnp.asarray(20.0)).sample(jax.random.key(0), 600)[0])
    assert 0.4 < (problem.energy(spins) == problem.ground_energy).mean() < 0.6


def planted_problem(seed):
    """Ten terms of three spins, all of which a planted state satisfies, and an order in which to draw the spins."""
    rng = np.random.default_rng(seed)
    planted = rng.choice([-1.0, 1.0], 12)
    every = list(itertools.combinations(range(12), 3))
    terms = [every[m] for m in rng.choice(len(every), 10, replace=False)]
    problem = Problem.from_terms(12, {spins: -(1 + rng.random()) * planted[list(spins)].prod() for spins in terms})
    return problem, planted, rng.permutation(12)


@pytest.mark.parametrize("seed", range(3))
def test_where_every_term_can_be_satisfied_a_cold_start_satisfies_it(seed):
    """Determined spins have probability 1 and the others 1/2: uniform over the ground states, by GF(2)."""
    problem, planted, order = planted_problem(seed)
    ansatz = DilatedRNN(12, order=order, problem=problem, hidden=3).informed(problem, jnp.asarray(100.0))
    assert len(ansatz.hearing.kinds) == 3
    spins, log_prob = ansatz.sample(jax.random.key(seed), 50)
    np.testing.assert_allclose(problem.energy(np.asarray(spins)), problem.energy(planted), atol=1e-9)
    levels = energies(problem)
    np.testing.assert_allclose(log_prob.sum(1), -np.log((levels < levels.min() + 1e-9).sum()), atol=1e-9)


@pytest.mark.parametrize("beta", [1e-6, 1e-3, 0.2, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("traced", [False, True])
def test_what_products_tell_is_stable_in_single_precision(beta, traced):
    """2 K for any beta c, against the definition in 400 digits; certainty is told as 75 or more."""
    problem, _, order = planted_problem(0)
    hearing = hear(problem, given(12, order))
    kinds = told_in_single_precision(hearing, problem, beta, traced)
    assert len(kinds) == 3
    coefficients = [Decimal(float(np.float32(c))) for c in problem.terms[0].coefficients]
    for (evidence, _), kind in zip(kinds, hearing.kinds, strict=True):
        for found, terms in zip(evidence, kind.sets.tolist(), strict=False):
            with localcontext(prec=400):
                growth = [(-2 * Decimal(beta) * coefficients[m]).exp() for m in terms if m < 10]
                product = math.prod((g - 1) / (g + 1) for g in growth)
                expected = float(((1 + product) / (1 - product)).ln() if abs(product) != 1 else product * 1000)
            if abs(expected) < 75:
                assert float(found) == pytest.approx(expected, rel=1e-5, abs=1e-37)
            else:
                assert 75 <= found * np.sign(expected) < np.inf


@pytest.mark.parametrize("traced", [False, True])
def test_terms_of_coefficient_zero_tell_nothing(traced):
    problem = Problem.from_terms(3, {(0, 1): 0.0, (1, 2): -2.0})
    hearing = hear(problem, given(3, [0, 2, 1]))
    for evidence, effective in told_in_single_precision(hearing, problem, 2.0, traced)[1:]:
        np.testing.assert_array_equal(evidence, [0, 0])
        np.testing.assert_array_equal(effective, [0, 0])


def told_in_single_precision(hearing, problem, beta, traced):
    """(evidence, effective) of every kind, where coefficients are known and where they are not."""

    def told(problem, beta):
        return [(kind.evidence, kind.effective) for kind in hearing.told(problem, beta).kinds]

    with jax.enable_x64(False):
        return (jax.jit(told) if traced else told)(problem, jnp.float32(beta))


@pytest.mark.parametrize("name", NAMES)
def test_normalised_causal_and_flips(name):
    ansatz, states = make(name), all_states(6)
    log_prob = np.asarray(ansatz.log_prob(jnp.asarray(states)))
    assert np.exp(log_prob.sum(1)).sum() == pytest.approx(1, abs=1e-12)
    order = np.asarray(ansatz.order.sites)
    rows = {tuple(state): row for row, state in enumerate(states)}
    for t, spin in enumerate(order):
        flipped = states * np.where(np.arange(6) == spin, -1, 1)
        row = np.array([rows[tuple(state)] for state in flipped])
        np.testing.assert_array_equal(log_prob[row][:, order[:t]], log_prob[:, order[:t]])
        expected = log_prob[row].sum(1) - log_prob.sum(1)
        np.testing.assert_allclose(ansatz.flip_log_ratio(jnp.asarray(states))[:, spin], expected, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_samples_carry_their_probability_and_its_gradient(name):
    ansatz = make(name)
    spins, log_prob = ansatz.sample(jax.random.key(1), 50)
    np.testing.assert_allclose(log_prob, ansatz.log_prob(spins), atol=1e-12)
    weights = jnp.asarray(np.random.default_rng(2).normal(size=(50, 6)))

    def total(params):
        return (eqx.tree_at(lambda a: a.params, ansatz, params).log_prob(spins) * weights).sum()

    gradient = jax.grad(total)(ansatz.params)
    rng = np.random.default_rng(3)
    along = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), ansatz.params)
    step = 1e-5
    ahead, behind = (total(jax.tree.map(lambda p, a, s=s: p + s * step * a, ansatz.params, along)) for s in (1, -1))
    slope = sum(jax.tree.leaves(jax.tree.map(lambda g, a: (g * a).sum(), gradient, along)))
    assert float(slope) == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-7)


def test_shared_weights_mean_the_same_everywhere():
    """On a torus, away from the seams, translated spins give translated features, slot by slot."""
    hearing = hear(newman_moore(6), raster((6, 6)))
    assert [table.numbers.shape[1] for table in hearing.sites] == [3, 3, 1]
    assert hearing.num_features == 2 * 3 + 3 + 1
    spins = np.random.default_rng(5).choice([-1.0, 1.0], (6, 6))
    heard = {}
    for shift in (0, 1):
        moved = np.roll(spins, (shift, shift), (0, 1))
        t = 6 * (2 + shift) + 3 + shift
        heard[shift] = hearing.listen(at(hearing, t), slots(range(36), t, moved.ravel()))[0]
    np.testing.assert_array_equal(heard[0], heard[1])
    assert (np.asarray(heard[0]) != 0).sum() == 3  # one bank or the other, for each of three terms


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (1, 3)])
def test_no_term_is_lost_on_small_tori(shape):
    """Terms of the same displacement at one site have slots of their own."""
    problem = newman_moore(shape)
    hearing = hear(problem, raster(shape))
    for t in range(problem.num_spins):
        numbers = [number for number in hearing.sites[0].numbers[t] if number < problem.num_terms]
        mine = [m for m, members in enumerate(problem.terms[0].indices.tolist()) if t in members]
        assert sorted(numbers) == mine


def test_other_coefficients_may_be_told_and_other_interactions_not():
    ansatz = make("1d")
    doubled = Problem(6, [(terms.indices, 2 * terms.coefficients) for terms in PROBLEM.terms])
    states = jnp.asarray(all_states(6))
    told = ansatz.informed(doubled, jnp.asarray(0.35))  # the field is the same, features are in units of their size
    np.testing.assert_allclose(told.log_prob(states), ansatz.log_prob(states), atol=1e-12)
    with pytest.raises(InputError, match="`ansatz` must be built for the interactions"):
        ansatz.informed(OTHER, jnp.asarray(1.0))


def test_how_much_is_heard():
    """Newman-Moore L = 7 has all three kinds; `hears` names the last of them."""
    problem = newman_moore(7)
    heard = {hears: hear(problem, raster((7, 7)), hears) for hears in ("terms", "pairs", "constraints")}
    assert [len(hearing.kinds) for hearing in heard.values()] == [1, 2, 3]
    ansatz, _ = build_ansatz(problem, options={"hears": "pairs"})
    assert ansatz.params["coupling"].kernel.shape == (2, 1)
    with pytest.raises(InputError, match="`hears` must be one of terms, pairs, constraints, but it is 'all'"):
        build_ansatz(problem, options={"hears": "all"})


def test_dense_problems_hear_their_field_only():
    dense = Problem.from_terms(40, {(i, j): 0.1 * (i - j) for i in range(40) for j in range(i + 1, 40)})
    hearing = hear(dense, raster((40,)))
    assert hearing.num_features == 0
    assert len(hearing.kinds) == 1
    spins = np.random.default_rng(1).choice([-1.0, 1.0], 40)
    fields = hearing.listen(at(hearing, 39), slots(range(40), 39, spins))[1]
    assert fields[:, 0] == pytest.approx(-2 * 0.1 * ((np.arange(39) - 39) * spins[:39]).sum())


@pytest.mark.parametrize("name", ["rnn1d", "rnn2d", "dilated"])
def test_networks_hear_by_name_unless_told_otherwise(name):
    problem = newman_moore((2, 3))
    assert build_ansatz(problem, name)[0].hearing is not None
    assert build_ansatz(problem, name, {"informed": False})[0].hearing is None


def test_instances_side_by_side_hear_their_own_couplings():
    problems = [
        Problem.from_terms(5, {(0, 1): c, (1, 2, 3): -c, (2, 4): 0.5}, lattice=Lattice((5, 1))) for c in (1.0, -2.0)
    ]
    options = {"ansatz": "rnn1d", "temperature": (2.0, 0.2), "num_steps": 5, "num_final_samples": 10, "seed": 2}
    together, alone = solve(problems, **options)[1], solve(problems[1], **options)
    np.testing.assert_allclose(together.history["free_energy"], alone.history["free_energy"], rtol=1e-4)


def triangles(shape, sign):
    """Newman-Moore triangles (x, y), (x + sign, y), (x, y + sign) on the torus."""
    site = np.arange(np.prod(shape)).reshape(shape)
    corners = np.stack([site, np.roll(site, -sign, 0), np.roll(site, -sign, 1)], -1).reshape(-1, 3)
    return Problem(site.size, [(corners, np.full(site.size, 0.5))], lattice=Lattice(shape, "periodic"))


@pytest.mark.parametrize(("shape", "most"), [((5, 5), 20), ((3, 4), 9), ((4, 3), 9)])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_order_is_turned_so_that_terms_close(shape, most, sign):
    """All rows but the first, or all columns but one: no zigzag is better, and the plain one is where it is as good."""
    problem = triangles(shape, sign)
    ansatz = build_ansatz(problem, "rnn2d", {"hidden": 2})[0]
    assert ansatz.hearing.sites[0].closing.any(1).sum() == most
    plain = RNN2D(shape, problem=problem, order="zigzag", hidden=2)
    as_good = plain.hearing.sites[0].closing.any(1).sum() == most
    assert np.array_equal(ansatz.order.sites, plain.order.sites) == as_good
    assert RNN2D(shape, hidden=2).order.sites.tolist() == plain.order.sites.tolist()
