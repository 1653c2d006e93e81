"""Landscapes: the loss on a plane is that of the run, of enumeration, and of nothing else."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jax.flatten_util import ravel_pytree
from matplotlib import pyplot as plt

from enumeration import all_states, exact_objective, mixed_problem, with_random_params
from lehr import InputError, Linear, Problem, random_chain, solve
from lehr.anneal import informed_at
from lehr.ansatz.affine import Affine
from lehr.ansatz.base import with_params
from lehr.ansatz.rnn2d import RNN2D
from lehr.baseline.settings import BaselineSettings
from lehr.landscape import (
    MOMENTS,
    Snapshot,
    directions,
    from_folder,
    hessian_eigenvalues,
    path,
    plane,
    rescaled,
    shape,
    snapshots,
)
from lehr.landscape.picture import plot_maps, plot_path, plot_plane, plot_surfaces
from lehr.landscape.scan import Scan
from lehr.landscape.survey import survey
from lehr.schedule import Controls
from product import Product
from test_cli import assert_refused, call  # noqa: F401 - a fixture

N = 6
PROBLEM = mixed_problem(N, lattice=None)
OPTIONS = {
    "ansatz": "linear", "num_steps": 12, "num_samples": 20, "num_final_samples": 5,
    "replicas": 2, "seed": 4, "temperature": (2.0, 0.5),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small run of two recurrent networks."""
    out = tmp_path_factory.mktemp("run") / "run"
    return out, solve(PROBLEM, "vca", optimiser="adam", out=out, **OPTIONS)


@pytest.fixture(scope="module")
def taken():
    return snapshots(PROBLEM, MOMENTS, "vca", optimiser="adam", replica=1, **OPTIONS)


def frozen(ansatz, controls, problem=PROBLEM, num_samples=400):
    """A snapshot of an ansatz that no run has trained."""
    return Snapshot(problem, ansatz, controls, 0, num_samples, jax.random.key(8))


def controls(temperature=0.7, field=None):
    return Controls(*(None if value is None else jnp.asarray(value) for value in (temperature, field)))


def brute_force(snapshot):
    """The loss with the offset, from a table of ln p."""
    ansatz, _ = informed_at(snapshot.controls, snapshot.problem, snapshot.ansatz)
    with snapshot.precision:
        states = jnp.asarray(all_states(snapshot.problem.num_spins), jnp.float32)
        log_p = ansatz.log_prob(states).sum(1)
    return float(exact_objective(snapshot.problem, log_p, snapshot.controls)) + float(snapshot.problem.offset)


def test_snapshots_are_those_of_the_run(folder, taken):
    """The last one is bit for bit what the run's checkpoint holds, and the moments are where they should be."""
    end = from_folder(folder[0], replica=1)
    assert [snapshot.step for snapshot in taken] == [0, 1, 6, 12]
    np.testing.assert_array_equal(end.flat, taken[-1].flat)
    assert end.values == taken[-1].values == {"temperature": pytest.approx(0.5)}
    assert end.num_samples == 20
    assert not np.array_equal(end.flat, from_folder(folder[0]).flat)
    (again,) = snapshots(PROBLEM, [6], "vca", optimiser="adam", replica=1, **OPTIONS)
    np.testing.assert_array_equal(again.flat, taken[2].flat)
    assert end.draw(7).shape == (7, N)


def test_the_centre_is_the_loss_of_the_run(folder, taken):
    """With the run's own random numbers the centre is what the run recorded at that step."""
    history = folder[1].history["free_energy"].isel(replica=1)
    for snapshot in taken[:3]:
        found = plane(snapshot, grid=3, common=True)
        recorded = float(history.sel(step=snapshot.step))
        assert float(found["centre"]) == pytest.approx(recorded, rel=1e-6)
        assert float(found["loss"].sel(alpha=0, beta=0)) == pytest.approx(recorded, rel=1e-6)
        assert float(abs(found["loss"] - recorded).max()) > 1e-2


