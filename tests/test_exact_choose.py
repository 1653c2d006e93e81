"""Which oracle speaks, that it names itself, and that it says what the published numbers say."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lehr
from lehr import InputError, Problem, exact, load_problem
from lehr.cli import app
from lehr.exact import choose, quantum, transfer

ORACLES = json.loads((Path(__file__).parent / "data" / "oracles.json").read_text())
QUANTUM = "QNM_E0_per_spin_J1_H=(J/2)sum_sss-G*sum_x"


@pytest.mark.parametrize("side", [10, 20])
def test_published_edwards_anderson_instances(side):
    for seed, energy in ORACLES["EA"][str(side)].items():
        reference = exact(lehr.edwards_anderson(side, seed=int(seed)))
        assert abs(reference.ground_energy / side**2 - energy) < 1e-9
        assert reference.problem.energy(reference.ground_spins) == pytest.approx(reference.ground_energy, abs=1e-9)
        assert "matching" in reference.oracle


def test_published_forty_by_forty():
    reference = exact(lehr.edwards_anderson(40, seed=1))
    assert abs(reference.ground_energy / 1600 - ORACLES["EA"]["40"]["1"]) < 1e-9


@pytest.mark.slow
def test_all_published_forty_by_forty():
    for seed, energy in ORACLES["EA"]["40"].items():
        assert abs(exact(lehr.edwards_anderson(40, seed=int(seed))).ground_energy / 1600 - energy) < 1e-9


def test_newman_moore_counts_and_fields():
    for side, exponent in ORACLES["NM_k"].items():
        reference = exact(lehr.newman_moore(int(side)))
        assert reference.num_ground_states == 2**exponent
        assert reference.ground_energy == -(int(side) ** 2) / 2
    for side in ("2", "3"):
        table = {float(field): energy for field, energy in ORACLES[QUANTUM][side].items()}
        reference = exact(lehr.newman_moore(int(side)), fields=list(table))
        for field, energy in table.items():
            assert abs(reference.field_energies[field][0] / int(side) ** 2 - energy) < 1e-9


def asymmetric(num_spins):
    """A ring with fields."""
    rng = np.random.default_rng(num_spins)
    terms = {(i, i + 1): rng.normal() for i in range(num_spins - 1)} | {(0, num_spins - 1): rng.normal()}
    return terms | {(i,): rng.normal() for i in range(0, num_spins, 3)}


def frustrated_cubic(num_spins):
    """Random terms of three spins: no method but enumeration."""
    rng = np.random.default_rng(num_spins)
    triples = (sorted(rng.choice(num_spins, 3, replace=False).tolist()) for _ in range(4 * num_spins))
    return {tuple(triple): rng.normal() for triple in triples}


CASES = {
    "enumeration": (Problem.from_terms(20, asymmetric(20)), "enumeration"),
    "parity": (lehr.newman_moore((9, 4)), "parity"),
    "chain": (lehr.random_chain(200, seed=3), "parity"),
    "larger enumeration": (Problem.from_terms(21, frustrated_cubic(21)), "enumeration"),
    "matching": (lehr.edwards_anderson((7, 9), seed=1), "matching"),
    "transfer": (lehr.edwards_anderson((5, 6), boundary="periodic", seed=1), "transfer"),
    "tree": (Problem.from_terms(60, asymmetric(60)), "tree decomposition"),
    "certificate": (lehr.wishart(40, 0.5, seed=2), "certified by the spectrum"),
    "stated": (Problem.from_terms(30, asymmetric(30) | frustrated_cubic(30), ground_energy=-99.0), "not certified"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_oracle_names_itself_and_its_state_has_its_energy(name):
    problem, expected = CASES[name]
    reference = exact(problem)
    assert expected in reference.oracle
    assert reference.oracle in str(reference)
    if reference.ground_spins is not None:
        assert reference.ground_energy == pytest.approx(float(problem.energy(reference.ground_spins)), abs=1e-9)
    assert (reference.ground_spins is None) == (name == "stated")


def test_methods_agree_where_several_apply():
    """Open 4x5 lattice: enumeration, matching, transfer matrix, tree, Kac-Ward; with N = 20 the first is chosen."""
    problem = lehr.edwards_anderson((4, 5), seed=4)
    reference = exact(problem, temperatures=[0.7])
    for oracle in (*choose._GROUND, *choose._FREE_ENERGY):
        if oracle.applies(problem) and "stated" not in oracle.name:
            ground = oracle in choose._GROUND
            found = oracle.evaluate(problem).energy if ground else oracle.evaluate(problem, [0.7])[0]
            expected = reference.ground_energy if ground else reference.free_energies[0.7][0]
            assert found == pytest.approx(expected, abs=1e-9), oracle.name


def test_a_method_out_of_its_depth_hands_over():
    """Kac-Ward loses its digits at low temperature, where a lattice of width 21 has no other method."""
    problem = lehr.edwards_anderson((21, 22), seed=4)
    assert exact(problem, temperatures=[1.0]).free_energies[1.0][1] == "Kac-Ward determinant"
    with pytest.raises(InputError, match=r"free energy at 0.02.*Kac-Ward determinant: ") as caught:
        exact(problem, temperatures=[0.02])
    assert "\n" not in str(caught.value)
    small = lehr.edwards_anderson((21, 5), seed=4)
    two = exact(small, temperatures=[1.0, 0.02]).free_energies
    assert two == {at: exact(small, temperatures=[at]).free_energies[at] for at in (1.0, 0.02)}


def test_points_of_which_one_is_refused_are_served_one_by_one(monkeypatch):
    oracles = [o for o in choose._FREE_ENERGY if o.name in ("Kac-Ward determinant", "tree decomposition")]
    monkeypatch.setattr(choose, "_FREE_ENERGY", oracles)
    found = exact(lehr.edwards_anderson((5, 9), seed=4), temperatures=[0.02, 1.0]).free_energies
    assert {at: name for at, (_, name) in found.items()} == {0.02: "tree decomposition", 1.0: "Kac-Ward determinant"}


def test_the_symmetric_sector_is_built_once_for_all_fields(monkeypatch):
    built = []
    sector = quantum.symmetric_sector
    monkeypatch.setattr(quantum, "symmetric_sector", lambda *a: built.append(a) or sector(*a))
    monkeypatch.setattr(quantum, "MOST_SPINS", 8)
    found = exact(lehr.newman_moore(3), fields=[0.5, 2.0]).field_energies
    assert [round(energy, 6) for energy, _ in found.values()] == [-5.439521, -18.188201]
    assert len(built) == 1


def test_a_known_state_is_checked_before_it_is_called_certified():
    problem = lehr.wishart(40, 0.5, seed=2)
    excited = problem.ground_spins.copy()
    excited[0] *= -1
    terms = [(t.indices, t.coefficients) for t in problem.terms]
    assert "not certified" in exact(Problem(40, terms, ground_spins=excited)).oracle


def test_without_room_for_choices_the_transfer_matrix_gives_the_energy(monkeypatch):
    problem = lehr.edwards_anderson((5, 6), boundary="periodic", seed=1)
    expected = exact(problem)
    monkeypatch.setattr(transfer, "_MOST_CHOICE_BYTES", 0)
    monkeypatch.setattr(choose, "_GROUND", [o for o in choose._GROUND if o.name != "tree decomposition"])
    found = exact(problem)
    assert found.oracle == "transfer matrix (min-plus), energy alone"
    assert found.ground_energy == pytest.approx(expected.ground_energy, abs=1e-9)
    assert found.ground_spins is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"temperatures": [0.0]}, "`temperature"), ({"fields": [-1.0]}, "`fields` must be finite and at least 0")],
)
def test_bad_temperatures_and_fields(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        exact(lehr.random_chain(5, seed=1), **arguments)
    assert "structure" not in str(caught.value)


def test_no_method_says_so():
    with pytest.raises(InputError, match=r"none is found: 100 spins, 4950 terms of up to 2 spins, densely coupled"):
        exact(lehr.sherrington_kirkpatrick(100, seed=1))
    with pytest.raises(InputError, match="field energy at 1"):
        exact(lehr.edwards_anderson(6, seed=1), fields=[1.0])


def test_the_command_line(tmp_path):
    lehr.save_problem(lehr.edwards_anderson((5, 6), seed=2), tmp_path / "ea.json")
    arguments = ["exact", str(tmp_path / "ea.json"), "--temperature", "1", "--temperature", "0.5", "--json"]
    answer = json.loads(CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "solved.json")]).stdout)
    assert list(answer) == [
        "problem", "ground_energy", "ground_spins", "num_ground_states", "oracle", "free_energy", "field_energy"
    ]  # fmt: skip
    assert [entry["temperature"] for entry in answer["free_energy"]] == [1.0, 0.5]
    assert answer["num_ground_states"] is None
    solved = load_problem(tmp_path / "solved.json")
    assert float(solved.ground_energy) == answer["ground_energy"]
    assert solved.ground_spins.tolist() == answer["ground_spins"]
    assert float(solved.energy(solved.ground_spins)) == pytest.approx(answer["ground_energy"], abs=1e-12)
