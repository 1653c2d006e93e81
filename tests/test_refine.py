"""Refining: local minima by hand and by enumeration, and what the run itself found stays visible."""

import json

import numpy as np
import pytest

from enumeration import all_states, energies, mixed_problem
from lehr import InputError, Problem, edwards_anderson
from lehr.refine import refine
from lehr.result import Result

PROBLEM = mixed_problem(6)
STATES = all_states(6)


def found(problem, samples, **changes):
    return Result.assemble(problem, **{"method": "vca", "seed": 0, "samples": samples, "temperature": 0.2, **changes})


def test_descent_ends_where_no_flip_is_downhill():
    exact = energies(PROBLEM) + float(PROBLEM.offset)
    for start in range(0, 64, 7):
        refined = refine(found(PROBLEM, STATES[[start]]), num_sweeps=0)
        assert (PROBLEM.flip_cost(refined.best_spins.astype(float)) >= -1e-9).all()
        assert refined.best_energy <= exact[start] + 1e-12
        assert refined.best_energy == pytest.approx(float(PROBLEM.energy(refined.best_spins)), rel=1e-12)


def test_what_a_hot_chain_meets_is_brought_downhill():
    problem = edwards_anderson(6, seed=2)
    starts = 2 * np.random.default_rng(4).integers(0, 2, (20, 36)) - 1
    for start in starts:
        refined = refine(found(problem, start[None], temperature=1.0), num_sweeps=2)
        assert (problem.flip_cost(refined.best_spins.astype(float)) >= -1e-9).all()


def test_a_chain_leaves_the_local_minimum():
    """A ferromagnetic ring in a weak field, all spins against it: downhill nothing moves."""
    terms: dict[tuple[int, ...], float] = {(i, (i + 1) % 6): -1.0 for i in range(6)} | {(i,): -0.1 for i in range(6)}
    ring = Problem.from_terms(6, terms)
    wrong = found(ring, -np.ones((3, 6)), temperature=1.0)
    assert refine(wrong, num_sweeps=0).best_energy == wrong.best_energy == pytest.approx(-5.4)
    refined = refine(wrong, num_sweeps=200)
    assert refined.best_energy == pytest.approx(-6.6)
    np.testing.assert_array_equal(refined.best_spins, 1)


def test_what_the_run_found_is_kept_apart(tmp_path):
    rng = np.random.default_rng(1)
    problem = edwards_anderson(4, seed=1)
    samples = 2 * rng.integers(0, 2, (2, 30, 16)) - 1
    run = found(problem, samples, log_probs=np.zeros((2, 30)))
    refined = refine(run, seed=3)
    assert run.unrefined_best_energy is None
    assert refined.unrefined_best_energy == run.best_energy > refined.best_energy
    assert refined.best_energy == refined.replica_best_energies.min()
    assert (refined.replica_best_energies < run.replica_best_energies).all()
    for name in ("samples", "energies", "log_probs"):
        np.testing.assert_array_equal(getattr(refined, name), getattr(run, name))
    assert refined.mean_energy == run.mean_energy
    assert refined.work.gradient_steps == 0
    assert refined.work.spin_updates >= (100 + 2 * 8) * 16 * 61
    np.testing.assert_array_equal(refine(run, seed=3).best_spins, refined.best_spins)
    again = refine(refined)
    assert again.unrefined_best_energy == run.best_energy
    assert again.best_energy <= refined.best_energy
    assert f"refined from   {run.best_energy:.12g}, the best energy before local moves" in str(refined)
    assert refined.summary()["unrefined_best_energy"] == run.best_energy
    refined.save(tmp_path)
    assert json.dumps(Result.load(tmp_path).summary()) == json.dumps(refined.summary())
    assert Result.load(tmp_path).unrefined_best_energy == run.best_energy


def test_the_best_state_is_refined_too_and_never_lost():
    """The best state was met on the way and is not among the samples."""
    exact = energies(PROBLEM)
    ground, worst = STATES[exact.argmin()], STATES[exact.argmax()]
    run = found(PROBLEM, np.repeat(worst[None], 5, axis=0), visited=ground[None], temperature=None)
    refined = refine(run, num_states=1)
    assert refined.best_energy == run.best_energy
    np.testing.assert_array_equal(refined.best_spins, ground)


@pytest.mark.parametrize(("name", "value"), [("num_sweeps", -1), ("num_states", 0), ("seed", -1)])
def test_bad_input_is_one_clear_line(name, value):
    with pytest.raises(InputError, match=f"`{name}` must be an integer"):
        refine(found(PROBLEM, STATES), **{name: value})