@pytest.mark.parametrize("field", [None, 0.8])
def test_exact_losses(field):
    """Against sums over all states that share none of the library's formulas, in a temperature and in a field; of an
    ansatz that is shown the problem, and of one that is not."""
    for temperature in (0.7, 0.0) if field is None else (None,):
        at = controls(temperature, field)
        ansatz = with_random_params(Linear(PROBLEM) if field is None else Product(N))
        snapshot = frozen(ansatz, at)
        found = plane(snapshot, grid=2, extent=0.1, exact=True)
        assert float(found["centre"]) == pytest.approx(brute_force(snapshot), rel=1e-5)
        assert float(found["centre_error"]) == 0
        # the corner (-, -) of the plane, by hand
        delta, eta = directions(jax.random.split(jax.random.key(0))[0], ansatz.params)
        corner = jax.tree.map(lambda theta, d, e: theta - 0.1 * d - 0.1 * e, ansatz.params, delta, eta)
        moved = frozen(with_params(ansatz, corner), at)
        assert float(found["loss"][0, 0]) == pytest.approx(brute_force(moved), rel=1e-5)


@pytest.mark.parametrize("field", [None, 0.8])
def test_samples_agree_with_enumeration(field):
    """All points of a plane together: z-scores have mean 0 and variance 1 within five standard errors."""
    ansatz = with_random_params(Product(N), scale=0.5)
    snapshot = frozen(ansatz, controls(0.7, field), num_samples=2000)
    sampled, exact = (plane(snapshot, grid=12, extent=0.4, seed=2, exact=which) for which in (False, True))
    z = ((sampled["loss"] - exact["loss"]) / sampled["error"]).values.ravel()
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 5 * np.sqrt(2 / z.size)


def test_states_that_p_has_given_up_weigh_nothing():
    """At T = 0 and far from any state: no 0 times infinity."""
    ansatz = with_params(Product(N), 200 * jnp.ones(N))
    found = plane(frozen(ansatz, controls(0.0)), grid=2, exact=True)
    assert float(found["centre"]) == pytest.approx(PROBLEM.energy(np.ones(N)))
    assert np.isfinite(found["loss"]).all()


def test_random_numbers():
    """Common ones make points with the same parameters equal; fresh ones do not, but are the same in every call."""
    ansatz = with_random_params(Product(N))
    nothing = jax.tree.map(jnp.zeros_like, ansatz.params)
    options = {"along": (nothing, nothing), "grid": 3}
    snapshot = frozen(ansatz, controls(), num_samples=10)
    common = plane(snapshot, common=True, **options)
    assert len(np.unique(common["loss"])) == 1
    fresh = plane(snapshot, **options)
    assert len(np.unique(fresh["loss"])) == 9
    xr.testing.assert_equal(fresh, plane(snapshot, **options))
    assert not (fresh["loss"] == plane(snapshot, seed=1, **options)["loss"]).any()


def test_chunks_change_nothing(monkeypatch):
    """Whether they fill a row or not, and whether networks are side by side or one after the other."""
    scan = Scan(frozen(with_random_params(Product(N)), controls(), num_samples=10))
    beta = np.linspace(-1, 1, 7)
    whole = scan.row(0.3, beta, 2)
    found = []
    for scan.chunk in (1, 3):
        found.append(scan.row(0.3, beta, 2))
    monkeypatch.setattr(Product, "side_by_side", False)
    scan.chunk = 4
    found.append(scan.row(0.3, beta, 2))
    for parts in found:
        for one, other in zip(parts, whole, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-6)


