"""Result: energies, distinct states, SampleSet, and the run folder."""

import json
import shutil
from pathlib import Path

import dimod
import h5py
import numpy as np
import pytest

from lehr._netcdf import read_dataset, write_dataset
from lehr._types import InputError
from lehr.engine import Work
from lehr.problem.base import Lattice, Problem
from lehr.problem.convert import from_bqm
from lehr.result import Result

SUMMARY_KEYS = [
    "problem",
    "method",
    "seed",
    "best_energy",
    "best_spins",
    "best_bits",
    "unrefined_best_energy",
    "mean_energy",
    "ground_energy",
    "residual_per_spin",
    "num_samples",
    "num_distinct",
    "gradient_steps",
    "energy_evaluations",
    "spin_updates",
    "warnings",
    "seconds",
    "ansatz",
    "device",
    "version",
]


def make_problem(**metadata) -> Problem:
    rng = np.random.default_rng(1)
    terms = {(i, j): rng.normal() for i in range(6) for j in range(i + 1, 6) if (i + j) % 2}
    terms |= {(i,): rng.normal() for i in range(6)}
    return Problem.from_terms(6, terms, offset=0.7, name="six", **metadata)


def make_result(problem: Problem, replicas: int = 3, **changes) -> Result:
    rng = np.random.default_rng(2)
    steps = np.arange(0, 50, 10)
    columns = {
        name: rng.normal(size=(replicas, 5)) for name in ("temperature", "field", "free_energy", "gradient_norm")
    }
    arguments = {
        "method": "vca",
        "seed": 7,
        "samples": 2 * rng.integers(0, 2, (replicas, 40, problem.num_spins)) - 1,
        "log_probs": rng.normal(size=(replicas, 40)).astype(np.float32),
        "history": {"step": steps, **columns},
        "work": Work(50, 60, 70),
        "seconds": {"compile": 1.5, "train": 2.25, "sample": 1 / 3},
        "ansatz": "linear",
        "device": "cpu",
        "spec": {"preset": None, "learning_rate": 0.1, "steps": [1, 2]},
    }
    return Result.assemble(problem, **(arguments | changes))


