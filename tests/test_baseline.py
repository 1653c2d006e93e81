"""Baselines: the Boltzmann law, the best visited state, and the same bits from any number of threads."""

import json

import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from scipy.linalg import eigh, expm
from scipy.stats import chisquare

import lehr.baseline.walkers as walkers
from enumeration import all_states, energies, field_matrix, mixed_problem
from lehr import InputError, Problem, newman_moore, resume, sherrington_kirkpatrick, solve
from lehr.baseline import kernels
from lehr.baseline.settings import BASELINES, BaselineSettings
from lehr.baseline.tables import tables_of
from lehr.engine import Work

PROBLEM = mixed_problem(6)
QUICK = {"num_steps": 30, "replicas": 5, "seed": 3}
LEAST_P = 1e-6  # of a test that is right


def index_of(spins):
    """Number of each state in the order of `all_states`."""
    return ((1 - spins.astype(int)) // 2) @ (2 ** np.arange(spins.shape[-1])[::-1])


def assert_drawn_from(spins, probabilities):
    """Independent states [K, N] follow a law over all states; rare states are pooled."""
    counts = np.bincount(index_of(spins), minlength=len(probabilities))
    rare = probabilities * len(spins) < 10
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(probabilities[~rare], probabilities[rare].sum()) * len(spins)
    if expected[-1] < 1:
        observed, expected = observed[:-1], expected[:-1] * observed[:-1].sum() / expected[:-1].sum()
    assert chisquare(observed, expected).pvalue > LEAST_P


def boltzmann(problem, temperature):
    weights = np.exp(-(energies(problem) - energies(problem).min()) / temperature)
    return weights / weights.sum()


@pytest.mark.parametrize(
    "problem", [PROBLEM, newman_moore(3), sherrington_kirkpatrick(9, seed=2), Problem.from_terms(1, {(0,): 0.3})]
)
def test_costs_follow_the_flips(problem):
    tables, rng = tables_of(problem), np.random.default_rng(4)
    spins = rng.choice(np.array([-1, 1], np.int8), problem.num_spins)
    costs = np.empty(problem.num_spins)
    energy = kernels.prepare(tables, spins, costs)
    for i in rng.integers(0, problem.num_spins, 50):
        assert energy + problem.offset == pytest.approx(problem.energy(spins), abs=1e-12)
        np.testing.assert_allclose(costs, problem.flip_cost(spins), atol=1e-12)
        energy += costs[i]
        kernels._flip(tables, spins, costs, i)


@pytest.mark.parametrize("method", ["sa", "metropolis", "pt"])
def test_chains_reach_the_boltzmann_law(method):
    """End states of independent reads, orders 1 to 3; the ramp of annealing is held at its end."""
    cold = 2.0
    ranges = {"sa": (5.0, cold), "metropolis": (cold, cold), "pt": (5.0, cold)}
    few = {"num_temperatures": 4} if method == "pt" else {}
    steps = {"num_annealing_steps": 20, "num_hold_steps": 80}
    result = solve(PROBLEM, method, temperature=ranges[method], replicas=10_000, seed=1, **steps, **few)
    assert_drawn_from(result.samples[:, -1], boltzmann(PROBLEM, cold))


def test_a_sweep_leaves_the_boltzmann_law_invariant():
    """Exact start, one sweep: a wrong acceptance rule shows at once, where a long chain might hide it."""
    temperature, rng = 3.0, np.random.default_rng(8)
    law, tables = boltzmann(PROBLEM, temperature), tables_of(PROBLEM)
    starts = all_states(6)[rng.choice(len(law), 40_000, p=law)].astype(np.int8)
    spins, costs = starts[:, None].copy(), np.array([PROBLEM.flip_cost(starts)]).swapaxes(0, 1)
    state = spins, costs, PROBLEM.energy(starts)[:, None], np.zeros((len(starts), 1)), starts.copy()
    kernels.anneal(tables, *state, np.full(1, 1 / temperature), np.zeros(1), 5, 0, 1)
    assert (spins[:, 0] != starts).any(1).mean() > 0.3
    assert_drawn_from(spins[:, 0], law)


def trotter_law(problem, field, temperature, slices):
    """Law of one slice, the diagonal of (exp(-H / PT) exp(Gamma sum sigma^x / PT))^P; PT is `temperature`."""
    classical = np.exp(-energies(problem) / temperature)
    hop = expm(-field * field_matrix(problem.num_spins) / temperature)
    diagonal = np.diag(np.linalg.matrix_power(classical[:, None] * hop, slices))
    return diagonal / diagonal.sum()


def test_quantum_annealing_holds_the_law_of_its_trotter_ring():
    problem, field, temperature, slices = mixed_problem(4), 0.8, 2.0, 5
    options = {"temperature": (temperature, temperature), "transverse_field": (field, field), "num_slices": slices}
    result = solve(problem, "sqa", replicas=10_000, num_steps=60, seed=2, **options)
    law = trotter_law(problem, field, temperature, slices)
    assert_drawn_from(result.samples[:, 2], law)
    assert np.abs(law - boltzmann(problem, temperature)).max() > 0.05  # the ring matters


def test_quantum_annealing_agrees_with_diagonalisation():
    """Thermal state of H - Gamma sum sigma^x at T = PT / P, within the Trotter error of P slices and its own noise."""
    problem, field, cold, slices = mixed_problem(4), 0.8, 0.25, 32
    levels, vectors = eigh(np.diag(energies(problem)) + field * field_matrix(4))
    weights = np.exp(-(levels - levels[0]) / cold)
    exact = (vectors**2 * (weights / weights.sum())).sum(1) @ energies(problem)
    high = cold * slices
    trotter = trotter_law(problem, field, high, slices) @ energies(problem)
    assert abs(trotter - exact) < 0.01 * abs(exact)
    options = {"temperature": (high, high), "transverse_field": (field, field), "num_slices": slices}
    result = solve(problem, "sqa", replicas=1000, num_steps=200, seed=2, **options)
    means = result.energies.mean(1) - float(problem.offset)
    assert abs(means.mean() - exact) < abs(trotter - exact) + 5 * means.std() / np.sqrt(len(means))


@pytest.mark.parametrize("method", BASELINES)
def test_the_best_visited_state_is_kept(method):
    result = solve(PROBLEM, method, temperature=(3.0, 3.0), **QUICK)
    history = result.history
    assert result.history.sizes["step"] == 30
    lowest = history["energy_min"].min("step").values
    assert (result.replica_best_energies <= lowest + 1e-12).all()
    assert result.best_energy == PROBLEM.energy(result.best_spins) == result.replica_best_energies.min()
    assert result.samples.shape == (5, {"sqa": 20}.get(method, 1), 6)


def test_the_best_state_of_a_hot_chain_is_the_ground_state_that_it_leaves():
    result = solve(PROBLEM, "metropolis", temperature=(50.0, 50.0), num_steps=3000, replicas=3)
    ground = energies(PROBLEM).min() + float(PROBLEM.offset)
    np.testing.assert_allclose(result.replica_best_energies, ground, rtol=1e-12)
    assert result.mean_energy > ground + 0.1


@pytest.mark.parametrize("method", BASELINES)
def test_threads_and_pauses_change_nothing(method, monkeypatch):
    options = {**QUICK, "num_steps": 1100, "num_preanneal_steps": 10} if method == "sqa" else QUICK
    expected = solve(PROBLEM, method, **options)
    monkeypatch.setattr(walkers, "num_threads", lambda: 1)
    monkeypatch.setattr(walkers.Walkers, "most_steps", 7)
    found = solve(PROBLEM, method, **options)
    np.testing.assert_array_equal(found.samples, expected.samples)
    np.testing.assert_array_equal(found.best_spins, expected.best_spins)
    assert found.history.identical(expected.history)


@pytest.mark.parametrize(("seed", "ground"), [(1, -71.91293888651), (2, -72.94127862876), (3, -71.88301974109)])
def test_published_instances_are_solved(seed, ground):
    """SK N = 100 of `data/oracles.json`, with defaults."""
    assert solve(sherrington_kirkpatrick(100, seed=seed), "sa").best_energy == pytest.approx(ground, abs=1e-9)


def test_reads_and_seeds_differ():
    problem = sherrington_kirkpatrick(40, seed=1)
    options = {"temperature": (9.0, 9.0), "num_steps": 5, "replicas": 20}
    first, again, other = (solve(problem, "sa", seed=seed, **options) for seed in (1, 1, 2))
    assert first.num_distinct == 20
    np.testing.assert_array_equal(first.samples, again.samples)
    assert len(np.unique(np.concatenate([first.samples, other.samples]).reshape(40, -1), axis=0)) == 40


def test_several_problems_are_those_problems_one_by_one():
    problems = [sherrington_kirkpatrick(8, seed=seed) for seed in (1, 2)]
    options = {"temperature": (2.0, 0.1), **QUICK}
    for together, problem in zip(solve(problems, "sa", **options), problems, strict=True):
        alone = solve(problem, "sa", **options)
        np.testing.assert_array_equal(together.samples, alone.samples)
        np.testing.assert_array_equal(together.energies, alone.energies)


def engine_of(problem, method, **settings):
    return walkers.Walkers([problem], BaselineSettings(method=method, **{"replicas": 3, **settings}))


def test_rounding_does_not_add_up():
    """What the costs and energies have lost is made good every 1024 sweeps."""
    engine = engine_of(PROBLEM, "metropolis", num_annealing_steps=2000)
    walk = engine.start()
    walk.costs[:] += 1e-3
    walk.energies[:] += 1e-3
    for step, exact in ((0, True), (1, False), (1023, False), (1024, True)):
        moved, _ = engine.advance(eqx.tree_at(lambda w: w.step, walk, step), 1)
        error = np.abs(moved.energies[:, 0] + 0.7 - PROBLEM.energy(moved.spins[:, 0])).max()
        assert (error < 1e-12) == exact
        assert (np.abs(moved.costs[:, 0] - PROBLEM.flip_cost(moved.spins[:, 0])).max() < 1e-12) == exact


def test_steps_leave_what_they_start_from_as_it_was():
    engine = engine_of(PROBLEM, "pt", num_temperatures=3, num_annealing_steps=50)
    walk = engine.start()
    before = jax.tree.map(np.copy, walk)
    first, again = engine.advance(walk, 20)[0], engine.advance(walk, 20)[0]
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, walk, before)))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, first, again)))