def test_directions_have_the_norms_they_say():
    params = {
        "cell": Affine(jnp.array([0.0, 2.0]), jnp.array([[3.0, 1.0], [4.0, 2.0]])),
        "plain": jnp.array([[1.0, 2.0], [2.0, 0.0]]),
    }
    for kind, norm in (("norm", np.sqrt(25 + 9 + 9)), ("filter", np.sqrt(25 + 9 + 9))):
        for drawn in directions(jax.random.key(1), params, kind):
            assert np.linalg.norm(ravel_pytree(drawn)[0]) == pytest.approx(norm, rel=1e-6)
    delta, eta = directions(jax.random.key(1), params, "filter")
    units = np.sqrt((delta["cell"].kernel ** 2).sum(0) + delta["cell"].bias ** 2)
    np.testing.assert_allclose(units, [5, 3], rtol=1e-6)
    assert float(jnp.linalg.norm(delta["plain"])) == pytest.approx(3, rel=1e-6)
    overlap = ravel_pytree(delta)[0] @ ravel_pytree(eta)[0]
    assert abs(float(overlap)) < 40
    # many numbers: mean 0 and variance 1 within five standard errors
    many, _ = directions(jax.random.key(2), jnp.zeros(4000))
    assert abs(float(many.mean())) < 5 / np.sqrt(4000)
    assert abs(float(many.var()) - 1) < 5 * np.sqrt(2 / 4000)
    # a unit without weights stays without, and one without a bias has none
    still, _ = directions(jax.random.key(1), Affine(None, jnp.array([[0.0, 1.0]])), "filter")
    assert still.bias is None
    np.testing.assert_allclose(jnp.abs(still.kernel), [[0.0, 1.0]], rtol=1e-6)


def test_curvature_of_a_recurrent_network():
    """Lanczos against differences of the gradient of a loss that is written out; the network has a backward pass of its
    own."""
    problem, at = mixed_problem(4), controls(0.5)
    ansatz = with_random_params(RNN2D((2, 2), hidden=2), scale=0.3)
    found = hessian_eigenvalues(frozen(ansatz, at, problem), number=3, tolerance=1e-9)
    with jax.enable_x64(True):
        row, restored = ravel_pytree(jax.tree.map(lambda leaf: leaf.astype(np.float64), ansatz.params))
        states = jnp.asarray(all_states(4))

        @jax.jit
        def gradient(row):
            def loss(row):
                log_p = with_params(ansatz, restored(row)).log_prob(states).sum(1)
                return exact_objective(problem, log_p, at)

            return jax.grad(loss)(row)

        slope = np.asarray(gradient(row))
        step = 1e-5 * np.eye(row.size)
        hessian = np.stack([np.asarray(gradient(row + d) - gradient(row - d)) for d in step]) / 2e-5
    eigenvalues = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    np.testing.assert_allclose(found.largest, eigenvalues[-3:], rtol=1e-5)
    np.testing.assert_allclose(found.smallest, eigenvalues[:3], atol=1e-5)
    assert found.gradient_norm == pytest.approx(np.linalg.norm(slope), rel=1e-6)
    assert eigenvalues[0] < 0 < eigenvalues[-1]


def test_curvature_in_a_field():
    """Against `jax.hessian`."""
    at = controls(0.3, 0.6)
    ansatz = with_random_params(Product(N))
    found = hessian_eigenvalues(frozen(ansatz, at), number=2, tolerance=1e-9)
    with jax.enable_x64(True):
        states = jnp.asarray(all_states(N))

        def loss(row):
            return exact_objective(PROBLEM, with_params(ansatz, row).log_prob(states).sum(1), at)

        hessian = np.asarray(jax.hessian(loss)(ansatz.params.astype(np.float64)))
    eigenvalues = np.linalg.eigvalsh(hessian)
    np.testing.assert_allclose(found.largest, eigenvalues[-2:], rtol=1e-6)
    np.testing.assert_allclose(found.smallest, eigenvalues[:2], rtol=1e-6)


