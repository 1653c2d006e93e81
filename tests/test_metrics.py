"""Metrics: closed forms, SciPy's own, and intervals that cover as often as they say."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lehr import InputError, newman_moore
from lehr.exact.newman_moore import degeneracy_exponent
from lehr.metrics import (
    Interval,
    bootstrap,
    coverage,
    overlaps,
    power_law,
    residual_per_spin,
    success_probability,
    time_to_solution,
    typical,
    wilson,
)

SIGMAS = 5.0  # of a statistical test


def approx(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-15)


def assert_share(hits, trials, expected):
    """So many hits of independent trials agree with a probability."""
    assert abs(hits / trials - expected) < SIGMAS * math.sqrt(expected * (1 - expected) / trials)


def test_residual_is_the_mean_above_the_ground_energy():
    energies = np.array([[-7.0, -6.5], [-5.0, -7.0]])
    assert residual_per_spin(energies, -7.0, 5) == approx((0 + 0.5 + 2 + 0) / 4 / 5)
    assert residual_per_spin([-7.0 - 1e-10], -7.0, 5) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([-7.1], -7.0, 5), "lowest energy"),
        (([], -7.0, 5), "empty"),
        (([-7.0, np.nan], -7.0, 5), "finite"),
        (([-7.0], -7.0, 0), "num_spins"),
        (([-7.0], np.nan, 5), "ground_energy"),
        (([[-7.0], [1.0, 2.0]], -7.0, 5), "regular"),
    ],
)
def test_bad_energies_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        residual_per_spin(*arguments)


def test_typical_is_the_geometric_mean_with_students_interval():
    values = np.array([0.3, 2.0, 7.0, 0.05])
    found = typical(values, confidence=0.9)
    logs = np.log(values)
    low, high = stats.t.interval(0.9, len(logs) - 1, logs.mean(), stats.sem(logs))
    assert found.value == approx(stats.gmean(values))
    assert (found.low, found.high) == approx((math.exp(low), math.exp(high)))
    # The jackknife, from its definition.
    left_out = np.array([np.delete(logs, i).mean() for i in range(4)])
    jackknife = math.sqrt(3 / 4 * ((left_out - left_out.mean()) ** 2).sum())
    assert math.log(found.high / found.value) / stats.t.ppf(0.95, 3) == approx(jackknife)


def test_typical_of_zeros_and_of_one_instance():
    assert typical([0.0, 4.0]) == Interval(0.0, 0.0, math.inf)
    assert typical([4.0]) == Interval(approx(4.0), 0.0, math.inf)
    assert typical([0.0, 4.0, 1e-12], floor=0.01) == typical([0.01, 4.0, 0.01])
    assert typical([1e-300, 1.0]) == Interval(approx(1e-150), 0.0, math.inf)
    with pytest.raises(InputError, match="negative"):
        typical([-1e-3, 1.0])
    with pytest.raises(InputError, match="confidence"):
        typical([1.0, 2.0], confidence=95.0)


def test_typical_covers_as_often_as_it_says():
    rng, trials = np.random.default_rng(1), 4000
    hits = sum(low <= 2.0 <= high for _, low, high in (typical(2 * rng.lognormal(0, 1, 6)) for _ in range(trials)))
    assert_share(hits, trials, 0.95)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 20), (3, 20), (20, 20), (999, 100_000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_wilson_agrees_with_scipy(successes, trials, confidence):
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    found = wilson(successes, trials, confidence)
    assert found == approx((successes / trials, expected.low, expected.high))
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert (found.low == 0) == (successes == 0)
    assert (found.high == 1) == (successes == trials)


def test_wilson_covers_as_often_as_it_says():
    """Exact coverage for n = 30, no sampling: it oscillates around the nominal value."""
    covered = []
    for p in np.linspace(0.02, 0.98, 97):
        inside = [low <= p <= high for _, low, high in (wilson(k, 30) for k in range(31))]
        covered.append(stats.binom.pmf(np.arange(31), 30, p) @ inside)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.01)
    assert min(covered) > 0.83


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts_are_refused(successes, trials):
    for function in (wilson, lambda *counts: time_to_solution(*counts, seconds_per_run=1.0)):
        with pytest.raises(InputError, match="successes"):
            function(successes, trials)


def test_success_is_the_ground_energy_up_to_rounding():
    best = np.array([-3.0, -3.0 + 1e-12, -3.0 - 1e-12, -3.0 + 1e-6, -2.5])
    assert success_probability(best, -3.0) == wilson(3, 5)
    assert success_probability(best, -3.0, confidence=0.5) == wilson(3, 5, 0.5)
    assert success_probability(1e-15 * best, -3e-15) == wilson(3, 5)  # any unit
    assert success_probability(best, -3.0, resolution=1e-5) == wilson(4, 5)
    assert success_probability([0.0, 0.0, 1.0], 0.0) == wilson(2, 3)
    assert success_probability([-3.0, -3.0 + 1e-12], -3.0, resolution=0.0) == wilson(1, 2)
    with pytest.raises(InputError, match="lowest energy"):
        success_probability([-3.01], -3.0)
    with pytest.raises(InputError, match="resolution"):
        success_probability(best, -3.0, resolution=-1.0)


def test_time_to_solution_is_that_of_repeated_runs():
    """Against its meaning: after so many runs the probability of a success is the target."""
    for successes, trials, target in [(1, 50, 0.99), (30, 50, 0.99), (7, 1000, 0.5), (1, 10**7, 0.9)]:
        found = time_to_solution(successes, trials, 3.0, target=target)
        ends = wilson(successes, trials)
        for seconds, probability in ((found.value, ends.value), (found.low, ends.high), (found.high, ends.low)):
            assert 1 - (1 - probability) ** (seconds / 3.0) == pytest.approx(target, rel=1e-6)
        assert found.low < found.value < found.high


def test_time_to_solution_is_at_least_one_run_and_may_be_endless():
    assert time_to_solution(100, 100, 3.0).value == 3.0
    assert time_to_solution(90, 100, 3.0, target=0.85).value == 3.0
    assert time_to_solution(10**6, 10**6, 3.0) == (3.0, 3.0, 3.0)
    none = time_to_solution(0, 20, 3.0)
    assert none.value == none.high == math.inf
    assert none.low == approx(3.0 * math.log(0.01) / math.log(1 - wilson(0, 20).high))
    wide = time_to_solution(3, 20, 3.0, confidence=0.999)
    assert wide.high > time_to_solution(3, 20, 3.0).high
    for wrong in ({"target": 1.0}, {"target": 0.0}, {"confidence": 1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            time_to_solution(1, 2, 3.0, **wrong)
    with pytest.raises(InputError, match="seconds_per_run"):
        time_to_solution(1, 2, 0.0)


def newman_moore_ground_states():
    problem = newman_moore(3)
    states = np.array(list(itertools.product([1, -1], repeat=9)), np.int8)
    energies = np.asarray(problem.energy(states))
    return states, energies, float(energies.min())


def test_coverage_of_the_newman_moore_ground_states():
    states, energies, ground = newman_moore_ground_states()
    number = 2 ** degeneracy_exponent(3)
    even = coverage(states, energies, ground, number)
    assert (even.found, even.fraction) == (4, 4 / 512)
    assert even.entropy == approx(2 * math.log(2))
    assert even.relative_entropy == approx(1.0)
    # Unevenly: the third of the four 6 times, the first twice, over two replicas.
    of_ground = np.flatnonzero(energies == ground)
    rows = np.array([[of_ground[2]] * 5 + [0], [of_ground[2], of_ground[0], 3, of_ground[0], 5, 9]])
    assert not {0, 3, 5, 9} & set(of_ground)
    uneven = coverage(states[rows], energies[rows], ground, number)
    entropy = stats.entropy([6, 2])
    assert uneven == (2, approx(entropy), 8 / 12, approx(entropy / math.log(4)))
    assert coverage(states[rows], energies[rows], ground).relative_entropy is None
    assert coverage(states[rows], energies[rows], ground, 2**100).relative_entropy == approx(
        entropy / (100 * math.log(2))
    )


def test_coverage_without_ground_states_and_of_a_single_one():
    states = np.array([[1, 1], [1, -1]])
    assert coverage(states, [0.0, 1.0], -1.0, 4) == (0, 0.0, 0.0, 0.0)
    assert coverage(states, [0.0, 1.0], 0.0, 1) == (1, 0.0, 0.5, None)
    assert coverage(states, [0.0, 1e-6], 0.0, resolution=1e-5).found == 2


@pytest.mark.parametrize(
    ("spins", "energies", "number", "message"),
    [
        ([[1, 1], [1, -1]], [0.0], None, "one energy of each"),
        ([[1, 0]], [0.0], None, "spins"),
        ([[1, 1]], [-1.0], None, "lowest"),
        ([[1, 1], [1, -1]], [0.0, 0.0], 1, "num_ground_states"),
        ([[1, 1]], [1.0], 0, "num_ground_states"),
        (1, [0.0], None, "spins"),
    ],
)
def test_coverage_refuses(spins, energies, number, message):
    with pytest.raises(InputError, match=message):
        coverage(np.array(spins), energies, 0.0, number)


def random_spins(*shape, seed=2):
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)


def test_overlaps_of_all_pairs():
    spins = random_spins(6, 7)
    expected = [spins[a].astype(float) @ spins[b] / 7 for a in range(6) for b in range(a + 1, 6)]
    np.testing.assert_allclose(overlaps(spins), expected, atol=1e-15)
    np.testing.assert_array_equal(overlaps(spins[None]), overlaps(spins))
    assert len(overlaps(spins, max_pairs=15)) == 15


def test_overlaps_across_replicas_only():
    spins = random_spins(3, 4, 7)
    expected = [
        spins[a, i].astype(float) @ spins[b, j] / 7
        for a in range(3)
        for i in range(4)
        for b in range(a + 1, 3)
        for j in range(4)
    ]
    np.testing.assert_allclose(overlaps(spins), expected, atol=1e-15)
    # Random pairs, too: each replica repeats one state of its own, so its own pairs would show as q = 1.
    frozen = np.repeat(random_spins(3, 1, 101), 50, axis=1)
    found = overlaps(frozen, max_pairs=3000)
    assert set(found) == set(overlaps(frozen[:, :1]))
    assert len(found) == 3000


@pytest.mark.parametrize("shape", [(40, 9), (4, 10, 9)])
def test_random_pairs_are_drawn_evenly(shape):
    """Counts of every pair against a uniform law, read off through states that are all different."""
    spins = random_spins(*shape, seed=3)
    every = overlaps(spins)
    few = len(every) - 1
    values, expected = np.unique(every, return_counts=True)
    draws = np.concatenate([overlaps(spins, max_pairs=few, seed=seed) for seed in range(40)])
    counts = np.array([(draws == value).sum() for value in values])
    assert counts.sum() == len(draws) == 40 * few
    assert stats.chisquare(counts, expected / expected.sum() * len(draws)).pvalue > 1e-6
    np.testing.assert_array_equal(overlaps(spins, max_pairs=few, seed=7), overlaps(spins, max_pairs=few, seed=7))


def test_no_sample_is_paired_with_itself():
    states = 1 - 2 * np.eye(30, dtype=np.int8)  # q = 1 only with itself
    assert overlaps(states, max_pairs=400).max() == approx((30 - 4) / 30)
    for wrong in (states[:1], states[0], states[None, :1], np.zeros((3, 0))):
        with pytest.raises(InputError, match="spins"):
            overlaps(wrong)
    with pytest.raises(InputError, match="max_pairs"):
        overlaps(states, max_pairs=0)


def test_bootstrap_of_a_mean():
    values = np.array([1.0, 5.0, 2.0, 10.0, 4.0, -3.0, 0.5])
    found = bootstrap(values, num_bootstrap=4000, confidence=0.9, seed=3)
    assert found == bootstrap(values, num_bootstrap=4000, confidence=0.9, seed=3)
    assert found != bootstrap(values, num_bootstrap=4000, confidence=0.9, seed=4)
    resampled = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=40_000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(6),
    )
    ends = resampled.confidence_interval
    # The error of a quantile of n draws: sqrt(q (1 - q) / n) over the density there.
    density = stats.gaussian_kde(resampled.bootstrap_distribution)
    for end, expected in ((found.low, ends.low), (found.high, ends.high)):
        error = math.sqrt(0.05 * 0.95 * (1 / 4000 + 1 / 40_000)) / density(expected)[0]
        assert abs(end - expected) < SIGMAS * error
    assert found.value == approx(values.mean())


def test_bootstrap_resamples_whole_instances():
    pairs = np.array([[1.0, -1.0], [2.0, -2.0], [5.0, -5.0]])
    assert bootstrap(pairs, lambda rows: rows.sum(), num_bootstrap=20) == (0.0, 0.0, 0.0)
    for values, message in (([1.0], "two instances"), ([1.0, np.inf], "finite")):
        with pytest.raises(InputError, match=message):
            bootstrap(values)
    with pytest.raises(InputError, match="num_bootstrap"):
        bootstrap([1.0, 2.0], num_bootstrap=0)


def test_bootstrap_covers_as_often_as_it_should():
    """For a normal mean, |t| with K - 1 degrees must be below z sqrt((K - 1) / K)."""
    rng, trials, k = np.random.default_rng(5), 600, 20
    draws = rng.normal(1.0, 2.0, (trials, k))
    hits = sum(low <= 1.0 <= high for _, low, high in (bootstrap(x, num_bootstrap=150, confidence=0.8) for x in draws))
    z = stats.norm.ppf(0.9) * math.sqrt((k - 1) / k)
    assert_share(hits, trials, 1 - 2 * stats.t.sf(z, k - 1))


def test_power_law_of_exact_powers():
    times, exponents, scales = np.array([3.0, 10.0, 40.0, 1000.0]), np.array([-1.5, -0.5, -1.2]), [2.0, 0.1, 30.0]
    residuals = scales * times[:, None] ** exponents
    error = exponents.std(ddof=1) / math.sqrt(3) * stats.t.ppf(0.975, 2)  # over the instances, for no point is off
    mean = exponents.mean()
    assert power_law(times, residuals) == (approx(mean), approx(mean - error), approx(mean + error))
    alike = power_law(times, residuals[:, :1] * [1.0, 7.0])
    assert alike == (approx(-1.5), approx(-1.5), approx(-1.5))


def test_power_law_is_the_fit_of_the_typical_residual():
    rng, times = np.random.default_rng(9), np.array([10.0, 30.0, 50.0, 200.0, 900.0])
    bend = np.array([1.0, 3.0, 2.0, 2.5, 0.5])[:, None]
    residuals = times[:, None] ** -0.7 * bend * np.array([1.0, 4.0, 0.3])  # all instances bend alike
    fit = stats.linregress(np.log(times), np.log([typical(row).value for row in residuals]))
    half = fit.stderr * stats.t.ppf(0.95, 3)
    found = power_law(times, residuals, confidence=0.9)
    assert found == (approx(fit.slope), approx(fit.slope - half), approx(fit.slope + half))
    residuals = residuals * rng.lognormal(0, 3, (5, 3))  # which differ more than that
    fit = stats.linregress(np.log(times), np.log([typical(row).value for row in residuals]))
    slopes = [stats.linregress(np.log(times), np.log(column)).slope for column in residuals.T]
    half = np.std(slopes, ddof=1) / math.sqrt(3) * stats.t.ppf(0.975, 2)
    assert half > fit.stderr * stats.t.ppf(0.975, 3)
    assert power_law(times, residuals) == (approx(fit.slope), approx(fit.slope - half), approx(fit.slope + half))


@pytest.mark.parametrize("count", [3, 4])
def test_power_law_covers_at_least_as_often_as_it_should(count):
    """Noise that all instances share (a bend), or that each has of its own."""
    rng, times, trials = np.random.default_rng(4), 4.0 ** np.arange(count), 300
    for shared, own in ((0.3, 0.0), (0.0, 0.3)):
        hits = 0
        for _ in range(trials):
            noise = rng.normal(0, shared, (count, 1)) + rng.normal(0, own, (count, 4))
            _, low, high = power_law(times, np.exp(noise) * times[:, None] ** -1.5)
            hits += low <= -1.5 <= high
        assert stats.binom.sf(hits, trials, 0.95) < 1 - 1e-4


@pytest.mark.parametrize(
    ("times", "residuals", "message"),
    [
        ([1.0, 2.0, 3.0], [[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]], "positive"),
        ([1.0, 2.0], np.ones((2, 3)), "three"),
        ([1.0, 2.0, 2.0], np.ones((3, 3)), "three"),
        ([0.0, 1.0, 2.0], np.ones((3, 3)), "three positive"),
        ([1.0, 2.0, 3.0], np.ones((3, 1)), "two instances"),
        ([1.0, 2.0, 3.0], np.ones(3), "shape"),
        ([1.0, 2.0, 3.0], np.ones((2, 3)), "shape"),
        ([1.0, 2.0, 3.0], [["x"] * 2] * 3, "numbers"),
    ],
)
def test_power_law_refuses(times, residuals, message):
    with pytest.raises(InputError, match=message):
        power_law(times, residuals)
