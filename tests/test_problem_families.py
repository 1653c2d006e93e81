"""The families: published instances against exact oracles, every rectangle against the formula, every refusal."""

import itertools
import json
import math
from pathlib import Path

import dimod
import numpy as np
import pytest
from dwave.samplers import SimulatedAnnealingSampler, TreeDecompositionSolver

from lehr._types import InputError
from lehr.problem.base import Lattice, Problem, stack
from lehr.problem.chain import random_chain
from lehr.problem.edwards_anderson import edwards_anderson
from lehr.problem.newman_moore import newman_moore
from lehr.problem.sherrington_kirkpatrick import sherrington_kirkpatrick
from lehr.problem.wishart import wishart, wishart_planted_state

ORACLES = json.loads((Path(__file__).parent / "data" / "oracles.json").read_text())


def every_state(num_spins: int) -> np.ndarray:
    bits = np.arange(2**num_spins)[:, None] >> np.arange(num_spins) & 1
    return (2 * bits - 1).astype(np.int8)


def some_states(num_spins: int, seed: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1, 1], (20, num_spins))


def best_energy(problem: Problem, sampler: dimod.Sampler, **parameters) -> float:
    """Energy, by `problem` itself, of the best state that a foreign solver finds for its pair terms."""
    (terms,) = problem.terms
    bqm = dimod.BinaryQuadraticModel("SPIN")
    for (i, j), c in zip(terms.indices.tolist(), terms.coefficients.tolist(), strict=True):
        bqm.add_quadratic(i, j, c)
    best = sampler.sample(bqm, **parameters).first.sample
    return float(problem.energy(np.array([best[i] for i in range(problem.num_spins)])))


# Chains

CHAIN_LAWS = ("uniform01", "uniform", "pm1")


def test_the_published_chain_has_its_exact_energies():
    chain = random_chain(32, seed=1)
    (terms,) = chain.terms
    coupling = -terms.coefficients
    np.testing.assert_array_equal(coupling, np.random.RandomState(1).uniform(0, 1, 31))
    np.testing.assert_array_equal(terms.indices, [[i, i + 1] for i in range(31)])
    assert float(chain.ground_energy) == pytest.approx(-13.16178244607948, abs=1e-13)
    for temperature, expected in {2: -1.4504739152, 1: -0.8136407538, 0.5: -0.5476239929, 0.1: -0.4202820968}.items():
        log_z = math.log(2) + np.log(2 * np.cosh(coupling / temperature)).sum()
        assert -temperature * log_z / 32 == pytest.approx(expected, abs=1e-10)
    for field, expected in {2: -2.0328342976, 1: -1.0654500387, 0.5: -0.6282449284, 0.1: -0.4213456180}.items():
        free_fermions = np.diag(np.full(32, float(field))) + np.diag(coupling, 1)
        assert -np.linalg.svd(free_fermions, compute_uv=False).sum() / 32 == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("couplings", CHAIN_LAWS)
def test_the_ground_energy_of_a_chain_is_its_minimum(couplings):
    chain = random_chain(11, couplings, seed=6)
    energy = chain.energy(every_state(11))
    assert energy.min() == pytest.approx(float(chain.ground_energy), abs=1e-12)
    assert (energy < energy.min() + 1e-9).sum() == 2
    assert chain.lattice == Lattice((11,), "open")


@pytest.mark.parametrize("couplings", CHAIN_LAWS)
def test_the_energy_of_a_chain_has_the_papers_sign(couplings):
    chain = random_chain(7, couplings, seed=6)
    coupling = -chain.terms[0].coefficients
    for s in some_states(7):
        expected = -sum(coupling[i] * s[i] * s[i + 1] for i in range(6))
        assert float(chain.energy(s)) == pytest.approx(expected, abs=1e-12)


def test_laws_of_the_chain_couplings():
    size = 4000
    uniform01, uniform, pm1 = (-random_chain(size + 1, c, seed=2).terms[0].coefficients for c in CHAIN_LAWS)
    assert 0 <= uniform01.min() < 0.01 < 0.99 < uniform01.max() < 1
    assert -1 <= uniform.min() < -0.99 < 0.99 < uniform.max() < 1
    assert set(pm1) == {-1.0, 1.0}
    assert abs(pm1.mean()) < 4 / math.sqrt(size)
    assert abs(uniform.mean()) < 4 / math.sqrt(3 * size)