def test_curvature_at_the_boltzmann_distribution():
    """Independent spins in fields: at p = exp(-H / T) / Z the Hessian is T times the Fisher information."""
    fields = np.array([0.3, -0.5, 0.9, 0.1, -0.7])
    problem = Problem.from_terms(5, {(i,): value for i, value in enumerate(fields)})
    temperature = 0.8
    ansatz = with_params(Product(5), jnp.asarray(-2 * fields / temperature))
    found = hessian_eigenvalues(frozen(ansatz, controls(temperature), problem), number=2, tolerance=1e-9)
    up = 1 / (1 + np.exp(2 * fields / temperature))
    fisher = np.sort(temperature * up * (1 - up))
    np.testing.assert_allclose(found.largest, fisher[-2:], rtol=1e-6)
    np.testing.assert_allclose(found.smallest, fisher[:2], rtol=1e-6)
    assert found.gradient_norm < 1e-6


def test_the_path_is_projected_on_its_components(taken):
    found = path(taken, grid=5, margin=0.0, exact=True)
    rows = np.stack([snapshot.flat for snapshot in taken]).astype(float)
    away = rows - rows[-1]
    np.testing.assert_allclose(found["steps"], [0, 1, 6, 12])
    assert (found["x"][-1], found["y"][-1]) == (0, 0)
    lengths = (away**2).sum()
    shares = [float((found[name] ** 2).sum() / lengths) for name in ("x", "y")]
    np.testing.assert_allclose(found["explained"], shares, rtol=1e-6)
    assert 0.5 < sum(shares) <= 1 + 1e-6
    assert shares[0] >= shares[1]
    # the plane is the plane of the path: its first point is where the first snapshot's projection lies
    x, y = (float(found[name][0]) for name in ("x", "y"))
    beyond = float(((away[0] ** 2).sum() - x**2 - y**2) / (away[0] ** 2).sum())
    assert -1e-6 < beyond < 0.5
    ends = [float(found[name].min()) for name in ("alpha", "beta")] + [float(found[n].max()) for n in ("alpha", "beta")]
    path_ends = [float(found[name].min()) for name in ("x", "y")] + [float(found[n].max()) for n in ("x", "y")]
    np.testing.assert_allclose(ends, path_ends)
    for wrong in (taken[:2], [taken[0]] * 3):
        with pytest.raises(InputError, match="`snapshots` must"):
            path(wrong)