def test_tempering_spans_the_range_from_its_first_sweep_and_draws_the_coldest():
    for ends in ((3.0, 0.1), (0.1, 3.0)):
        engine = engine_of(PROBLEM, "pt", temperature=ends, num_temperatures=4, num_annealing_steps=1)
        assert (engine._ladder[0], engine._ladder[-1]) == pytest.approx((3.0, 0.1))
    engine = engine_of(PROBLEM, "pt", temperature=(3.0, 0.1), num_temperatures=4, num_annealing_steps=50)
    walk, records = engine.advance(engine.start(), 50)
    drawn = PROBLEM.energy(engine.draw(walk)[0][:, 0]) - 0.7
    np.testing.assert_allclose(records["energy_mean"][-1], drawn, atol=1e-12)
    assert (records["temperature"] == 0.1).all()


def test_exchanges_reach_every_temperature():
    """Hot enough, neighbours always swap: even pairs, then odd ones, carry a state from one end to the other."""
    problem = Problem.from_terms(3, {(0, 1, 2): 1e-9})
    spins = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1]], np.int8)
    costs, energies = problem.flip_cost(spins), problem.energy(spins)
    betas, state = np.array([1e-9, 2e-9, 3e-9]), np.zeros(1, np.uint64)
    marked = spins[0].copy()
    for first, place in ((0, 1), (1, 2)):
        kernels._exchange(spins, costs, energies, betas, first, state)
        np.testing.assert_array_equal(spins[place], marked)
        np.testing.assert_allclose(energies, problem.energy(spins))
        np.testing.assert_allclose(costs, problem.flip_cost(spins))


