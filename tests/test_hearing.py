"""What recurrent ansätze hear of the Hamiltonian: exact where theory says so, causal, the same under translation."""

import itertools

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


def test_features_and_field_are_the_terms():
    hearing, order = hear(PROBLEM, given(6, ORDER)), ORDER
    hearing = hearing.told(PROBLEM, jnp.asarray(0.3))
    coefficients = np.concatenate([terms.coefficients for terms in PROBLEM.terms])
    unit = np.sqrt((coefficients**2).mean())
    for t, spins in itertools.product(range(6), all_states(6)[::7]):
        slots = jnp.concatenate([jnp.zeros(1), jnp.where(jnp.arange(6) < t, spins[jnp.array(order)], 99.0)])[:, None]
        site = jax.tree.map(lambda table, t=t: table[t], hearing.sites)
        features, field = hearing.listen(site, slots)
        closed, unfinished = written_out(PROBLEM, order, t, spins)
        assert field[0] == pytest.approx(-2 * 0.3 * sum(closed.values()), abs=1e-12)
        for half, values in zip(np.split(np.asarray(features)[:, 0], 2), (closed, unfinished), strict=True):
            found = {int(m): v * unit for m, v in zip(site.terms, half, strict=True) if abs(v) > 1e-12}
            assert found == pytest.approx(values)


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


def test_the_start_is_exact_to_first_order_at_high_temperature():
    def error(beta):
        ansatz = DilatedRNN(6, order=ORDER, problem=PROBLEM).informed(PROBLEM, jnp.asarray(beta))
        weights = -beta * energies(PROBLEM)
        log_prob = ansatz.log_prob(jnp.asarray(all_states(6))).sum(1)
        return np.abs(log_prob - (weights - np.log(np.exp(weights).sum()))).max()

    assert error(1e-3) < 1e-4
    assert error(1e-3) / error(5e-4) == pytest.approx(4, rel=0.02)


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
    assert hearing.num_features == 2 * 3
    spins = np.random.default_rng(5).choice([-1.0, 1.0], (6, 6))
    heard = {}
    for shift in (0, 1):
        moved = np.roll(spins, (shift, shift), (0, 1))
        slots = jnp.concatenate([jnp.zeros(1), jnp.asarray(moved.ravel())])[:, None]
        t = 6 * (2 + shift) + 3 + shift
        site = jax.tree.map(lambda table, t=t: table[t], hearing.sites)
        heard[shift] = hearing.listen(site, slots)[0]
    np.testing.assert_array_equal(heard[0], heard[1])
    assert len(set(np.abs(np.asarray(heard[0]))[:, 0])) == 2  # one bank or the other, for each of three terms


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (1, 3)])
def test_no_term_is_lost_on_small_tori(shape):
    """Terms of the same displacement at one site have slots of their own."""
    problem = newman_moore(shape)
    hearing = hear(problem, raster(shape))
    for t in range(problem.num_spins):
        numbers = [number for number in hearing.sites.terms[t] if number < problem.num_terms]
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


def test_dense_problems_hear_their_field_only():
    dense = Problem.from_terms(40, {(i, j): 0.1 * (i - j) for i in range(40) for j in range(i + 1, 40)})
    hearing = hear(dense, raster((40,)))
    assert hearing.num_features == 0
    site = jax.tree.map(lambda table: table[39], hearing.sites)
    spins = np.random.default_rng(1).choice([-1.0, 1.0], 40)
    field = hearing.listen(site, jnp.concatenate([jnp.zeros(1), jnp.asarray(spins)])[:, None])[1]
    assert field[0] == pytest.approx(-2 * 0.1 * ((np.arange(39) - 39) * spins[:39]).sum())


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