def made_up(loss, error=0.0, centre=None):
    grid = loss.shape[0]
    x = np.linspace(-1, 1, grid)
    middle = loss[grid // 2, grid // 2] if centre is None else centre
    return xr.Dataset(
        {
            "loss": (("alpha", "beta"), loss),
            "error": (("alpha", "beta"), np.broadcast_to(error, loss.shape)),
            "centre": middle, "centre_error": float(np.max(error)),
        },
        coords={"alpha": x, "beta": x},
    )  # fmt: skip


def test_shapes_of_planes_with_known_answers():
    x = np.linspace(-1, 1, 81)
    radius = np.hypot(x[:, None], x[None])
    crater = shape(made_up(np.where(radius < 0.405, 0.0, 1.0)))
    assert float(crater["basin"]) == pytest.approx(0.405, abs=0.02)
    assert float(crater["low_area"]) == pytest.approx(np.pi * 0.405**2 / 4, abs=0.01)
    assert float(crater["below"]) == 0
    assert np.isnan(crater["noise_share"])
    valley = shape(made_up(np.where(radius < 1.2, 0.0, 1.0)))
    assert float(valley["basin"]) == pytest.approx(1, abs=0.02)
    hill = shape(made_up(-(radius**2)))
    assert (float(hill["basin"]), float(hill["below"])) == (0, pytest.approx(1, abs=1e-2))
    # pure noise on a slope: all ruggedness is noise, the variance is not, within five standard errors
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.normal(size=(81, 81))
    noisy = shape(made_up(x[:, None] + noise, error=0.01, centre=0.0))
    assert float(noisy["noise_share"]) == pytest.approx(1, abs=0.1)
    assert float(noisy["structure"]) < 0.35 * float(noisy["ruggedness"])
    assert float(noisy["noise_variance_share"]) == pytest.approx(1e-4 / np.var(x), rel=0.05)
    assert float(noisy["below"]) < 0.5
    barriers = shape(made_up(np.sin(40 * x)[:, None] + 0 * x[None] + noise, error=0.01))
    assert float(barriers["noise_share"]) < 0.05
    overflown = shape(made_up(np.where(x[:, None] > 0.505, np.nan, 0.0 * radius)))
    assert (float(overflown["unknown"]), float(overflown["range"])) == (pytest.approx(20 / 81), 0)
    assert 0.5 < float(overflown["basin"]) < 1
    assert np.isnan(shape(made_up(np.full((3, 3), np.nan)))["basin"])
    assert rescaled(np.ones((2, 2))).tolist() == [[0, 0], [0, 0]]


def test_other_controls(taken):
    hot = taken[-1].at(temperature=3.0)
    assert hot.values == {"temperature": 3.0}
    hotter, colder = (float(plane(s, grid=2, exact=True)["centre"]) for s in (hot, taken[-1]))
    assert hotter < colder  # by the entropy
    with pytest.raises(InputError, match="`temperature` must be finite and at least 0"):
        hot.at(temperature=-1.0)
    with pytest.raises(InputError, match="`field` must be left out"):
        hot.at(field=1.0)


def test_bad_arguments(taken, folder):
    for options, message in (
        ({"grid": 1}, "`grid` must be an integer of at least 2"),
        ({"extent": 0.0}, "`extent` must be positive"),
        ({"kind": "long"}, "`kind` must be one of gaussian, norm, filter"),
        ({"num_samples": 1}, "`samples` must be an integer of at least 2"),
        ({"alpha": np.zeros(2)}, "must be given together"),
    ):
        with pytest.raises(InputError, match=message):
            plane(taken[0], **options)
    with pytest.raises(InputError, match="`at` must hold steps from 0 to 12 or names of start"):
        snapshots(PROBLEM, [13], **OPTIONS)
    with pytest.raises(InputError, match="`at` must hold"):
        snapshots(PROBLEM, ["late"], **OPTIONS)
    with pytest.raises(InputError, match="must train a network, but sa trains none"):
        snapshots(PROBLEM, method="sa")
    with pytest.raises(InputError, match="`replica` must be from 0 to 1, but it is 2"):
        from_folder(folder[0], replica=2)
    with pytest.raises(InputError, match="`instance` must be from 0 to 0"):
        from_folder(folder[0], instance=1)
    with pytest.raises(InputError, match="`number` must be an integer from 1"):
        hessian_eigenvalues(taken[0], number=10_000)
    large = frozen(Product(17), controls(), random_chain(17, "uniform", seed=1))
    for measure in (lambda: plane(large, exact=True), lambda: hessian_eigenvalues(large)):
        with pytest.raises(InputError, match="at most 16 spins"):
            measure()


def test_pictures_show_the_numbers(taken):
    found = plane(taken[-1], grid=5, exact=True)
    maps = plot_maps({"one": [("a", found), ("b", found)], "two": [("c", found)]}, "title")
    maps.canvas.draw()
    image = maps.axes[0].collections[0].get_array()
    np.testing.assert_allclose(np.asarray(image), rescaled(found["loss"].values.T))
    single = plot_plane(found, N)
    np.testing.assert_allclose(single.axes[0].collections[0].get_array(), found["loss"].values.T / N)
    surfaces = plot_surfaces({"one": [("a", found)]}, N)
    axes = plot_path(path(taken, grid=3, exact=True), N)
    for figure in (single, surfaces, axes.figure):
        figure.canvas.draw()
    plt.close("all")


def test_a_broken_survey_goes_on(taken, tmp_path):
    """Rows that are there are not measured again, and the result is that of an unbroken one."""
    whole = survey(taken[-1], tmp_path / "whole", grid=4)
    steps = []

    def interrupt(step):
        steps.append(step.number)
        if len(steps) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey(taken[-1], tmp_path / "broken", grid=4, report=interrupt)
    again = survey(taken[-1], tmp_path / "broken", grid=4, report=interrupt)
    assert steps == [1, 2, 3, 4]
    xr.testing.assert_equal(again.data, whole.data)
    assert again.text == whole.text
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == [
        f"landscape.{kind}" for kind in ("nc", "pdf", "png")
    ]


def test_the_command(call, folder, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    command = ("landscape", folder[0], "--grid", 4, "--replica", 1, "--temperature", 1.5, "--directions", "norm")
    code, stdout, stderr = call(*command, "--out", out)
    assert code == 0
    assert "the free energy after 12 steps, T = 1.5" in stdout
    assert "4x4 points to 1 of norm directions, 20 samples at each point" in stdout
    assert stderr.splitlines() == [f"written: {out / 'landscape'}.{kind}" for kind in ("nc", "png", "pdf")]
    with xr.open_dataset(out / "landscape.nc", engine="h5netcdf") as data:
        expected = plane(from_folder(folder[0], replica=1).at(temperature=1.5), grid=4, kind="norm")
        np.testing.assert_array_equal(data["loss"], expected["loss"])
        assert float(data["temperature"]) == 1.5
    code, stdout, _ = call(*command, "--out", out, "--json")
    told = json.loads(stdout)
    assert code == 0
    assert (told["loss"], told["step"], told["temperature"], told["field"]) == ("free energy", 12, 1.5, None)
    assert (told["grid"], told["extent"], told["directions"], told["num_samples"]) == (4, 1.0, "norm", 20)
    values = expected["loss"].values
    assert [told[name] for name in ("lowest", "highest", "centre")] == [values.min(), values.max(), expected["centre"]]
    known = {name: float(value) for name, value in shape(expected).items()}
    assert {name: told[name] for name in known} == {n: None if np.isnan(v) else v for n, v in known.items()}
    code, stdout, _ = call("landscape", folder[0], "--grid", 3, "--exact")
    assert code == 0
    assert "all states summed" in stdout
    code, stdout, _ = call("landscape", folder[0], "--grid", 3, "--exact", "--json")
    told = json.loads(stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (code, told["exact"], told["num_samples"], told["plateau"], told["centre_error"]) == (0, True, None, None, 0)
    assert (folder[0] / "figures" / "landscape.png").exists()


def test_bad_calls_are_one_line(call, folder, tmp_path):  # noqa: F811
    assert_refused(call("landscape", tmp_path / "nothing"), "run.json` must be readable JSON")
    assert_refused(call("landscape", folder[0], "--grid", 1), "`grid` must be an integer of at least 2")
    assert_refused(call("landscape", folder[0], "--field", 1), "`field` must be left out")
    assert_refused(call("landscape", folder[0], "--directions", "x"), "`kind` must be one of gaussian, norm, filter")
    assert_refused(call("landscape", folder[0], "--samples", 1), "`samples` must be")
    shutil.copytree(folder[0], tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "checkpoint")
    assert_refused(call("landscape", tmp_path / "bare"), "must hold a run with a checkpoint")
    run = json.loads((folder[0] / "run.json").read_text())
    walked = {"settings": BaselineSettings(method="sa").to_json()}
    for changed, message in (
        ({"version": "0.0"}, "must hold a run of Lehr"),
        ({"spec": {**run["spec"], **walked}}, "must train a network, but sa trains none"),
        ({"spec": {**run["spec"], "custom": ["ansatz"]}}, "`ansatz` must be given again"),
    ):
        (tmp_path / "bare" / "run.json").write_text(json.dumps({**run, **changed}))
        assert_refused(call("landscape", tmp_path / "bare"), message)
