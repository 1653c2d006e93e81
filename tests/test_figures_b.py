"""Paper B's figures 1, 2, 3 and 6 made again: numbers against enumeration, texts against made-up data."""

import json
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from enumeration import all_states, energies, field_matrix
from lehr import InputError, newman_moore, solve
from lehr.metrics import wilson
from lehr.pca import principal_components
from lehr.plan import chosen_settings
from lehr.preset import preset
from lehr.reproduce import FIGURES
from lehr.reproduce.along import above_exact, curve, judged_against_exact, log_edges, windowed
from lehr.reproduce.figure import SCALES, make
from lehr.reproduce.free_energy import measure_free_energy
from lehr.reproduce.ground_energy import measure_ground_energy
from lehr.reproduce.ground_samples import measure_ground_samples, ordered_ground_states
from lehr.reproduce.lattice import measure_lattice, path, triangles
from lehr.reproduce.paper_b import BRANCHES, DEFAULT, PAPER, VARIANTS, options_of, quicker
from lehr.solve import DivergenceError

RUNS = ("b-fig2a", "b-fig2b", "b-fig3", "b-fig6")


def plain(text):
    """A text as one line."""
    return " ".join(text.split())


def grid(answers, sizes, variants, seeds=3):
    """Made-up tasks, `answers(size, variant, seed)`, put together as `run_tasks` does."""
    rows = [
        xr.concat([xr.concat([answers(size, name, seed) for seed in range(seeds)], "seed") for name in variants], "v")
        for size in sizes
    ]
    data = xr.concat(rows, "size").rename(v="variant").assign_coords(size=sizes, variant=variants, seed=range(seeds))
    return data.assign(task_seconds=xr.full_like(data["found" if "found" in data else "diverged"], 2.0))


# Numbers, exactly


def test_windows_hold_means_of_their_own_steps():
    control = np.array([9.0, 4.0, 3.0, 0.5, 0.1])
    value, exact = np.array([-9.0, -3.0, -2.0, -1.0, -0.5]), np.array([-9.5, -3.5, -3.0, -1.0, -0.7])
    variance = np.array([0.04, 0.01, 0.03, 0.09, 0.01])
    made = windowed(control, value, variance, exact, [0.0, 0.3, 2.0, 5.0, 8.0])
    np.testing.assert_allclose(made["control"], [0.1, 0.5, 3.5, np.nan])
    np.testing.assert_allclose(made["value"], [-0.5, -1.0, -2.5, np.nan])
    np.testing.assert_allclose(made["exact"], [-0.7, -1.0, -3.25, np.nan])
    np.testing.assert_allclose(made["error"], [0.1, 0.3, np.sqrt(0.02 / 2), np.nan])
    edges = log_edges(0.02, 10.0, 100)
    assert len(edges) == 101
    assert edges[0] == 0
    assert edges[1] == pytest.approx(0.02)
    assert edges[-1] > 10


def test_the_excess_and_its_largest():
    made = curve(
        [3.0, 2.0, 1.0, np.nan], [-0.9, -0.7, -0.55, np.nan], [0.01, 0.02, 0.01, np.nan], [-1, -1, -0.5, np.nan]
    )
    data = judged_against_exact(made)
    np.testing.assert_allclose(data["excess"][:3], [10, 30, -10])
    assert [float(data[name]) for name in ("worst_excess", "worst_error", "worst_control")] == pytest.approx([30, 2, 2])
    assert float(data["mean_excess"]) == pytest.approx(10)
    assert float(data["lowest_z"]) == pytest.approx(-5, rel=1e-4)
    assert int(data["num_windows"]) == 3
    nothing = judged_against_exact(made * np.nan)
    assert np.isnan(nothing["worst_excess"])
    assert int(nothing["num_windows"]) == 0


def test_below_the_exact_curve_is_told_from_chance():
    """Of 1000 windows one at two errors below is chance, one at six is not."""

    def runs(lowest):
        value = -1 + 0.01 * np.concatenate([[lowest], np.zeros(999)])
        return judged_against_exact(curve(np.ones(1000), value, np.full(1000, 0.01), -np.ones(1000)))

    sound, seen = above_exact(runs(-2.0))
    assert sound
    assert seen.startswith("of 1000 windows the lowest is 2.0 standard errors below the exact curve")
    assert not above_exact(runs(-6.0))[0]
    assert above_exact(runs(np.nan) * np.nan) == (False, "")
    # Where all samples are equal, rounding is no excess.
    assert above_exact(judged_against_exact(curve([1.0], [-1 - 1e-6], [0.0], [-1.0])))[0]