def assert_same(a: Result, b: Result) -> None:
    assert json.dumps(a.summary()) == json.dumps(b.summary())
    for name in ("samples", "energies", "log_probs", "best_spins", "replica_best_energies"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        if x is not None:
            assert x.dtype == y.dtype, name
            np.testing.assert_array_equal(x, y, err_msg=name)
    assert a.history.identical(b.history)
    assert a.work == b.work
    assert (a.seconds, a.ansatz, a.spec, a.version) == (b.seconds, b.ansatz, b.spec, b.version)
    assert (a.problem.labels, a.problem.lattice, a.problem.name) == (
        b.problem.labels,
        b.problem.lattice,
        b.problem.name,
    )
    np.testing.assert_array_equal(a.problem.energy(a.samples), b.problem.energy(b.samples))


def test_energies_are_the_problems_own():
    problem = make_problem()
    result = make_result(problem)
    np.testing.assert_allclose(result.energies, problem.energy(result.samples), rtol=1e-13)
    assert result.energies.dtype == np.float64
    assert result.best_energy == pytest.approx(float(problem.energy(result.best_spins)), rel=1e-13)
    assert result.best_energy == result.energies.min()


def test_energies_do_not_depend_on_the_chunk(monkeypatch):
    problem = make_problem()
    whole = make_result(problem).energies
    monkeypatch.setattr("lehr.states._CHUNK_NUMBERS", 50)
    np.testing.assert_allclose(make_result(problem).energies, whole, rtol=1e-13)


def test_best_may_come_from_what_was_visited():
    problem = make_problem()
    states = 2 * ((np.arange(64)[:, None] >> np.arange(6)) & 1) - 1
    energies = problem.energy(states)
    ground = states[energies.argmin()]
    worst = states[energies.argmax()]
    samples = np.stack([worst, worst])
    result = make_result(problem, samples=samples, log_probs=None, visited=ground[None], history=None)
    assert result.replica_best_energies.tolist() == [result.best_energy]
    np.testing.assert_array_equal(result.best_spins, ground)
    assert result.best_energy == pytest.approx(energies.min(), rel=1e-13)
    assert result.mean_energy == pytest.approx(energies.max(), rel=1e-13)


def test_distinct_states_are_counted_and_sorted():
    problem = make_problem()
    result = make_result(problem)
    spins, energies, counts = result.distinct()
    rows, expected = np.unique(result.samples.reshape(-1, 6), axis=0, return_counts=True)
    assert {tuple(r): c for r, c in zip(rows.tolist(), expected.tolist(), strict=True)} == {
        tuple(r): c for r, c in zip(spins.tolist(), counts.tolist(), strict=True)
    }
    assert (np.diff(energies) >= 0).all()
    np.testing.assert_allclose(energies, problem.energy(spins), rtol=1e-13)
    assert result.num_distinct == len(spins) < result.num_samples == counts.sum() == 120


def test_residual_is_the_mean_above_the_ground_energy():
    assert make_result(make_problem()).residual_per_spin is None
    result = make_result(make_problem(ground_energy=-10.0))
    assert result.residual_per_spin == pytest.approx((result.mean_energy + 10.0) / 6)


@pytest.mark.parametrize("labels", [None, ("a", "b", 3, ("c", 1), "e", "f")])
def test_sampleset_holds_every_sample_with_its_energy(labels):
    problem = make_problem(labels=labels)
    result = make_result(problem)
    sampleset = result.to_sampleset()
    assert sampleset.vartype is dimod.SPIN
    assert list(sampleset.variables) == list(labels or range(6))
    names = labels or range(6)
    (fields, pairs) = problem.terms
    linear = {names[i]: c for (i,), c in zip(fields.indices, fields.coefficients, strict=True)}
    couplings = {(names[i], names[j]): c for (i, j), c in zip(pairs.indices, pairs.coefficients, strict=True)}
    bqm = dimod.BinaryQuadraticModel(linear, couplings, 0.7, dimod.SPIN)
    np.testing.assert_allclose(sampleset.record.energy, bqm.energies(sampleset), rtol=1e-12)
    assert sampleset.record.num_occurrences.sum() == 120
    assert (np.diff(sampleset.record.energy) >= 0).all()
    assert sampleset.first.energy == result.energies.min()
    timing = sampleset.info["timing"]
    assert (timing["preprocessing_ns"], timing["sampling_ns"]) == (1_500_000_000, 2_583_333_333)
    assert all(isinstance(value, int) for value in timing.values())
    for row in sampleset.record[:10]:
        at = (result.samples[row.replica] == row.sample).all(axis=1)
        assert row.log_prob in result.log_probs[row.replica][at]
        assert at.sum() == row.num_occurrences


def test_summary_has_exactly_the_keys_of_the_command_line():
    summary = make_result(make_problem()).summary()
    assert list(summary) == SUMMARY_KEYS
    assert set(summary["problem"]) == {"name", "num_spins"}
    assert set(summary["seconds"]) == {"compile", "train", "sample"}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["ground_energy"] is None
    assert set(summary["best_spins"]) <= {1, -1}


def test_bits_of_the_summary_are_those_of_the_model():
    model = dimod.BinaryQuadraticModel(
        {"c": 1.0, "a": -0.5, "b": 0.25}, {("a", "b"): 2.0, ("c", "b"): -3.0}, 1.5, "BINARY"
    )
    problem = from_bqm(model)
    for spins in ([1, -1, -1], [1, 1, -1], [-1, 1, 1]):
        summary = Result.assemble(problem, method="vca", seed=0, samples=np.array([spins])).summary()
        assert summary["best_bits"] == [(1 + spin) // 2 for spin in summary["best_spins"]]
        assert model.energy(dict(zip(problem.labels, summary["best_bits"], strict=True))) == summary["best_energy"]


def test_text_is_a_handful_of_short_lines():
    text = str(make_result(make_problem(ground_energy=-10.0), log_probs=None, samples=np.ones((3, 40, 6))))
    assert len(text.splitlines()) <= 10
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "ground energy  -10" in text


def test_a_strangers_names_cannot_write_on_the_terminal():
    problem = Problem.from_terms(2, {(0, 1): -1.0}, name="a\x1b[2J\n\ud800b é")
    text = str(make_result(problem, samples=np.ones((1, 4, 2)), log_probs=None, history=None, ansatz="x\ry"))
    assert text.splitlines()[0] == "a?[2J??b é: 2 spins, method vca, seed 7"
    assert "x?y" in text
    assert text.replace("\n", "").isprintable()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "busy" / "samples.nc").mkdir(parents=True)
    for folder in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / "busy"):
        with pytest.raises(InputError, match="cannot be written") as caught:
            make_result(make_problem()).save(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("energy", [-1e3, "nan", None, "spins"])
def test_a_best_energy_that_the_spins_do_not_have_is_refused(tmp_path, energy):
    make_result(make_problem()).save(tmp_path)
    if energy == "spins":
        with h5py.File(tmp_path / "samples.nc", "a") as file:
            file["best_spins"][:] *= np.array([1, -1, 1, 1, 1, 1], dtype=np.int8)
        resign(tmp_path)
    else:
        run = json.loads((tmp_path / "run.json").read_text())
        run["best_energy"] = float("nan") if energy == "nan" else energy
        (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.raises(InputError, match="must be one that `save` wrote"):
        Result.load(tmp_path)


@pytest.mark.parametrize("name", ["energy", "log_prob"])
@pytest.mark.parametrize("dimensions", [("replica", "other"), ("replica",), ("replica", "sample", "spin")])
def test_arrays_of_other_shapes_are_refused(tmp_path, name, dimensions):
    make_result(make_problem()).save(tmp_path)
    arrays = read_dataset(tmp_path / "samples.nc").drop_vars(name)
    sizes = {**arrays.sizes, "other": 39}
    arrays[name] = (dimensions, np.zeros([sizes[d] for d in dimensions]))
    write_dataset(arrays, tmp_path / "samples.nc")
    resign(tmp_path)
    with pytest.raises(InputError, match="must be one that `save` wrote"):
        Result.load(tmp_path)


def test_large_terms_that_cancel_are_no_damage(tmp_path):
    rng = np.random.default_rng(5)
    problem = Problem.from_terms(40, {(i, j): 1e9 * rng.normal() for i in range(40) for j in range(i)}, offset=1e10)
    result = make_result(problem, 1, samples=2 * rng.integers(0, 2, (1, 40, 40)) - 1)
    result.save(tmp_path)
    assert Result.load(tmp_path).best_energy == result.best_energy


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": ("a", "b", 3, "d", "e", "f"), "ground_energy": -10.123456789012345},
        {"lattice": Lattice((2, 3), "periodic")},
    ],
)
def test_a_run_folder_holds_everything(tmp_path, replicas, metadata):
    result = make_result(make_problem(**metadata), replicas)
    result.save(tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "history.nc",
        "problem.json",
        "run.json",
        "samples.nc",
    ]
    loaded = Result.load(tmp_path / "run")
    assert_same(result, loaded)
    assert loaded.samples.shape == (replicas, 40, 6)
    assert not any(np.isnan(loaded.history[name]).any() for name in loaded.history)