# Edwards-Anderson


@pytest.mark.parametrize("seed", [1, 2, 3, 7, 12])
def test_published_edwards_anderson_instances_have_their_ground_energy(seed):
    glass = edwards_anderson(10, seed=seed)
    energy = best_energy(glass, TreeDecompositionSolver())
    assert energy / 100 == pytest.approx(ORACLES["EA"]["10"][str(seed)], abs=1e-10)


def test_published_larger_instances_are_not_beaten():
    for side in (20, 40):
        glass = edwards_anderson(side, seed=5)
        energy = best_energy(glass, SimulatedAnnealingSampler(), num_reads=2, num_sweeps=500, seed=1) / side**2
        assert -1e-10 < energy - ORACLES["EA"][str(side)]["5"] < 0.05


def grid_energy(coupling: np.ndarray, boundary: str, s: np.ndarray) -> float:
    """The formula in the docstring, bond by bond on s[x, y] or s[x, y, z]."""
    total = 0.0
    for site in np.ndindex(s.shape):
        for axis, side in enumerate(s.shape):
            if site[axis] + 1 < side or (boundary == "periodic" and side > 1):
                other = tuple((x + 1) % side if k == axis else x for k, x in enumerate(site))
                total -= coupling[(*site, axis)] * s[site] * s[other]
    return total


@pytest.mark.parametrize("boundary", ["open", "periodic"])
@pytest.mark.parametrize(
    "shape",
    [
        (3, 4),
        (4, 3),
        (2, 3),
        (5, 2),
        (2, 2),
        (1, 5),
        (6, 1),
        (1, 2),
        (2, 1),
        (2, 3, 4),
        (3, 2, 1),
        (2, 2, 2),
        (1, 1, 3),
    ],
)
def test_edwards_anderson_on_any_grid_follows_the_formula(shape, boundary):
    glass = edwards_anderson(shape, boundary=boundary, seed=9)
    coupling = np.random.RandomState(9).uniform(0, 2, size=(*shape, len(shape))) - 1
    for s in some_states(glass.num_spins):
        expected = grid_energy(coupling, boundary, s.reshape(shape))
        assert float(glass.energy(s)) == pytest.approx(expected, abs=1e-12)
    assert glass.lattice == Lattice(shape, boundary)


@pytest.mark.parametrize(
    ("shape", "boundary", "bonds"),
    [
        ((3, 4), "open", 17),
        ((1, 5), "open", 4),
        ((7, 1), "open", 6),
        ((3, 4), "periodic", 24),
        ((4, 4), "periodic", 32),
        ((2, 3), "periodic", 9),
        ((2, 2), "periodic", 4),
        ((1, 5), "periodic", 5),
        ((1, 2), "periodic", 1),
        ((3, 4, 5), "open", 133),
        ((3, 4, 5), "periodic", 180),
        ((2, 3, 4), "periodic", 60),
    ],
)
def test_number_of_bonds(shape, boundary, bonds):
    assert edwards_anderson(shape, "gaussian", boundary=boundary, seed=0).num_terms == bonds


def test_a_number_is_the_side_of_a_square():
    assert edwards_anderson(3, seed=1).lattice == Lattice((3, 3), "open")


def test_laws_of_the_edwards_anderson_couplings():
    pm1, gaussian = (-edwards_anderson(40, c, seed=3).terms[0].coefficients for c in ("pm1", "gaussian"))
    size = len(pm1)
    assert size == 2 * 40 * 39
    assert set(pm1) == {-1.0, 1.0}
    assert abs(pm1.mean()) < 4 / math.sqrt(size)
    assert abs(gaussian.mean()) < 4 / math.sqrt(size)
    assert abs((gaussian**2).mean() - 1) < 4 * math.sqrt(2 / size)


