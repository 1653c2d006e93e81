"""The dimod sampler: dimod's own suite, a user's script, and what each parameter does."""

import json
import unittest
import warnings

import dimod
import numpy as np
import pytest
from dimod.exceptions import SamplerUnknownArgWarning
from dimod.higherorder.polynomial import BinaryPolynomial

import lehr
from lehr import GeometricRamp, InputError, Linear, Sampler, from_bqm, solve
from lehr.problem.convert import from_polynomial

QUICK = {"method": "sa", "num_reads": 8, "num_sweeps": 30, "seed": 4}
TINY_NETWORK = {"num_sweeps": 3, "num_samples": 4, "replicas": 3, "seed": 3}


class QuickSampler(Sampler):
    """Simulated annealing of few sweeps where nothing else is asked for."""

    def sample(self, bqm, **parameters):
        return super().sample(bqm, **{**QUICK, **parameters})

    def sample_poly(self, polynomial, **parameters):
        return super().sample_poly(polynomial, **{**QUICK, **parameters})


@dimod.testing.load_sampler_bqm_tests(QuickSampler)
class TestDimodSuite(unittest.TestCase):
    """Empty models, one to three variables, SPIN and BINARY, three kinds of models, awkward labels."""


@pytest.fixture
def solved(monkeypatch):
    """The results that the sampler gets from `solve`."""
    results = []

    def recorded(problem, **options):
        results.append(solve(problem, **options))
        return results[-1]

    monkeypatch.setattr("lehr.sampler.solve", recorded)
    return results


def same(one, other):
    """Equal sample sets but for the time they took."""
    untimed = [{**found.info, "timing": None} for found in (one, other)]
    return np.array_equal(one.record, other.record) and one.variables == other.variables and untimed[0] == untimed[1]


def mixed_bqm(vartype, seed=5):
    """Ten variables with awkward labels, fields on some, one variable without interactions, an offset."""
    rng = np.random.default_rng(seed)
    labels = ["a", ("b", 1), 7, -3, 2.5, "", ("c", ("d",)), frozenset({1}), 0, "lone"]
    linear = {label: rng.normal() if number % 2 else 0.0 for number, label in enumerate(labels)}
    pairs = {(u, v): rng.normal() for i, u in enumerate(labels[:-1]) for v in labels[:i]}
    return dimod.BinaryQuadraticModel(linear, pairs, 3.25, vartype)


def cubic(vartype, seed=6):
    rng = np.random.default_rng(seed)
    labels = ["x", ("y", 2), 3, "z", 4.5, "w", "v"]
    terms = {(labels[i], labels[(i + 1) % 7], labels[(i + 3) % 7]): rng.normal() for i in range(7)}
    terms |= {(labels[i],): rng.normal() for i in (0, 4)} | {(labels[1], labels[5]): rng.normal(), (): -2.5}
    return BinaryPolynomial(terms, vartype)


def test_the_interface():
    sampler = Sampler()
    dimod.testing.assert_sampler_api(sampler)
    assert isinstance(sampler, dimod.PolySampler)
    assert all(set(bearing) <= set(sampler.properties) for bearing in sampler.parameters.values())
    assert {"method", "num_reads", "num_sweeps", "beta_range", "seed", "temperature", "replicas"} <= set(
        sampler.parameters
    )
    json.dumps(sampler.properties)
    assert lehr.Sampler is Sampler
    with sampler as opened:
        assert opened.sample_ising({"a": 1.0}, {}, **QUICK).first.energy == -1.0


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_a_users_script(vartype):
    """String labels, a model of each kind, against the exact solvers."""
    bqm = mixed_bqm(vartype)
    found = Sampler().sample(bqm, method="sa", num_reads=50, num_sweeps=100, seed=1)
    exact = dimod.ExactSolver().sample(bqm).first
    assert found.first.energy == pytest.approx(exact.energy, abs=1e-12)
    assert dict(found.first.sample) == dict(exact.sample)
    assert found.vartype is bqm.vartype
    assert set(found.variables) == set(bqm.variables)
    dimod.testing.assert_sampleset_energies(found, bqm)
    assert len(found) - (found.record.num_occurrences == 0).sum() == 50

    polynomial = cubic(vartype)
    found = Sampler().sample_poly(polynomial, method="sa", num_reads=50, num_sweeps=100, seed=1)
    exact = dimod.ExactPolySolver().sample_poly(polynomial).first
    assert found.first.energy == pytest.approx(exact.energy, abs=1e-12)
    assert found.vartype is polynomial.vartype
    dimod.testing.assert_sampleset_energies(found, polynomial)