def test_a_result_warns_wherever_it_is_shown(tmp_path):
    """One replica alone meets the lowest energy, until that is known to be the ground energy."""
    problem = make_problem()
    states = 2 * ((np.arange(64)[:, None] >> np.arange(6)) & 1) - 1
    states = states[problem.energy(states).argsort()]
    samples = np.repeat(states[[0, 3, 5]], 40, axis=0).reshape(3, 40, 6)
    result = make_result(problem, samples=samples)
    (line,) = result.warnings
    assert line.startswith("Only 1 of 3 replicas met the best energy")
    assert str(result).splitlines()[-1] == f"  warning        {line}"
    assert result.summary()["warnings"] == [line]
    result.save(tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["warnings"] == [line]
    assert Result.load(tmp_path).warnings == (line,)
    solved = make_problem(ground_energy=result.best_energy)
    assert make_result(solved, samples=samples).warnings == ()
    assert make_result(problem, 1, samples=samples[:1]).warnings == ()


def test_the_temperature_of_the_samples_is_kept(tmp_path):
    result = make_result(make_problem(), temperature=0.3)
    result.save(tmp_path)
    assert Result.load(tmp_path).temperature == 0.3
    assert make_result(make_problem()).tracking.acceptance.shape == (3,)
    assert make_result(make_problem(), log_probs=None).tracking is None


def test_a_folder_without_the_temperature_has_that_of_its_last_step(tmp_path):
    """Folders of the same format by the first versions, whose history and `run.json` know less."""
    result = make_result(make_problem(), temperature=0.3)
    result.save(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    del run["temperature"], run["warnings"]
    (tmp_path / "run.json").write_text(json.dumps(run))
    loaded = Result.load(tmp_path)
    assert loaded.temperature == result.history.temperature.values[0, -1]
    (tmp_path / "run.json").write_text(json.dumps({**run, "method": "vqa"}))
    assert Result.load(tmp_path).temperature is None


def test_a_run_without_history_and_probabilities_is_kept_too(tmp_path):
    result = make_result(make_problem(), log_probs=None, history=None, spec=None)
    result.save(tmp_path)
    assert_same(result, Result.load(tmp_path))


def test_saving_again_replaces_the_run(tmp_path):
    make_result(make_problem()).save(tmp_path)
    second = make_result(make_problem(), replicas=1, seed=8)
    second.save(tmp_path)
    assert_same(second, Result.load(tmp_path))


@pytest.mark.parametrize("name", ["run.json", "problem.json", "history.nc", "samples.nc"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "flipped", "rubbish", "folder"])
def test_a_damaged_run_folder_is_refused_in_one_line(tmp_path, name, damage):
    make_result(make_problem()).save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 0x80]) + content[middle + 1 :]
        broken = {"empty": b"", "truncated": content[:middle], "flipped": flipped, "rubbish": b"\x80\x04\x95" * 99}
        path.write_bytes(broken[damage])
    with pytest.raises(InputError) as caught:
        Result.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_files_of_two_runs_do_not_mix(tmp_path):
    make_result(make_problem()).save(tmp_path / "a")
    make_result(make_problem(), samples=np.ones((3, 40, 6))).save(tmp_path / "b")
    shutil.copy(tmp_path / "a" / "samples.nc", tmp_path / "b" / "samples.nc")
    with pytest.raises(InputError, match="checksum"):
        Result.load(tmp_path / "b")