def test_doubled_bonds_that_cancel_stay_so_that_instances_stack():
    instances = [edwards_anderson((2, 6), "pm1", boundary="periodic", seed=seed) for seed in range(4)]
    doubled = np.concatenate([p.terms[0].coefficients for p in instances])
    assert set(doubled) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert stack(instances).offset.shape == (4,)


# Sherrington-Kirkpatrick


def test_sherrington_kirkpatrick_follows_the_formula():
    model = sherrington_kirkpatrick(13, seed=21)
    coupling = np.random.RandomState(21).normal(0, 1 / math.sqrt(13), size=(13, 13))
    for s in some_states(13):
        expected = -sum(coupling[i, j] * s[i] * s[j] for i in range(13) for j in range(i + 1, 13))
        assert float(model.energy(s)) == pytest.approx(expected, abs=1e-12)
    assert model.lattice is None


@pytest.mark.parametrize("seed", [1, 8])
def test_published_sherrington_kirkpatrick_instances_have_their_ground_energy(seed):
    model = sherrington_kirkpatrick(100, seed=seed)
    energy = best_energy(
        model, SimulatedAnnealingSampler(), num_reads=20, num_sweeps=1000, beta_range=(0.1, 30), seed=1
    )
    assert energy / 100 == pytest.approx(ORACLES["SK"][str(seed)], abs=1e-9)


# Wishart