def test_the_four_other_ways_in():
    fields, couplings = {"a": 0.5, "b": -0.25}, {("a", "b"): -1.0, ("b", "c"): 2.0}
    assert Sampler().sample_ising(fields, couplings, **QUICK).first.energy == -3.25
    assert Sampler().sample_qubo({("a", "a"): -1.0, ("a", "b"): 2.0, ("b", "b"): -1.5}, **QUICK).first.energy == -1.5
    spins = Sampler().sample_hising({"a": 0.5}, {("a", "b", "c"): 2.0}, **QUICK)
    assert (spins.first.energy, spins.vartype) == (-2.5, dimod.SPIN)
    bits = Sampler().sample_hubo({("a", "b", "c"): -2.0, ("a",): 0.5}, **QUICK)
    assert (bits.first.energy, bits.vartype) == (-1.5, dimod.BINARY)
    assert dict(bits.first.sample) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_no_variables(vartype):
    for found in (
        Sampler().sample(dimod.BinaryQuadraticModel({}, {}, 1.5, vartype), num_reads=3, seed=1),
        Sampler().sample_poly(BinaryPolynomial({(): 1.5}, vartype), num_reads=3, seed=1),
    ):
        assert (len(found), found.first.energy, len(found.variables)) == (3, 1.5, 0)
        assert found.vartype is dimod.as_vartype(vartype)
        assert found.info["seed"] == 1


def test_no_interactions():
    bqm = dimod.BinaryQuadraticModel({"a": 0.0, "b": 0.0}, {}, 1.5, "BINARY")
    found = Sampler().sample(bqm, **QUICK)
    assert (len(found), found.first.energy) == (8, 1.5)


def test_rows_of_networks(solved):
    """Seven reads from three replicas: in turn from each, with ln p, and the best state met on the way."""
    bqm = mixed_bqm("BINARY")
    found = Sampler().sample(bqm, method="vca", num_reads=7, temperature=(60.0, 50.0), **TINY_NETWORK)
    (twin,) = solved
    assert twin.samples.shape == (3, 3, 10)
    assert np.unique(twin.log_probs).size == 9
    rows = [(replica, sample) for sample in range(3) for replica in range(3)][:7]
    record, order = found.record, [list(bqm.variables).index(v) for v in found.variables]
    np.testing.assert_array_equal(record.replica[:7], [replica for replica, _ in rows])
    np.testing.assert_array_equal(record.log_prob[:7], [twin.log_probs[row] for row in rows])
    np.testing.assert_allclose(record.energy[:7], [twin.energies[row] for row in rows], atol=1e-12)
    np.testing.assert_array_equal(2 * record.sample[:7] - 1, np.array([twin.samples[row] for row in rows])[:, order])
    assert record.num_occurrences.tolist() == [1] * 7 + [0]
    dimod.testing.assert_sampleset_energies(found, bqm)
    # This seed meets its best state on the way only, and not in the first replica.
    assert twin.best_energy < twin.energies.min()
    assert found.first.energy == pytest.approx(twin.best_energy)
    assert found.first.num_occurrences == 0
    assert np.isnan(found.first.log_prob)
    assert found.first.replica == twin.replica_best_energies.argmin() > 0
    assert found.info["method"] == "vca"
    assert found.info["ansatz"].startswith("linear")


def test_rows_of_chains():
    """Every read is a chain of its own; the lowest slice counts, and the best state is there, too."""
    polynomial = cubic("SPIN")
    problem = from_polynomial(polynomial)
    ring = {"num_slices": 5, "transverse_field": (60.0, 60.0)}  # whose slices differ
    for method, more in (("sa", {}), ("sqa", ring), ("pt", {"num_temperatures": 3}), ("metropolis", {})):
        hot = {"temperature": (40.0, 40.0 if method == "metropolis" else 20.0)}
        found = Sampler().sample_poly(polynomial, method=method, num_reads=6, num_sweeps=4, seed=3, **hot, **more)
        twin = solve(problem, method, replicas=6, num_steps=4, seed=3, **hot, **more)
        np.testing.assert_allclose(found.record.energy[:6], twin.energies.min(axis=1), atol=1e-12)
        assert found.record.replica[:6].tolist() == list(range(6))
        assert found.record.num_occurrences.sum() == 6
        assert found.first.energy == pytest.approx(twin.best_energy)
        assert "log_prob" not in found.record.dtype.names
        assert method != "sqa" or set(twin.energies.argmin(axis=1)) != {0}
    assert len(found) == 7  # metropolis, too hot to stay at its best


def test_beta_range_is_the_inverse_temperature():
    bqm = mixed_bqm("SPIN")
    by_beta = Sampler().sample(bqm, **QUICK, beta_range=(0.1, 4.0))
    by_temperature = Sampler().sample(bqm, **QUICK, temperature=(10.0, 0.25))
    assert same(by_beta, by_temperature)
    assert not same(Sampler().sample(bqm, **QUICK, beta_range=[4.0, 0.1]), by_beta)
    for wrong in (1.0, (1.0,), (0.0, 1.0), (1.0, np.inf), ("hot", "cold"), (1, 2, 3)):
        with pytest.raises(InputError, match="beta_range"):
            Sampler().sample(bqm, **QUICK, beta_range=wrong)
    with pytest.raises(InputError, match="where a temperature"):
        Sampler().sample(bqm, **QUICK, beta_range=(0.1, 4.0), temperature=(10.0, 0.25))