def test_the_best_state_is_seen_during_line_moves():
    """Slices tied together move by lines alone; every line of a hot ring is accepted, up and down again."""
    problem = Problem.from_terms(2, {(0,): 1.0, (1,): 0.5})
    spins = np.ones((1, 2, 2), np.int8)
    costs, energies = problem.flip_cost(spins), problem.energy(spins)
    best, best_spins = energies[:, :1].copy(), spins[:, 0].copy()
    args = np.full(1, 1e-12), np.full(1, 20.0), 0, 0, 1
    records = kernels.anneal(tables_of(problem), spins, costs, energies, best, best_spins, *args)
    assert records[0, 0].tolist() == [-1.5, -1.5]
    assert best[0, 0] == -1.5
    args = np.full(1, 1e-12), np.full(1, 20.0), 0, 0, 2
    problem = Problem.from_terms(2, {(0,): 1.0, (1,): -3.0})
    spins, best = np.ones((1, 2, 2), np.int8), np.full((1, 1), -2.0)
    costs, energies = problem.flip_cost(spins), problem.energy(spins)
    kernels.anneal(tables_of(problem), spins, costs, energies, best, best_spins, *args)
    assert (energies[0, 0], best[0, 0]) == (2.0, -4.0)  # down with the first line, up with the second
    assert best_spins.tolist() == [[-1, 1]]