@pytest.mark.parametrize(("num_spins", "alpha", "rank"), [(13, 0.5, 6), (32, 0.25, 8), (9, 1.4, 13), (5, 0.3, 2)])
def test_wishart_energies_carry_their_certificate(num_spins, alpha, rank):
    problem, planted = wishart(num_spins, alpha, seed=17), wishart_planted_state(num_spins, alpha, seed=17)
    factor = wishart_factor(num_spins, rank, 17)
    states = np.concatenate([some_states(num_spins), planted[None], -planted[None]])
    excess = problem.energy(states) - float(problem.ground_energy)
    np.testing.assert_allclose(excess, ((states @ factor) ** 2).sum(-1) / (2 * num_spins), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(excess[-2:], 0, atol=1e-13)
    assert excess[:-2].min() > 1e-3
    full = problem.coupling_matrix + np.diag((factor**2).sum(1) / num_spins)
    assert np.linalg.matrix_rank(full) == min(rank, num_spins - 1)


def wishart_factor(num_spins: int, columns: int, seed: int) -> np.ndarray:
    """The W of the docstring, from the matrices it names."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.integers(0, 2, (num_spins, columns)) - 1
    gauge = 2 * rng.integers(0, 2, num_spins) - 1
    assert len(set(gauge)) == 2
    project = num_spins * np.eye(num_spins) - np.ones((num_spins, num_spins))
    return gauge[:, None] * (project @ z) / math.sqrt(num_spins * (num_spins - 1))


def test_the_planted_energy_is_the_minimum():
    for seed in range(3):
        problem = wishart(12, 0.5, seed=seed)
        assert problem.energy(every_state(12)).min() == pytest.approx(float(problem.ground_energy), abs=1e-13)


def test_the_mean_planted_energy_is_minus_half_alpha_per_spin():
    energies = np.array([float(wishart(32, 0.5, seed=seed).ground_energy) for seed in range(100)]) / 32
    error = energies.std(ddof=1) / math.sqrt(len(energies))
    assert error < 5e-4
    assert abs(energies.mean() + 0.25) < 4 * error


# Newman-Moore


def polynomial_gcd_degree(lx: int, ly: int) -> int:
    """Degree of gcd(x**lx + 1, (1 + x)**ly + 1) over GF(2), a polynomial held as the bits of a whole number."""
    power = 1
    for _ in range(ly):
        power ^= power << 1
    left, right = 1 << lx | 1, power ^ 1
    while right:
        while left.bit_length() >= right.bit_length():
            left ^= right << left.bit_length() - right.bit_length()
        left, right = right, left
    return left.bit_length() - 1


def test_the_gcd_formula_gives_the_table_of_degeneracies():
    assert {side: polynomial_gcd_degree(int(side), int(side)) for side in ORACLES["NM_k"]} == ORACLES["NM_k"]


@pytest.mark.parametrize("side", [2, 3, 4])
def test_newman_moore_ground_states_by_enumeration(side):
    model, states = newman_moore(side), every_state(side**2)
    energy = model.energy(states)
    assert energy.min() == float(model.ground_energy) == -(side**2) / 2
    down_distance = (states[energy == energy.min()] == 1).sum(1)
    assert len(down_distance) == 2 ** ORACLES["NM_k"][str(side)]
    distances, counts = np.unique(down_distance, return_counts=True)
    assert {str(d): c for d, c in zip(distances, counts, strict=True)} == ORACLES["NM_weight_enum"][str(side)]


def test_newman_moore_density_of_states():
    levels, counts = np.unique(newman_moore(3).energy(every_state(9)), return_counts=True)
    expected = {-4.5: 4, -2.5: 36, -1.5: 108, -0.5: 108, 0.5: 108, 1.5: 108, 2.5: 36, 4.5: 4}
    assert dict(zip(levels.tolist(), counts.tolist(), strict=True)) == expected
    levels, counts = np.unique(newman_moore(4).energy(every_state(16)), return_counts=True)
    assert dict(zip(levels, counts, strict=True)) == {n - 8: math.comb(16, n) for n in range(17)}


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (3, 2), (2, 5), (2, 2), (6, 2), (1, 5), (7, 1), (1, 2), (1, 1)])
@pytest.mark.parametrize("coupling", [1.0, 0.7, -1.3])
def test_newman_moore_on_any_torus_follows_the_formula(shape, coupling):
    model = newman_moore(shape, coupling=coupling)
    (lx, ly), states = shape, every_state(shape[0] * shape[1])
    grid = states.reshape(-1, lx, ly).astype(float)
    expected = sum(
        coupling / 2 * grid[:, x, y] * grid[:, (x + 1) % lx, y] * grid[:, x, (y + 1) % ly]
        for x, y in itertools.product(range(lx), range(ly))
    )
    energy = model.energy(states)
    np.testing.assert_allclose(energy, expected, rtol=0, atol=1e-12)
    assert energy.min() == pytest.approx(float(model.ground_energy), abs=1e-12)
    assert (energy < energy.min() + 1e-9).sum() == 2 ** polynomial_gcd_degree(lx, ly)
    assert float(model.energy(np.full(lx * ly, -np.sign(coupling)))) == pytest.approx(float(model.ground_energy))


@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("field", ["0.25", "0.5", "2"])
def test_quantum_newman_moore_energies_fix_the_prefactor(side, field):
    num_spins = side**2
    index = np.arange(2**num_spins)
    hamiltonian = np.diag(newman_moore(side).energy(every_state(num_spins)))
    for site in range(num_spins):
        hamiltonian[index, index ^ (1 << site)] -= float(field)
    expected = ORACLES["QNM_E0_per_spin_J1_H=(J/2)sum_sss-G*sum_x"][str(side)][field]
    assert np.linalg.eigvalsh(hamiltonian)[0] / num_spins == pytest.approx(expected, abs=1e-11)


# All families

SEEDED = {
    "chain": lambda seed: random_chain(9, seed=seed),
    "chain uniform": lambda seed: random_chain(9, "uniform", seed=seed),
    "chain pm1": lambda seed: random_chain(40, "pm1", seed=seed),
    "EA": lambda seed: edwards_anderson(3, seed=seed),
    "EA gaussian": lambda seed: edwards_anderson((3, 5), "gaussian", boundary="periodic", seed=seed),
    "EA pm1": lambda seed: edwards_anderson((5, 6), "pm1", seed=seed),
    "SK": lambda seed: sherrington_kirkpatrick(8, seed=seed),
    "Wishart": lambda seed: wishart(16, 0.75, seed=seed),
}


@pytest.mark.parametrize("family", SEEDED.values(), ids=SEEDED)
def test_a_seed_gives_one_instance(family):
    first, again, other = family(3), family(3), family(2**32 - 1)
    np.testing.assert_array_equal(first.terms[0].coefficients, again.terms[0].coefficients)
    assert not np.array_equal(first.terms[0].coefficients, other.terms[0].coefficients)
    stack([first, other])


def test_names_say_family_size_and_seed():
    assert [
        random_chain(8, "pm1", seed=2).name,
        edwards_anderson(10, seed=3).name,
        edwards_anderson((4, 6), "gaussian", boundary="periodic", seed=0).name,
        sherrington_kirkpatrick(12, seed=5).name,
        wishart(32, 0.25, seed=7).name,
        newman_moore((4, 3), coupling=0.5).name,
    ] == [
        "chain 8 pm1 open seed 2",
        "EA 10x10 uniform open seed 3",
        "EA 4x6 gaussian periodic seed 0",
        "SK 12 seed 5",
        "Wishart 32 alpha 0.25 seed 7",
        "Newman-Moore 4x3 J 0.5",
    ]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: random_chain(1, seed=1), "`num_spins` must be a whole number of at least 2, but it is 1"),
        (lambda: random_chain(4, "normal", seed=1), "`couplings` must be one of uniform01, uniform, pm1, but it is 'n"),
        (lambda: random_chain(4, seed=-1), r"`seed` must be a whole number from 0 to 2\*\*32 - 1, but it is -1"),
        (lambda: edwards_anderson(4, "uniform01", seed=1), "`couplings` must be one of uniform, pm1, gaussian, but"),
        (lambda: edwards_anderson(4, boundary="free", seed=1), "`boundary` must be one of open, periodic, but it is"),
        (
            lambda: edwards_anderson(0, seed=1),
            r"`shape` must be a side L or sides \(Lx, Ly\) or .* but it is 0",
        ),
        (lambda: edwards_anderson((4, -2), seed=1), r"`shape` must be .* but it is \(4, -2\)"),
        (lambda: edwards_anderson((4, 2, 3, 2), seed=1), r"`shape` must be .* but it is \(4, 2, 3, 2\)"),
        (lambda: edwards_anderson((4, 0, 3), seed=1), r"`shape` must be .* but it is \(4, 0, 3\)"),
        (lambda: edwards_anderson(1, seed=1), "`shape` must have from 2 to 10000000 sites, .* but it is 1, with 1"),
        (lambda: edwards_anderson(4, seed=2**32), "`seed` must be .* but it is 4294967296"),
        (lambda: sherrington_kirkpatrick(1, seed=1), "`num_spins` must be .* at least 2, but it is 1"),
        (lambda: sherrington_kirkpatrick(5, seed=-3), "`seed` must be .* but it is -3"),
        (lambda: sherrington_kirkpatrick(20_001, seed=1), "`num_spins` must be at most 20000, so .* but it is 20001"),
        (lambda: wishart(8, 1e300, seed=1), r"`alpha` must be at most 6.25e\+06 for 8 spins"),
        (lambda: wishart(1, 0.5, seed=1), "`num_spins` must be .* at least 2, but it is 1"),
        (lambda: wishart(8, 0.06, seed=1), "`alpha` must be finite and give .* >= 1 .* but it is 0.06 for 8 spins"),
        (lambda: wishart(8, -0.5, seed=1), "`alpha` must be .* but it is -0.5 for 8 spins"),
        (lambda: wishart(8, math.nan, seed=1), "`alpha` must be .* but it is nan for 8 spins"),
        (lambda: wishart(8, 0.5, seed=-1), "`seed` must be .* but it is -1"),
        (lambda: wishart_planted_state(8, 0.0, seed=1), "`alpha` must be .* but it is 0.0 for 8 spins"),
        (lambda: newman_moore(0), "`shape` must be a side L or two sides .* but it is 0"),
        (lambda: newman_moore((2, 3, 4)), r"`shape` must be a side L or two sides .* but it is \(2, 3, 4\)"),
        (lambda: newman_moore(3, coupling=math.inf), "`coupling` must be a finite number other than 0, but it is inf"),
        (lambda: newman_moore(3, coupling=0.0), "`coupling` must be a finite number other than 0, but it is 0.0"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(build, message):
    with pytest.raises(InputError, match=message) as caught:
        build()
    assert str(caught.value).startswith("Argument `")
    assert "\n" not in str(caught.value)