def test_seeds():
    bqm = mixed_bqm("SPIN")
    free = {**QUICK, "seed": None, "beta_range": (0.01, 0.02)}
    one, other = Sampler().sample(bqm, **free), Sampler().sample(bqm, **free)
    assert one.info["seed"] != other.info["seed"]
    assert (one.record.sample[:8] != other.record.sample[:8]).any()
    assert same(Sampler().sample(bqm, **{**free, "seed": one.info["seed"]}), one)
    assert len(np.unique(one.record.sample[:8], axis=0)) > 4  # reads are not copies of each other


def test_unknown_names_are_warned_about_and_none_is_not_given():
    bqm = mixed_bqm("SPIN")
    expected = Sampler().sample(bqm, **QUICK)
    with pytest.warns(SamplerUnknownArgWarning, match="chain_strength"):
        found = Sampler().sample(bqm, **QUICK, chain_strength=2.0)
    assert same(found, expected)
    with pytest.warns(SamplerUnknownArgWarning, match="num_final_samples"):
        Sampler().sample_poly(cubic("SPIN"), **QUICK, num_final_samples=3)
    assert same(Sampler().sample(bqm, **QUICK, beta_range=None, preset=None, ansatz=None), expected)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_reads": 0}, "num_reads"),
        ({"num_reads": 2.0}, "num_reads"),
        ({"num_reads": True}, "num_reads"),
        ({"num_sweeps": 0}, "`num_sweeps`"),
        ({"method": "magic"}, "method"),
        ({"seed": -1}, "seed"),
        ({"replicas": 3}, "replicas.*num_reads"),
        ({"ansatz": "linear"}, "ansatz"),
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"method": "vqa", "beta_range": (1.0, 2.0)}, "`beta_range` must be left out"),
        ({"method": "vca", "ansatz": "magic"}, "ansatz"),
        ({"preset": "magic"}, "preset"),
    ],
)
def test_bad_parameters_are_one_line(parameters, message):
    with pytest.raises(InputError, match=message) as caught:
        Sampler().sample(mixed_bqm("SPIN"), **{**QUICK, **parameters})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("label", [None, float("nan"), 10**20])
def test_labels_that_a_sample_set_would_change_are_refused(label):
    with pytest.raises(InputError, match="label"):
        Sampler().sample_poly(BinaryPolynomial({(label, "b", "c"): 1.0}, "SPIN"), **QUICK)


def test_names_objects_and_presets_reach_the_solver(monkeypatch):
    """What `solve` is asked for; annealing answers, which is quick."""
    asked = []

    def answer(problem, **options):
        asked.append(options)
        return solve(problem, "sa", num_steps=2, replicas=3)

    monkeypatch.setattr("lehr.sampler.solve", answer)
    bqm = dimod.BinaryQuadraticModel({0: 0.5}, {(0, 1): -1.0, (1, 2): 0.5}, 0.0, "SPIN")
    ansatz, ramp = Linear(from_bqm(bqm)), GeometricRamp(2.0, 0.1)
    sampler = Sampler()
    sampler.sample(bqm, num_reads=3, seed=5, preset="a-sk-vca", ansatz="linear", num_samples=7)
    sampler.sample(bqm, num_reads=3, seed=5, ansatz=ansatz, schedule=ramp, replicas=2, progress=True, num_sweeps=4)
    sampler.sample(bqm, num_reads=3, seed=5, beta_range=(0.5, 4.0))
    sampler.sample(bqm, num_reads=3, seed=5, ansatz="rnn1d")
    sampler.sample(bqm, seed=5, method="pt", num_reads=3, num_temperatures=4)
    quiet = {"seed": 5, "progress": False}
    assert asked == [
        {**quiet, "preset": "a-sk-vca", "ansatz": "linear", "num_samples": 7, "num_final_samples": 3},
        {
            **quiet,
            "ansatz": ansatz,
            "schedule": ramp,
            "replicas": 2,
            "progress": True,
            "num_steps": 4,
            "num_final_samples": 2,
        },
        {**quiet, "temperature": (2.0, 0.25), "num_final_samples": 1},  # of 16 replicas
        {**quiet, "ansatz": "rnn1d", "num_final_samples": 2},  # of 2
        {**quiet, "method": "pt", "num_temperatures": 4, "replicas": 3},
    ]


def test_info_is_plain():
    found = Sampler().sample(mixed_bqm("SPIN"), **QUICK)
    assert set(found.info) == {"method", "seed", "ansatz", "device", "lehr_version", "timing"}
    assert (found.info["method"], found.info["seed"]) == ("sa", 4)
    timing = found.info["timing"]
    assert set(timing) == {"preprocessing_ns", "sampling_ns", "postprocessing_ns"}
    assert all(isinstance(value, int) and value > 0 for value in timing.values())
    json.dumps(found.info)
    plain = Sampler().sample_ising({"a": 1.0}, {("a", "b"): 1.0}, **QUICK)
    assert dimod.SampleSet.from_serializable(plain.to_serializable()) == plain


def test_nothing_is_printed_and_composites_work(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        composed = dimod.TruncateComposite(Sampler(), 3)
        found = composed.sample(mixed_bqm("SPIN"), **QUICK)
    assert len(found) == 3
    assert capsys.readouterr() == ("", "")