def test_a_preanneal_is_a_thermal_anneal_copied_to_all_slices(monkeypatch):
    calls = []
    anneal = kernels.anneal
    monkeypatch.setattr(kernels, "anneal", lambda *arguments: calls.append(arguments) or anneal(*arguments))
    engine = engine_of(PROBLEM, "sqa", num_slices=4, num_preanneal_steps=50, temperature=(2.0, 2.0))
    walk, records = engine.advance(engine.start(), 50)
    assert (engine.num_steps, walk.step, records["energy_mean"].shape) == (50 + 1000, 50, (25, 3))
    assert not records["field"].any()
    assert (walk.spins == walk.spins[:, :1]).all()
    np.testing.assert_allclose(walk.costs, PROBLEM.flip_cost(walk.spins), atol=1e-12)
    np.testing.assert_allclose(walk.energies, PROBLEM.energy(walk.spins) - 0.7, atol=1e-12)
    betas, rings, first = calls[0][6], calls[0][7], calls[0][-1]
    assert (1 / betas[0], 1 / betas[-1]) == pytest.approx((6.0, 2.0 / 4))
    assert not rings.any()
    assert first == -1 - 50  # numbers of its own: the sweeps that follow begin at 0, the start at -1
    assert len(calls[-1][6]) == 0
    after, records = engine.advance(walk, 2)
    assert calls[-1][-1] == 0
    assert (records["field"] > 0).all()
    assert (after.spins != after.spins[:, :1]).any()
    halves = engine.advance(engine.advance(engine.start(), 20)[0], 32)[0]
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, halves, after)))


@pytest.mark.parametrize(("method", "more"), [("pt", {}), ("sqa", {"num_preanneal_steps": 3000})])
def test_an_interrupted_run_goes_on_to_the_same_bits(method, more, tmp_path):
    options = {**QUICK, "num_steps": 4000, **more}
    expected = solve(PROBLEM, method, **options)

    def stop(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(PROBLEM, method, out=tmp_path / "run", callback=stop, **options)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    found = resume(tmp_path / "run")
    np.testing.assert_array_equal(found.samples, expected.samples)
    assert found.history.identical(expected.history)
    assert found.work == expected.work


def test_work_is_counted():
    counted = {method: solve(PROBLEM, method, **QUICK, **extra).work for method, extra in {
        "sa": {}, "pt": {"num_temperatures": 4}, "sqa": {"num_slices": 3, "num_preanneal_steps": 7}
    }.items()}  # fmt: skip
    sweep = 5 * 6  # reads, spins
    assert counted["sa"] == Work(0, 30 * sweep, 30 * sweep)
    assert counted["pt"] == Work(0, 4 * 30 * sweep, 4 * 30 * sweep)
    assert counted["sqa"].spin_updates == (2 * 3 * 30 + 7) * sweep
    networks = solve(PROBLEM, num_steps=10, replicas=2, num_samples=8, num_final_samples=20)
    assert networks.work == Work(10, 2 * 100, 2 * 100 * 6)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("sa", {"num_slices": 4}, "`num_slices` must be left out for sa"),
        ("sa", {"transverse_field": (1.0, 0.1)}, "`transverse_field` must be left out for sa"),
        ("pt", {"learning_rate": 0.1}, "`learning_rate` must be left out for pt, which trains no network"),
        ("sa", {"temperature": (1.0, 0.0)}, "`temperature` must be above 0"),
        ("sqa", {"transverse_field": (1.0, 0.0)}, "`field` must be above 0 for sqa"),
        ("metropolis", {"temperature": (2.0, 1.0)}, "`temperature` must start where it stops"),
        ("sa", {"replicas": 2**40}, "`replicas` must be an integer of at least 1 and at most"),
        ("sqa", {"num_slices": 1}, "`num_slices` must be an integer of at least 2"),
        ("pt", {"ansatz": "linear"}, "`ansatz` must be left out for pt"),
        ("sa", {"optimiser": optax.sgd(0.1)}, "`optimiser` must be left out for sa"),
    ],
)
def test_bad_settings_are_one_clear_line(method, changes, message):
    with pytest.raises(InputError, match=message):
        solve(PROBLEM, method, **{**QUICK, **changes})