def resign(folder: Path) -> None:
    """What a stranger can always do: make the checksums right."""
    from lehr._files import sha256

    run = json.loads((folder / "run.json").read_text())
    run["sha256"] = {name: sha256(folder / name) for name in run["sha256"]}
    (folder / "run.json").write_text(json.dumps(run))


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ("external", "`energy` is not an array of its own"),
        ("virtual", "`energy` is not an array of its own"),
        ("link", "`energy` lies elsewhere"),
        ("bomb", "`energy` promises more data"),
        ("objects", "`energy` holds something else than numbers and characters"),
        ("not spins", r"`samples` must hold spins \+1 and -1"),
        ("shape", "must be readable netCDF"),
    ],
)
def test_a_hostile_run_folder_is_refused(tmp_path, attack, message):
    make_result(make_problem()).save(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(240))
    with h5py.File(tmp_path / "samples.nc", "a") as file:
        if attack == "not spins":
            file["samples"][0, 0, 0] = 3
        elif attack == "shape":
            energy = file["energy"][:, 1:]
            del file["energy"]
            file["energy"] = energy
        else:
            del file["energy"]
        if attack == "external":
            file.create_dataset("energy", (3, 10), "f8", external=[(str(tmp_path / "secret.bin"), 0, 240)])
        elif attack == "link":
            file["energy"] = h5py.ExternalLink(str(tmp_path / "history.nc"), "free_energy")
        elif attack == "virtual":
            layout = h5py.VirtualLayout((3, 5), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "history.nc"), "free_energy", (3, 5))
            file.create_virtual_dataset("energy", layout)
        elif attack == "bomb":
            file.create_dataset("energy", (10**7, 10**7), "f8", chunks=(100, 100))
        elif attack == "objects":
            file.create_dataset("energy", data=[["cos\nsystem"] * 40] * 3, dtype=h5py.string_dtype())
    resign(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        Result.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": np.ones((3, 40, 5))}, "`samples` must hold 6 spins"),
        ({"samples": np.zeros((3, 40, 6))}, r"`samples` must hold spins \+1 and -1"),
        ({"samples": np.ones((3, 0, 6))}, "`samples` must hold at least one sample"),
        ({"log_probs": np.zeros((40, 3))}, "`log_probs` must have shape"),
        ({"history": {"step": np.arange(4), "field": np.zeros((3, 5))}}, "`field` has shape"),
        ({"visited": np.full((1, 6), np.nan)}, r"`visited` must hold spins"),
        ({"visited": np.ones((2, 6))}, r"`visited` must hold one state of each of 3 replicas"),
    ],
)
def test_bad_input_is_one_clear_line(changes, message):
    with pytest.raises(InputError, match=message):
        make_result(make_problem(), **changes)


def test_a_spec_that_is_not_json_is_refused(tmp_path):
    with pytest.raises(InputError, match="JSON"):
        make_result(make_problem(), spec={"function": print}).save(tmp_path)
    assert not (tmp_path / "run.json").exists()


def test_a_million_samples_of_a_hundred_spins():
    rng = np.random.default_rng(3)
    problem = Problem.from_terms(100, {(i, i + 1): rng.normal() for i in range(99)})
    states = (2 * rng.integers(0, 2, (1000, 100)) - 1).astype(np.int8)
    result = make_result(problem, 1, samples=states[rng.integers(0, 1000, 10**6)][None], log_probs=None)
    assert result.num_distinct == 1000
    assert result.to_sampleset().record.num_occurrences.sum() == 10**6
