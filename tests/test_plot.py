"""Pictures hold the right numbers, and degenerate runs draw without a warning."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from lehr import Problem, Result, edwards_anderson
from lehr.plot import plot_annealing, plot_controls, plot_energies, plot_run, plot_state, save_figures

LATTICE = edwards_anderson((3, 5), seed=1)
FLAT = Problem.from_terms(7, {(0, 1): -1.0, (2, 5): 0.5, (3, 4, 6): 0.25}, ground_energy=-1.75, name="flat")


def make(problem, *, num_steps=9, num_samples=20, replicas=2, history=None, method="rvqa"):
    """A result with made-up numbers, different in every column."""
    rng = np.random.default_rng(0)
    names = ("temperature", "field", "energy_mean", "energy_min", "energy_std", "free_energy", "entropy")
    columns = {name: k + rng.random((replicas, num_steps)) for k, name in enumerate(names)}
    columns["energy_mean"] += 5
    columns |= {name: np.full((replicas, num_steps), value) for name, value in (history or {}).items()}
    samples = rng.choice([-1, 1], size=(replicas, num_samples, problem.num_spins))
    return Result.assemble(
        problem, method=method, seed=1, samples=samples, history={**columns, "step": 10 * np.arange(num_steps)}
    )


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def curves(axes):
    return {line.get_label(): line for line in axes.lines}


@pytest.mark.parametrize("problem", [LATTICE, FLAT], ids=["lattice", "flat"])
def test_annealing(problem):
    result = make(problem)
    n = problem.num_spins
    lines = curves(plot_annealing(result))
    history = {name: values.values for name, values in result.history.items()}
    expected = {
        "free energy $F$": history["free_energy"].mean(0) / n,
        r"energy $\langle H\rangle$": history["energy_mean"].mean(0) / n,
        "lowest state": history["energy_min"].min(0) / n,
    }
    for label, values in expected.items():
        np.testing.assert_array_equal(lines[label].get_xdata(), 10 * np.arange(9))
        np.testing.assert_allclose(lines[label].get_ydata(), values)
    assert ("ground energy" in lines) == (problem.ground_energy is not None)
    if problem.ground_energy is not None:
        np.testing.assert_allclose(lines["ground energy"].get_ydata(), -1.75 / n)


def test_controls():
    result = make(FLAT)
    axes = plot_controls(result)
    lines = curves(axes)
    np.testing.assert_allclose(lines["temperature $T$"].get_ydata(), result.history["temperature"].values.mean(0))
    np.testing.assert_allclose(lines[r"field $\Gamma$"].get_ydata(), result.history["field"].values.mean(0))
    np.testing.assert_allclose(lines["entropy per spin"].get_ydata(), result.history["entropy"].values.mean(0) / 7)
    assert axes.get_yscale() == "log"
    assert set(curves(plot_controls(make(FLAT, history={"field": 0.0})))) == {"temperature $T$", "entropy per spin"}


def test_energies():
    result = make(FLAT)
    heights = np.array([patch.get_height() for patch in plot_energies(result).patches])
    assert heights.sum() == result.energies.size
    above = (result.energies - result.best_energy) / 7
    assert heights[0] == (above < above.max() / 40).sum()


def test_state_on_its_lattice():
    """Site (x, y) is spin x * Ly + y, and x runs to the right, y upwards."""
    result = make(LATTICE)
    (image,) = plot_state(result).images
    picture = np.asarray(image.get_array())
    assert picture.shape == (5, 3)
    assert all(picture[y, x] == result.best_spins[x * 5 + y] for x in range(3) for y in range(5))
    assert image.origin == "lower"


def test_state_in_reading_order():
    result = make(FLAT)
    (image,) = plot_state(result).images
    picture = np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan)
    assert picture.shape == (3, 3)
    np.testing.assert_array_equal(picture.ravel()[:7], result.best_spins)
    assert np.isnan(picture.ravel()[7:]).all()


DEGENERATE = {
    "one step": {"num_steps": 1},
    "no step": {"num_steps": 0},
    "one sample": {"num_samples": 1, "replicas": 1},
    "one of each": {"num_steps": 1, "num_samples": 1, "replicas": 1},
    "constant": {"history": {"energy_mean": -1.0, "energy_min": -1.0, "free_energy": -1.0}},
    "zero": {"history": {"energy_mean": 0.0, "energy_min": 0.0, "free_energy": 0.0, "temperature": 0.0, "field": 0.0}},
    "frozen": {"history": {"entropy": 0.0}},
    "nothing positive": {"history": {"entropy": 0.0, "temperature": 0.0, "field": 0.0}},
    "minus zero": {"history": {"entropy": -1e-9}},
    "huge": {"history": {"energy_mean": 1e30, "energy_min": -1e30, "free_energy": 1e25}},
}


@pytest.mark.parametrize("problem", [LATTICE, FLAT], ids=["lattice", "flat"])
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_runs_draw(problem, case):
    figure = plot_run(make(problem, **DEGENERATE[case]))
    figure.canvas.draw()
    assert len(figure.axes) == 4
    assert all(axes.get_title() for axes in figure.axes)


def test_a_single_spin_draws():
    plot_run(make(Problem.from_terms(1, {(0,): 1.0}))).canvas.draw()


def test_page_is_saved_whole(tmp_path):
    (path,) = save_figures(make(LATTICE), tmp_path / "figures")
    assert path == tmp_path / "figures" / "run.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in path.parent.iterdir()] == ["run.png"]
    assert plt.get_fignums() == []
    figure = plot_run(make(FLAT))
    assert "flat: rvqa" in figure.get_suptitle()