SMALL = {"num_samples": 20, "num_steps": 30}
SPEC = {
    "sizes": [3], "num_seeds": 2, "paper": {"3": quicker(500, num_samples=20)}, "default": SMALL,
    "num_windows": {PAPER: 10, DEFAULT: 8, BRANCHES: 8}, "num_final_samples": 200,
}  # fmt: skip


def test_free_energies_are_those_of_the_history_and_of_all_states():
    problem, energy = newman_moore(3), energies(newman_moore(3))
    for variant in (PAPER, DEFAULT):
        found = measure_free_energy(SPEC, 3, variant, 1)
        result = solve(problem, seed=1, replicas=1, **options_of(SPEC, "vca", variant, 3))
        warmup = result.spec["settings"]["num_warmup_steps"]
        history = result.history.isel(replica=0, step=slice(warmup, None))
        temperature = history["temperature"].values
        exact = np.array([-t * np.logaddexp.reduce(-energy / t) for t in temperature]) / 9
        edges = log_edges(0.02, 10.0, 100)
        for window in np.flatnonzero(np.isfinite(found["control"].values)):
            inside = (temperature >= edges[window]) & (temperature < edges[window + 1])
            assert inside.any()
            assert float(found["control"][window]) == pytest.approx(temperature[inside].mean())
            assert float(found["exact"][window]) == pytest.approx(exact[inside].mean(), rel=1e-6)
            assert float(found["value"][window]) == pytest.approx(history["free_energy"].values[inside].mean() / 9)
            statistical = np.sqrt(history["free_energy_variance"].values[inside].mean() / 20 / inside.sum()) / 9
            assert float(found["error"][window]) >= statistical
        counts = [((temperature >= low) & (temperature < high)).sum() for low, high in pairwise(edges)]
        assert sum(counts) == len(temperature)  # no step is lost
        assert float(found["residual"]) == pytest.approx(result.residual_per_spin)


def lowest_energy(problem, field):
    """By diagonalisation of the whole matrix."""
    return np.linalg.eigvalsh(np.diag(energies(problem)) + field * field_matrix(problem.num_spins))[0]


def test_ground_energies_are_those_of_the_matrix():
    problem = newman_moore(3)
    both = measure_ground_energy(SPEC, 3, BRANCHES, 0)
    assert both.sizes["window"] == 10  # filled up to the most windows of any network
    known = np.flatnonzero(np.isfinite(both["control"].values))
    assert len(known) == 8
    for window in known[[0, 4]]:
        lowest = lowest_energy(problem, float(both["control"][window]))
        assert float(both["exact"][window]) == pytest.approx(lowest / 9, abs=1e-9)
    lower = np.fmin(both["down_alone"], both["up_alone"])
    np.testing.assert_array_equal(both["value"][known], lower[known])
    near = float(both["near_field"][3])
    assert float(both["near_exact"][3]) == pytest.approx(lowest_energy(problem, near) / 9, abs=1e-9)


def test_ground_states_are_counted_one_by_one():
    problem = newman_moore(3)
    states = ordered_ground_states(3)
    table, energy = all_states(9), energies(problem)
    assert {state.tobytes() for state in states} == {
        state.astype(np.int8).tobytes() for state in table[energy == energy.min()]
    }
    found = measure_ground_samples(SPEC, 3, DEFAULT, 1)
    result = solve(problem, seed=1, replicas=1, **options_of(SPEC, "vca", DEFAULT, 3))
    expected = [(result.samples[0] == state).all(axis=1).sum() for state in states]
    assert found["count"].values.tolist() == expected
    assert found["distance"].values.tolist() == [0, 6, 6, 6]
    np.testing.assert_array_equal(found["spins"], states)


def test_smaller_lattices_are_filled_up():
    spec = {**SPEC, "sizes": [3, 6]}
    found = measure_ground_samples(spec, 3, DEFAULT, 1)
    assert found["count"].shape == (16,)
    assert found["spins"].shape == (16, 36)
    assert np.isfinite(found["count"].values).tolist() == [True] * 4 + [False] * 12


