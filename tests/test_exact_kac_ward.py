"""The Kac-Ward determinant: against enumeration, the transfer matrix and the published values."""

import numpy as np
import pytest

import lehr
from enumeration import energies
from lehr._types import InputError
from lehr.exact import kac_ward, transfer
from lehr.problem.base import Lattice, Problem


def free_energy_of_all(problem, t):
    every = energies(problem) + float(problem.offset)
    return every.min() - t * np.log(np.exp(-(every - every.min()) / t).sum())


@pytest.mark.parametrize("shape", [(1, 6), (5, 1), (2, 2), (2, 5), (4, 3)])
def test_free_energy_is_that_of_enumeration(shape):
    glass = lehr.edwards_anderson(shape, "gaussian", seed=8)
    terms = glass.terms[0]
    holes = np.where(np.arange(len(terms.coefficients)) % 5 == 2, 0.0, terms.coefficients)
    for coefficients in (terms.coefficients, holes):
        problem = Problem(glass.num_spins, [(terms.indices, coefficients)], offset=0.4, lattice=Lattice(shape))
        for t in (5.0, 1.0, 0.4):
            assert kac_ward.free_energy(problem, t) == pytest.approx(free_energy_of_all(problem, t), abs=1e-11)


def test_published_values():
    values = kac_ward.free_energy(lehr.edwards_anderson(10, seed=1), [2, 1, 0.5, 0.25, 0.1]) / 100
    exact = [-1.553576548319, -1.002456729552, -0.831705725140, -0.795030728268, -0.787929357426]
    np.testing.assert_allclose(values[:-1], exact[:-1], rtol=0, atol=1.1e-12)
    assert values[-1] == pytest.approx(exact[-1], abs=1e-10)


@pytest.mark.parametrize(("shape", "couplings"), [((12, 12), "uniform"), ((7, 30), "gaussian"), ((10, 13), "pm1")])
def test_what_is_returned_is_that_of_the_transfer_matrix_and_the_rest_is_refused(shape, couplings):
    glass, refused = lehr.edwards_anderson(shape, couplings, seed=2), 0
    strongest = np.abs(glass.terms[0].coefficients).max()
    for t in (3.0, 1.0, 0.5, 0.25, 0.15, 0.1, 0.07, 0.05, 0.03):
        try:
            value = kac_ward.free_energy(glass, t)
        except InputError as error:
            assert "double precision" in str(error)  # noqa: PT017
            refused += 1
        else:
            assert not refused, "accuracy is lost downwards"
            assert value == pytest.approx(transfer.free_energy(glass, t), abs=1e-8 * strongest, rel=0)
    assert 2 <= refused <= 6


def test_a_large_ferromagnet_approaches_onsager():
    """The free energy of an open square is that of the bulk, then the boundary and four corners: N f + 4 L g + h."""
    t, sizes = 3.0, np.array([12, 18, 24])
    values = []
    for size in sizes:
        model = lehr.edwards_anderson(int(size), seed=1)
        ferro = Problem(model.num_spins, [(model.terms[0].indices, -np.ones(model.num_terms))], lattice=model.lattice)
        values.append(kac_ward.free_energy(ferro, t))
    bulk = np.linalg.solve(np.stack([sizes**2, sizes, np.ones(3)], axis=1).astype(float), values)[0]
    angle = (np.arange(2000) + 0.5) * np.pi / 2000
    k = 2 * np.sinh(2 / t) / np.cosh(2 / t) ** 2
    onsager = -t * (np.log(2 * np.cosh(2 / t)) + np.log((1 + np.sqrt(1 - (k * np.sin(angle)) ** 2)) / 2).mean() / 2)
    assert bulk == pytest.approx(onsager, abs=1e-6)


def test_what_it_does_not_apply_to():
    torus = lehr.edwards_anderson(4, boundary="periodic", seed=1)
    field = Problem.from_terms(4, {(0, 1): 1.0, (3,): 0.1}, lattice=Lattice((2, 2)))
    for wrong in (torus, field, lehr.newman_moore(3), lehr.sherrington_kirkpatrick(5, seed=1)):
        assert not kac_ward.applies(wrong)
        with pytest.raises(InputError, match="open boundaries"):
            kac_ward.free_energy(wrong, 1.0)
    with pytest.raises(InputError, match="temperature"):
        kac_ward.free_energy(lehr.edwards_anderson(3, seed=1), -1.0)
