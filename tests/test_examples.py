"""The examples run, in short form, and what they read off a state is what its energy says."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = {path.stem for path in FOLDER.glob("*.py")}


def run(name, **arguments):
    """What an example's `main` returns."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(**arguments)


def test_max_cut():
    found = run("max_cut", num_nodes=20, num_steps=300)
    assert found["cut"] == pytest.approx(-found["energy"])
    assert found["cut"] == pytest.approx(found["optimum"])


def test_number_partitioning():
    found = run("number_partitioning", num_numbers=10, num_steps=300)
    assert found["difference"] ** 2 == pytest.approx(found["energy"], abs=1e-3)
    assert found["difference"] >= found["smallest"] > 0


def test_graph_colouring():
    assert run("graph_colouring", num_steps=300) == {"energy": 0.0, "coloured": 10, "broken": 0}


def test_two_colours_are_too_few():
    found = run("graph_colouring", num_colours=2, num_steps=300)
    assert found["energy"] >= 1
    assert found["energy"] == 10 - found["coloured"] + found["broken"]  # no node has both


def test_satisfiability():
    found = run("satisfiability", num_variables=8, num_clauses=24, num_steps=60)
    assert found["energy"] == pytest.approx(found["broken"], abs=1e-6)


def test_portfolio():
    found = run("portfolio", num_assets=10, budget=3, num_steps=300)
    assert found["number"] == 3
    assert found["energy"] == pytest.approx(found["value"])
    assert found["value"] == pytest.approx(found["best"])


def test_disorder_average():
    found = run("disorder_average", num_instances=4, side=4, num_steps=300)
    assert found["solved"] == 4
    assert found["mean"] == pytest.approx(found["exact"])


def test_own_ansatz():
    found = run("own_ansatz", num_steps=100)
    assert found["ground"] - 1e-9 <= found["best"] < 0.7 * found["ground"]


def test_every_example_has_its_test():
    assert {name.removeprefix("test_") for name in globals() if name.removeprefix("test_") in EXAMPLES} == EXAMPLES