def test_the_ground_states_of_three_are_a_tetrahedron():
    states = ordered_ground_states(3)
    found = principal_components(states, 9)
    np.testing.assert_allclose(found.shares, [1 / 3] * 3 + [0] * 6, atol=1e-12)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(9), atol=1e-12)
    # Two states are apart by the distance in the space of all spins.
    apart = np.linalg.norm(found.positions[:, None] - found.positions[None], axis=-1)
    np.testing.assert_allclose(apart, 2 * np.sqrt(6) * (1 - np.eye(4)), atol=1e-12)


def test_principal_axes_are_those_of_the_covariance():
    rng = np.random.default_rng(5)
    samples = rng.normal(size=(40, 4)) @ np.diag([3.0, 1.5, 0.7, 0.2]) + [1.0, 2.0, 3.0, 4.0]
    counts = rng.integers(0, 5, 40)
    repeated = np.repeat(samples, counts, axis=0)
    covariance = np.cov(repeated.T, bias=True)
    found = principal_components(samples, 3, weights=counts)
    np.testing.assert_allclose(found.shares, np.linalg.eigvalsh(covariance)[::-1][:3] / np.trace(covariance))
    np.testing.assert_allclose(found.positions, (samples - repeated.mean(axis=0)) @ found.axes.T)
    same = principal_components(repeated, 3)
    np.testing.assert_allclose(same.axes, found.axes, atol=1e-9)
    assert np.isnan(principal_components(np.ones((5, 3))).shares).all()
    for wrong in ({"samples": [1.0]}, {"num_components": 5}, {"weights": -counts}, {"weights": 0 * counts}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            principal_components(**{"samples": samples, **wrong})


@pytest.mark.parametrize("size", [3, 4, 5])
def test_triangles_point_downwards_at_the_terms_of_the_problem(size):
    corners = triangles(size)
    (terms,) = newman_moore(size).terms
    for corner, indices in zip(corners, np.asarray(terms.indices), strict=True):
        heights = np.sort(corner[:, 1])
        assert heights[1] == heights[2]  # two above
        sides = np.linalg.norm(corner - np.roll(corner, 1, axis=0), axis=1)
        np.testing.assert_allclose(sides, 1)
        rows = np.rint(-corner[:, 1] / np.sqrt(0.75)).astype(int)
        columns = np.rint(corner[:, 0] - 0.5 * rows).astype(int)
        assert sorted(rows % size * size + columns % size) == sorted(indices)
    steps = np.diff(path(size), axis=0)
    rows = np.ones(size**2 - 1, bool)
    rows[size - 1 :: size] = False
    np.testing.assert_allclose(steps[rows], [[1.0, 0.0]] * rows.sum())
    assert (steps[~rows, 1] < 0).all()


# Settings


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", RUNS)
def test_every_run_of_every_scale_has_valid_settings(name, scale):
    spec = FIGURES[name].scales[scale]
    json.dumps(spec)
    method = "vqa" if name == "b-fig3" else "vca"
    for size in spec["sizes"]:
        for variant in spec["variants"]:
            options = options_of(spec, method, variant, size)
            settings = chosen_settings(newman_moore(size), options.pop("preset", None), None, options)
            assert settings.method == method
            if variant == PAPER:
                table = preset("b-vca" if method == "vca" else "b-vqa")
                assert (settings.ansatz_options, settings.optimiser) == (table.ansatz_options, table.optimiser)
                if scale == "paper":
                    assert settings == table.changed(num_final_samples=spec["num_final_samples"])
                # Fewer steps are as much larger.
                moved = settings.num_steps * settings.learning_rate
                assert moved == pytest.approx(table.num_steps * table.learning_rate, rel=0.01)


# Texts


def followed(size, variant, seed, *, worst=None, low=0.0, **changes):
    """A made-up run of figure 2, ended in its only ground state or in the trivial one of four."""
    worst = (20.0 + size + seed if variant == PAPER else 0.5) if worst is None else worst
    exact = np.array([-7.0, -0.8, -0.5])
    value = exact + np.abs(exact) * np.array([low, worst, 0.1]) / 100
    made = curve([10.0, 1.0, 0.1], value, 1e-4 * np.abs(exact), exact)
    last = {"num_ground_states": 4.0 if size == 3 else 1.0, "ground_share": 1.0, "found": 1.0, "entropy": 0.0}
    return made.assign({**last, "trivial_share": 1.0, "residual": 0.0, "diverged": 0.0, **changes})


def missing(size, variant, seed):
    return followed(size, variant, seed).map(lambda values: np.nan * values)


def told(name, answers, sizes, variants=(PAPER, DEFAULT), seeds=3, drawn=False, scale="laptop"):
    figure = FIGURES[name]
    spec = {**figure.scales[scale], "num_seeds": seeds}
    data = figure.summarise(grid(answers, sizes, list(variants), seeds))
    if drawn:
        picture = figure.draw(data, spec)
        picture.canvas.draw()
        plt.close(picture)
    return plain(figure.findings(data, spec))


def test_free_energy_text_follows_the_numbers():
    text = told("b-fig2a", followed, [5, 16])
    assert "stays above the exact one, as an upper bound: **holds**; of 18 windows the lowest is 0.0" in text
    assert (
        "Every run leaves the exact curve on the way, by more than 1 %: **holds**; 6 of 6 [61%, 100%] runs; by" in text
    )
    assert "by at most 26.0 [23.5, 28.5] % at L = 5, 37.0 [34.5, 39.5] % at L = 16, where T = " in text
    # The two lattices had different numbers of steps.
    assert "The more so at L = 16 than at L = 5, in equally many steps: **not measured**" in text
    fair = told("b-fig2a", followed, [5, 16], scale="paper")
    assert "in equally many steps: **holds**; at most 26.0 [23.5, 28.5] % at L = 5, 37.0 [" in fair
    assert "want of steps" in text
    assert "want of steps" not in fair
    assert "recovers the ground energy: **holds**; 6 of 6" in text
    assert "Some seeds end in excited states: **was not seen**; 0 of 6" in text
    assert "only the trivial one" not in text  # where there is one ground state
    assert "L = 16: 1020 steps, 50 times fewer, at the rate 0.005, in single precision" in text
    ours = text.split("Of *Lehr's default*")[1]
    assert "Every run leaves the exact curve on the way, by more than 1 %: **does not hold**; 0 of 6" in ours

    equal = told("b-fig2a", lambda *at: followed(*at, worst=20.0), [5, 16], scale="paper")
    assert "than at L = 5, in equally many steps: **does not hold**" in equal
    below = told("b-fig2a", lambda *at: followed(*at, low=-0.1), [5, 16])
    assert "as an upper bound: **does not hold**; of 18 windows the lowest is 10.0 standard errors below" in below
    excited = told("b-fig2a", lambda size, name, seed: followed(size, name, seed, ground_share=seed / 4), [5, 16])
    assert "recovers the ground energy: **does not hold**; 0 of 6" in excited
    assert "Some seeds end in excited states: **holds**; 6 of 6" in excited


def test_degenerate_free_energy_text_follows_the_numbers():
    text = told("b-fig2b", followed, [3, 6])
    assert "only the trivial one is found: **holds**; of the runs that ended in ground states 3 of 3 [" in text
    every = told("b-fig2b", lambda *at: followed(*at, found=4.0, trivial_share=0.2), [3, 6])
    assert "only the trivial one is found: **does not hold**; of the runs that ended in ground states 0 of 3" in every
    assert "[0%, 56%] found the trivial one alone, and 3 of 3 [44%, 100%] found all" in every
    other = told("b-fig2b", lambda *at: followed(*at, trivial_share=0.0), [3, 6])
    assert "only the trivial one is found: **does not hold**" in other
    assert "L = 3: in single precision; L = 6: 5100 steps" in text


def test_nothing_is_concluded_from_nothing():
    def partly(size, variant, seed):
        return missing(size, variant, seed) if variant == PAPER else followed(size, variant, seed)

    text = told("b-fig2a", partly, [5, 16], drawn=True)
    assert text.split("Of *Lehr's default*")[0].count("**not measured**") == 5
    assert "nan" not in text

    def diverged(size, variant, seed):
        gone = {"ground_share": 0.0, "found": 0.0, "diverged": 1.0, "num_ground_states": 1.0, "trivial_share": 0.0}
        return missing(size, variant, seed).assign(gone)

    text = told("b-fig2a", diverged, [5, 16], drawn=True)
    assert "paper B (3 diverged)" in text
    assert "**holds**" not in text
    assert "nan" not in text


def in_field(size, variant, seed, *, worst=20.0, outside=0.3, last=0.2, peak=0.5, **changes):
    """A made-up run of figure 3: fields 5, 0.4, 0.1 and 0.02."""
    exact = np.array([-5.0, -0.58, -0.51, -0.5])
    above = np.array([outside, worst, 0.2, last])
    made = curve([5.0, 0.4, 0.1, 0.02], exact + np.abs(exact) * above / 100, 1e-4 * np.abs(exact), exact)
    field = np.arange(0.38, 0.63, 0.02)
    number = 4.0 if size == 3 else 1.0
    last_state = {"num_ground_states": number, "ground_share": 1.0, "found": 1.0, "entropy": 0.0, "diverged": 0.0}
    known = {"near_field": ("near", field), "near_exact": ("near", -0.5 - np.maximum(0, field - peak))}
    return made.assign({**known, **last_state, "trivial_share": 1.0, "residual": 0.0, **changes})


def test_field_text_follows_the_numbers():
    text = told("b-fig3", in_field, [3, 5], VARIANTS)
    assert "Below Γ = J the energy jumps away from the exact one, by more than 1 %: **holds**; 6 of 6" in text
    assert "by at most 20.0 % at L = 3, 20.0 % at L = 5, where Γ = 0.40 J at L = 3, 0.40 J at L = 5" in text
    for untested in ("smoother than in a temperature", "as often as in a temperature, in equally many runs"):
        assert f"{untested}: **not measured**" in text
    assert "It falls back to the exact one before the end, to within 1 %: **holds**; 6 of 6" in text
    assert (
        "Outside of the region of the transition the energy is within 1 % of the exact one: **holds**; 6 of 6" in text
    )
    assert "the largest excess outside is 0.30 % at L = 3, 0.30 % at L = 5, inside 20.00 % at L = 3" in text
    assert "At the end all ground states are held (L = 3): **does not hold**; 0 of 3" in text
    assert "is largest at Γ = 0.50 J at L = 3, 0.50 J at L = 5" in text
    assert "Γ = J for the transition **does not hold** with that prefactor" in text

    stays = told("b-fig3", lambda *at: in_field(*at, last=5.0), [3, 5], VARIANTS)
    assert "falls back to the exact one before the end, to within 1 %: **does not hold**; 0 of 6" in stays
    assert "within 1 % of the exact one: **does not hold**; 0 of 6" in stays
    smooth = told("b-fig3", lambda *at: in_field(*at, worst=0.2), [3, 5], VARIANTS)
    assert "jumps away from the exact one, by more than 1 %: **does not hold**; 0 of 6" in smooth
    assert "falls back to the exact one before the end, to within 1 %: **not measured**" in smooth
    early = told("b-fig3", lambda *at: in_field(*at, worst=0.2, outside=9.0), [3, 5], VARIANTS)
    assert "jumps away from the exact one, by more than 1 %: **does not hold**; 0 of 6" in early  # above J
    every = told("b-fig3", lambda *at: in_field(*at, found=4.0), [3], VARIANTS)
    assert "At the end all ground states are held (L = 3): **holds**; 3 of 3" in every
    elsewhere = told("b-fig3", lambda *at: in_field(*at, peak=0.58), [3, 5], VARIANTS)
    assert "**is not ruled out**" in elsewhere


def drawn(counts, size=3, **changes):
    """A made-up run of figure 6: how often each of the first states was drawn."""
    states = ordered_ground_states(size)
    padded = np.concatenate([counts, np.zeros(len(states) - len(counts))])
    room = (0, 16 - len(states))
    return xr.Dataset(
        {
            "count": ("state", np.pad(padded, room, constant_values=np.nan)),
            "distance": ("state", np.pad((states > 0).sum(1).astype(float), room, constant_values=np.nan)),
            "spins": (("state", "site"), np.pad(states, (room, (0, 36 - states.shape[1]))).astype(float)),
            "num_samples": 1000.0, "num_ground_states": float(len(states)), "diverged": 0.0, **changes,
        }
    )  # fmt: skip


def sampled(size, variant, seed):
    """The paper's first seed holds all states of L = 3, its others the trivial one; all are in the trivial at L = 6."""
    if variant == DEFAULT:
        return drawn(np.full(4 if size == 3 else 16, 60.0), size)
    return drawn(np.array([260.0, 240, 250, 245]) if (size, seed) == (3, 0) else np.array([900.0]), size)


def test_ground_samples_text_follows_the_numbers():
    text = told("b-fig6", sampled, [3, 6], drawn=True)
    theirs, ours = text.split("Of *paper B*")[1].split("Of *Lehr's default*")
    assert "At L = 3 a run can hold all 4 ground states: **holds**; 1 of 3" in theirs
    assert "Not all runs at L = 3 do, some find one only: **holds**; 2 of 3" in theirs
    assert "drawn almost evenly: **holds**; in 1 of 1 [21%, 100%] of these runs" in theirs
    assert "share of the trivial one is 26.1%" in theirs
    assert "At L = 6 runs that reach the ground energy hold the trivial state alone: **holds**; 3 of 3" in theirs
    assert "hold the trivial state alone: **does not hold**; 0 of 3" in ours
    assert "* *paper B*, L = 3: seed 0: all; seed 1: 1; seed 2: 1." in ours
    assert "0.33, 0.33, 0.33" in text  # the tetrahedron, evenly weighted

    uneven = told("b-fig6", lambda size, *_: drawn(np.array([700.0, 100, 100, 100]), size), [3, 6])
    assert "drawn almost evenly: **does not hold**; in 0 of 3" in uneven
    assert "hold the trivial state alone: **does not hold**; 0 of 3" in uneven
    lost = told("b-fig6", lambda size, *_: drawn(np.array([0.0, 3.0]), size), [3, 6])
    assert "can hold all 4 ground states: **was not seen**; 0 of 3" in lost
    assert "hold the trivial state alone: **not measured**" in lost  # none reached the ground energy
    gone = told("b-fig6", lambda size, *_: drawn(np.zeros(1), size, num_samples=0.0, diverged=1.0), [3, 6], drawn=True)
    assert "**holds**" not in gone
    assert "(3 diverged)" in gone
    assert "nan" not in gone


def test_intervals_belong_to_their_own_states():
    data = FIGURES["b-fig6"].summarise(grid(sampled, [3, 6], [PAPER, DEFAULT]))
    for at, hits, trials in (((3, PAPER, 0, 1), 240, 995), ((6, DEFAULT, 2, 9), 60, 960), ((6, PAPER, 1, 0), 900, 900)):
        of = data.sel(size=at[0], variant=at[1], seed=at[2]).isel(state=at[3])
        interval = [float(of[name]) for name in ("share", "share_low", "share_high")]
        assert interval == pytest.approx(list(wilson(hits, trials)))
    assert np.isnan(data["share_low"].sel(size=3).values[..., 4:]).all()


def test_lattice_text_follows_the_numbers():
    figure = FIGURES["b-fig1"]
    spec = {"drawn": 4, "sizes": [3, 4, 5, 6, 7]}
    data = xr.concat([measure_lattice(spec, size) for size in spec["sizes"]], "size").assign_coords(size=spec["sizes"])
    text = plain(figure.findings(data, spec))
    assert text.count("**holds**") == 5
    assert "it is the only one at L = 5 as well" in text
    assert "counted: 4 at L = 3, 16 at L = 6, 1 at L = 5" in text
    wrong = data.assign(exponent=data["exponent"] + 1, num_triangles=data["num_triangles"] - 1)
    text = plain(figure.findings(wrong, spec))
    assert text.count("**does not hold**") == 4
    nothing = plain(figure.findings(data.assign(exponent=data["exponent"] * np.nan), spec))
    assert nothing.count("**not measured**") == 5


# All together


@pytest.mark.parametrize("measure", [measure_free_energy, measure_ground_energy, measure_ground_samples])
def test_divergence_is_a_measurement(measure, monkeypatch):
    def diverge(*arguments, **options):
        raise DivergenceError("non-finite")

    monkeypatch.setattr(f"{measure.__module__}.solve", diverge)
    gone = measure(SPEC, 3, DEFAULT, 0)
    monkeypatch.undo()
    sound = measure(SPEC, 3, DEFAULT, 0)
    assert float(gone["diverged"]) == 1
    assert float(sound["diverged"]) == 0
    assert {name: gone[name].shape for name in gone} == {name: sound[name].shape for name in sound}


@pytest.mark.parametrize("name", ["b-fig1", *RUNS])
def test_smoke_scale_makes_everything(name, tmp_path):
    made = make(FIGURES[name], "smoke", tmp_path)
    assert [path.name for path in made.files] == [f"{name}.{kind}" for kind in ("nc", "png", "pdf", "md")]
    assert all(path.stat().st_size > 1000 for path in made.files)
    assert made.failures == []
    for part in ("## What the paper", "![", "Does it hold?", "--scale smoke", "nothing about the claim"):
        assert part in made.text
    assert "nan" not in made.text
    assert "**" in made.text
