"""Transfer matrices: against enumeration on every boundary, the published optima and the Kac-Ward values."""

import json
from pathlib import Path

import numpy as np
import pytest

import lehr
from enumeration import energies
from lehr._types import InputError
from lehr.exact import matching, transfer
from lehr.problem.base import Lattice, Problem

ORACLES = json.loads(Path(__file__).with_name("data").joinpath("oracles.json").read_text())["EA"]


def glass(shape, periodic, seed=0):
    """Couplings of neighbours, around the torus where told, with fields on most sites and an offset."""
    rng = np.random.default_rng(seed)
    sites = np.arange(np.prod(shape)).reshape(shape)
    terms = {(int(i),): rng.normal() for i in sites.ravel()[1:]}
    for axis, side in enumerate(shape):
        for start in range(side if periodic[axis] and side > 2 else side - 1):
            for pair in zip(
                sites.take(start, axis).tolist(), sites.take((start + 1) % side, axis).tolist(), strict=True
            ):
                terms[pair] = rng.normal()
    return Problem.from_terms(sites.size, terms, offset=-1.3, lattice=Lattice(shape))


SHAPES = [(1, 1), (1, 7), (6, 1), (2, 5), (4, 2), (3, 4), (4, 3)]
BOUNDARIES = [(False, False), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("periodic", BOUNDARIES)
def test_all_boundaries_and_fields_are_those_of_enumeration(shape, periodic):
    problem = glass(shape, periodic)
    every = energies(problem) - 1.3
    for t in (10.0, 0.9, 0.05, 1e-3):
        lowest = every.min()
        exact = lowest - t * np.log(np.exp(-(every - lowest) / t).sum())
        assert transfer.free_energy(problem, t) == pytest.approx(exact, abs=1e-11)
    energy, spins = transfer.ground_state(problem)
    assert energy == problem.energy(spins)
    assert energy == pytest.approx(every.min(), abs=1e-12)
    assert transfer.ground_energy(problem) == pytest.approx(every.min(), abs=1e-12)


def test_kac_ward_values():
    problem = lehr.edwards_anderson(10, seed=1)
    values = transfer.free_energy(problem, [2, 1, 0.5, 0.25, 0.1]) / 100
    exact = [-1.553576548319, -1.002456729552, -0.831705725140, -0.795030728268, -0.787929357426]
    np.testing.assert_allclose(values, exact, rtol=0, atol=1.1e-12)


@pytest.mark.parametrize(("size", "seed"), [(10, 3), (10, 7), (16, None)])
def test_open_glasses_are_those_of_matching(size, seed):
    problem = lehr.edwards_anderson(size, seed=seed or 5)
    energy, spins = transfer.ground_state(problem)
    other, paired = matching.ground_state(problem)
    assert energy == pytest.approx(other, abs=1e-11)
    assert (spins * spins[0] == paired * paired[0]).all()
    if seed:
        assert energy / size**2 == pytest.approx(ORACLES[str(size)][str(seed)], abs=1e-12)


def test_weights_and_logarithms_agree_where_they_meet():
    for problem in (lehr.edwards_anderson((9, 12), seed=4), glass((6, 6), (True, True)), glass((8, 5), (False, True))):
        strip = transfer._required(problem)
        t = strip.reach / 590
        sums = [sweep.close(transfer._swept(strip, sweep)) for sweep in (transfer._Linear(t), transfer._Logarithmic(t))]
        assert sums[0] == pytest.approx(sums[1], rel=1e-12)


def test_ferromagnetic_ring():
    """The chain closed on itself has Z = (2 cosh K)^n + (2 sinh K)^n."""
    n, t = 19, 0.8
    ring = Problem.from_terms(n, {(i, (i + 1) % n): -1.0 for i in range(n)}, lattice=Lattice((n,)))
    exact = -t * (n * np.log(2 * np.cosh(1 / t)) + np.log1p(np.tanh(1 / t) ** n))
    assert transfer.free_energy(ring, t) == pytest.approx(exact, rel=1e-13)


def test_what_it_does_not_apply_to():
    assert transfer.applies(lehr.edwards_anderson((20, 300), seed=1))
    assert transfer.applies(lehr.edwards_anderson((10, 300), boundary="periodic", seed=1))
    assert transfer.applies(lehr.random_chain(1000, seed=1))
    wide = lehr.edwards_anderson((21, 21), seed=1)
    torus = lehr.edwards_anderson(11, boundary="periodic", seed=1)
    for wrong in (wide, torus, lehr.newman_moore(3), lehr.sherrington_kirkpatrick(5, seed=1)):
        assert not transfer.applies(wrong)
        for function in (transfer.ground_energy, transfer.ground_state, lambda p: transfer.free_energy(p, 1.0)):
            with pytest.raises(InputError, match="shorter side"):
                function(wrong)
    with pytest.raises(InputError, match="temperature"):
        transfer.free_energy(lehr.random_chain(5, seed=1), 0.0)
    with pytest.raises(InputError, match="2 GiB"):
        transfer.ground_state(lehr.edwards_anderson((20, 1000), seed=1))
