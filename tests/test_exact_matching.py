"""Planar ground states: against enumeration, the published optima and matchings found without pruning."""

import itertools
import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import lehr
from enumeration import energies
from lehr._types import InputError
from lehr.exact import matching
from lehr.exact._lattice import grid
from lehr.exact._pairing import best_pairing
from lehr.problem.base import Lattice, Problem

ORACLES = json.loads(Path(__file__).with_name("data").joinpath("oracles.json").read_text())["EA"]


def random_glass(shape, seed, *, zeros=0.0, whole=False, offset=0.7):
    """Neighbour couplings with an offset; a share `zeros` of them is 0 or missing in turn."""
    rng = np.random.default_rng(seed)
    sites = np.arange(np.prod(shape)).reshape(shape)
    pairs = np.concatenate([np.stack([sites[:-1], sites[1:]], -1).reshape(-1, 2),
                            np.stack([sites[:, :-1], sites[:, 1:]], -1).reshape(-1, 2)])  # fmt: skip
    strength = rng.integers(-2, 3, len(pairs)) * 1.0 if whole else rng.normal(size=len(pairs))
    gone = rng.uniform(size=len(pairs)) < zeros
    strength[gone] = 0
    kept = ~gone | (np.arange(len(pairs)) % 2 == 0)
    terms = [(pairs[kept], strength[kept])] if kept.any() else []
    return Problem(sites.size, terms, offset=offset, lattice=Lattice(tuple(shape)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (2, 2), (2, 5), (3, 4), (4, 4)])
@pytest.mark.parametrize("kind", [{}, {"zeros": 0.4}, {"whole": True}])
def test_ground_state_is_that_of_enumeration(shape, kind):
    for seed in range(4):
        glass = random_glass(shape, seed, **kind)
        energy, spins = matching.ground_state(glass)
        assert spins.dtype == np.int8
        assert set(spins.tolist()) <= {1, -1}
        assert energy == glass.energy(spins)
        assert energy == pytest.approx(energies(glass).min() + 0.7, abs=1e-12)


@pytest.mark.parametrize(("size", "seed"), [(10, 1), (10, 6), (20, 2), (20, 8), (40, 1), (40, 3)])
def test_published_optima(size, seed):
    energy, spins = matching.ground_state(lehr.edwards_anderson(size, seed=seed))
    assert energy / size**2 == pytest.approx(ORACLES[str(size)][str(seed)], abs=1e-12)
    assert lehr.edwards_anderson(size, seed=seed).flip_cost(spins).min() > 0


def test_the_certificate_repairs_a_neighbourhood_that_is_too_small(monkeypatch):
    monkeypatch.setattr(matching, "_NEAREST", 1)
    energy, _ = matching.ground_state(lehr.edwards_anderson(20, seed=2))
    assert energy / 400 == pytest.approx(ORACLES["20"]["2"], abs=1e-12)


def test_units_and_offset_do_not_matter():
    glass = lehr.edwards_anderson((5, 7), seed=4)
    energy, spins = matching.ground_state(glass)
    for scale in (1e-200, 1e200):
        scaled = Problem(
            35, [(t.indices, scale * t.coefficients) for t in glass.terms], offset=-scale, lattice=glass.lattice
        )
        other, same = matching.ground_state(scaled)
        assert other == pytest.approx(scale * (energy - 1), rel=1e-12)
        assert (same * same[0] == spins * spins[0]).all()


class RandomPoints:
    """Every pair has a gain of its own, far from any geometry; the search starts from a poor selection."""

    def __init__(self, size, seed):
        self.size = size
        rng = np.random.default_rng(seed)
        gains = rng.uniform(-0.3, 1, (size, size)) ** 3
        self.gains = gains + gains.T
        self.all_pairs = np.array(list(itertools.combinations(range(size), 2))).reshape(-1, 2)

    def _of(self, pairs):
        return pairs, self.gains[tuple(pairs.T)]

    def nearest(self):
        pairs, gains = self._of(self.all_pairs[::7])
        return pairs[gains > 0], gains[gains > 0]

    def better_than(self, prices):
        pairs, gains = self._of(self.all_pairs)
        chosen = (gains > 0) & (gains > prices[pairs].sum(axis=1))
        return pairs[chosen], gains[chosen]


class Triplets(RandomPoints):
    """Clusters of three in the plane: one of each must look afar, which the prices of the others do not show."""

    def __init__(self, size, seed):
        super().__init__(size, seed)
        rng = np.random.default_rng(seed)
        centres = rng.uniform(0, 4, (size // 3, 1, 2))
        at = (centres + rng.normal(scale=0.1, size=(size // 3, 3, 2))).reshape(size, 2)
        self.gains = 6 - np.linalg.norm(at[:, None] - at[None], axis=-1)


@pytest.mark.parametrize(
    "points",
    [RandomPoints([3, 8, 15, 26][seed % 4], seed) for seed in range(12)] + [Triplets(24, seed) for seed in range(8)],
    ids=lambda points: f"{type(points).__name__}-{points.size}",
)
def test_best_pairing_is_the_best_of_all_pairs(points):
    pairs = best_pairing(points)
    assert len(set(pairs.ravel().tolist())) == pairs.size
    complete = nx.Graph()
    complete.add_weighted_edges_from((int(a), int(b), points.gains[a, b]) for a, b in points.all_pairs)
    best = sum(points.gains[a, b] for a, b in nx.max_weight_matching(complete))
    assert points.gains[tuple(pairs.T)].sum() == pytest.approx(best, abs=1e-12)


def test_what_it_does_not_apply_to():
    assert matching.applies(lehr.random_chain(7, seed=1))
    assert matching.applies(Problem(6, [], lattice=Lattice((2, 3))))
    diagonal = Problem.from_terms(4, {(0, 1): 1.0, (0, 3): 1.0}, lattice=Lattice((2, 2)))
    around = Problem.from_terms(6, {(0, 2): 1.0}, lattice=Lattice((2, 3)))
    field = Problem.from_terms(4, {(0, 1): 1.0, (3,): 0.1}, lattice=Lattice((2, 2)))
    for wrong in (lehr.newman_moore(3), lehr.sherrington_kirkpatrick(6, seed=1), diagonal, around, field):
        assert not matching.applies(wrong)
        with pytest.raises(InputError, match="open boundaries"):
            matching.ground_state(wrong)


def test_grid_places_every_coupling_once():
    for shape in [(1, 5), (2, 2), (2, 4), (3, 1), (3, 4)]:
        torus = lehr.edwards_anderson(shape, boundary="periodic", seed=2)
        glass = grid(torus)
        s = np.random.default_rng(0).choice([-1.0, 1.0], shape)
        total = (glass.down * s * np.roll(s, -1, 0)).sum() + (glass.right * s * np.roll(s, -1, 1)).sum()
        assert total == pytest.approx(float(torus.energy(s.ravel())), abs=1e-12)
        assert glass.wraps == (shape[0] > 2, shape[1] > 2)
