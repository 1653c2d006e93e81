"""Reports: the numbers of the run on a page that needs nothing else, and that no name of a stranger can change."""

import html
import itertools
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import lehr
from enumeration import all_states
from lehr import InputError, Problem, Result, edwards_anderson, newman_moore, random_chain, solve
from lehr._netcdf import write_dataset
from lehr.cli import app
from lehr.report import report
from lehr.report.charts import Series, chart, histogram
from lehr.report.scale import Scale
from lehr.report.state import cut_of, picture
from lehr.sweep import sweep

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Elements that have no end.
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """The text of a page, its elements counted, and whether each that opens is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.counts, self.words = [], {}, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def made_up(problem, *, replicas=2, samples=12, steps=9, temperature=0.1, **changes):
    """A result with made-up numbers, different in every column; it cools from T = 2."""
    rng = np.random.default_rng(3)
    names = ("energy_mean", "energy_min", "free_energy", "entropy", "effective_sample_size")
    history = {name: k + rng.random((replicas, steps)) for k, name in enumerate(names)}
    history["temperature"] = np.tile(np.geomspace(2.0, temperature, steps), (replicas, 1))
    history["field"] = np.zeros((replicas, steps))
    spins = rng.choice([-1, 1], size=(replicas, samples, problem.num_spins))
    options = {"method": "vca", "seed": 5, "temperature": temperature, "log_probs": -rng.random((replicas, samples)),
               "ansatz": "made up", "spec": {"settings": {"seed": 5, "temperature": None}, "software": {"jax": "9"}},
               "seconds": {"compile": 1.5, "train": 2.25}}  # fmt: skip
    history["step"] = 10 * np.arange(steps)
    return Result.assemble(problem, samples=spins, history=history, **{**options, **changes})


def pages(result, folder):
    """The report of a result, as text and parsed."""
    result.save(folder)
    text = report(folder).read_text(encoding="utf-8")
    return text, Page(text)


def points(text, title):
    """What a reader can point at in one chart."""
    figure = re.search(rf"<figcaption>{re.escape(html.escape(title))}</figcaption>.*?</figure>", text, re.DOTALL)
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', figure.group(), re.DOTALL).group(1))


LATTICE = edwards_anderson((3, 5), seed=1)


def test_a_run_on_one_page(tmp_path):
    result = made_up(LATTICE)
    text, page = pages(result, tmp_path)
    assert page.counts["svg"] == 9
    assert "canvas" not in page.counts
    for words in (
        LATTICE.name, f"{result.best_energy:.12g}", f"{result.mean_energy:.12g}", "method vca, seed 5", "made up",
        *result.warnings, *(f"{energy:.12g}" for energy in result.replica_best_energies), "from the problem",
    ):  # fmt: skip
        assert words in page.text
    assert result.warnings
    for network in ("http:", "https:", "src=", "@import", "url("):
        assert network not in text
    energies = points(text, "Energy")
    mean = result.history["energy_mean"].mean("replica").values / 15
    assert energies[3][2] == f"⟨H⟩: step 30, energy per spin {mean[3]:.6g}"
    assert sum(int(words.split()[0]) for *_, words in points(text, "Energies")) == 24
    assert len(points(text, "Principal components")) == result.num_distinct


def test_the_exact_free_energy_stands_beside_it(tmp_path):
    text, page = pages(made_up(LATTICE), tmp_path)
    temperatures = np.geomspace(2.0, 0.1, 9)
    exact = lehr.exact(LATTICE, temperatures=temperatures.tolist()).free_energies
    told = [words for *_, words in points(text, "Free energy") if words.startswith("exact F")]
    assert told == [
        f"exact F: step {10 * k}, F per spin {exact[temperature][0] / 15:.6g}"
        for k, temperature in enumerate(temperatures.tolist())
    ]
    assert exact[2.0][1] in page.text


def test_the_ground_energy_comes_with_the_exact_free_energy(tmp_path):
    result, reference = made_up(LATTICE), lehr.exact(LATTICE)
    text, page = pages(result, tmp_path)
    assert f"{reference.ground_energy:.12g}, not reached; by {reference.oracle}" in page.text
    residual = (result.mean_energy - reference.ground_energy) / 15
    assert f"{residual:.3g}" in page.text
    assert any(words.startswith("ground energy: ") for *_, words in points(text, "Energy"))
    stated = made_up(reference.solved_problem())
    _, page = pages(stated, tmp_path / "stated")
    assert f"{reference.ground_energy:.12g}, not reached" in page.text
    assert "; by " not in page.text


def test_the_hot_end_is_exact_where_the_cold_one_is_unknown(tmp_path, monkeypatch):
    def exact(problem, temperatures):
        if min(temperatures) < 0.5:
            raise InputError("too cold")
        return lehr.exact(problem, temperatures=temperatures)

    monkeypatch.setattr("lehr.report.run.exact", exact)
    text, _ = pages(made_up(LATTICE), tmp_path)
    told = [words for *_, words in points(text, "Free energy") if words.startswith("exact F")]
    assert len(told) == 4


def test_no_curve_where_nothing_is_exact(tmp_path):
    rng = np.random.default_rng(1)
    pairs = {(i, j): rng.normal() for i in range(30) for j in range(i)}
    text, page = pages(made_up(Problem.from_terms(30, pairs)), tmp_path)
    assert "exact F" not in text
    assert "unknown" in page.text


def test_exact_energies_in_a_field(tmp_path):
    chain = random_chain(6, seed=2)
    result = made_up(chain)
    field = result.history["field"] + np.linspace(2.0, 0.0, 9)
    result = replace(result, history=result.history.assign(temperature=0 * field, field=field))
    quantum = lehr.exact(chain, fields=[2.0]).field_energies[2.0][0]
    text, _ = pages(result, tmp_path)
    told = [words for *_, words in points(text, "Energy in the field") if words.startswith("exact")]
    assert told[0] == f"exact energy: step 0, energy per spin {quantum / 6:.6g}"
    assert len(told) == 8


@pytest.mark.parametrize(
    "result",
    [
        made_up(newman_moore(3), replicas=1, samples=1),
        made_up(Problem.from_terms(1, {(0,): 1.0}), samples=1, steps=1),
        made_up(Problem.from_terms(3, {}), replicas=1),
        made_up(edwards_anderson((2, 3, 2), seed=1)),
        made_up(random_chain(5, seed=1), log_probs=None),
        Result.assemble(random_chain(5, seed=1), method="sa", seed=0, samples=np.ones((1, 1, 5), int)),
    ],
    ids=lambda result: f"{result.problem.name} {result.samples.shape}",
)
def test_small_and_odd_runs(tmp_path, result):
    _, page = pages(result, tmp_path)
    assert f"{result.best_energy:.12g}" in page.text


def test_names_of_strangers_are_text(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>&\x07"
    problem = Problem.from_terms(3, {(0, 1): 1.0, (1, 2): 1.0}, offset=-2.0, name=evil, labels=[evil, "b", "c"])
    text, page = pages(made_up(problem, ansatz=evil), tmp_path)
    assert "img" not in page.counts
    assert "<img" not in text
    assert html.escape(evil) in text


def test_no_words_leave_their_place():
    evil = "</script></figcaption><img src=x>"
    drawn = chart(evil, [Series(evil, [1.0], [2.0]), Series("b", [1.0], [2.0])], x_label=evil, y_label=evil, note=evil)
    assert Page(drawn).counts.get("img") is None
    assert points(drawn, evil)[0][2] == f"{evil}: {evil} 1, {evil} 2"


def test_the_cut_is_the_weight_between_the_sides(tmp_path):
    (tmp_path / "g.txt").write_text("4 4\n1 2 2\n2 3 1.5\n3 4 1\n1 3 -4\n")
    problem = lehr.load_problem(tmp_path / "g.txt", "maxcut")
    weights = {(0, 1): 2, (1, 2): 1.5, (2, 3): 1, (0, 2): -4}
    for spins in all_states(4):
        cut = sum(weight for (i, j), weight in weights.items() if spins[i] != spins[j])
        assert cut_of(Result.assemble(problem, method="sa", seed=0, samples=spins[None])) == pytest.approx(cut)
    assert cut_of(made_up(LATTICE)) is None
    assert cut_of(made_up(newman_moore(3))) is None
    best = np.array([[1, -1, 1, -1]])
    _, page = pages(Result.assemble(problem, method="sa", seed=0, samples=best), tmp_path / "run")
    assert "cut 4.5" in page.text
    assert "2 nodes on the yellow side, 2 on the dark one" in page.text


@pytest.mark.parametrize("boundary", ["open", "periodic"])
def test_the_state_and_its_broken_bonds(boundary):
    problem = edwards_anderson((3, 4), "gaussian", boundary=boundary, seed=7)
    spins = np.random.default_rng(2).choice([-1, 1], size=12)
    (figure,) = picture(Result.assemble(problem, method="sa", seed=0, samples=spins[None]))
    cells = {kind: re.search(rf'class="{kind}" d="([^"]*)"', figure).group(1) for kind in ("up", "down", "broken")}
    for kind, spin in (("up", 1), ("down", -1)):
        found = {tuple(map(int, place)) for place in re.findall(r"M(\d+) (\d+)h", cells[kind])}
        assert found == {(n // 4, 3 - n % 4) for n in range(12) if spins[n] == spin}
    lines = set()
    (terms,) = problem.terms
    for (i, j), coupling in zip(terms.indices.tolist(), terms.coefficients.tolist(), strict=True):
        if coupling * spins[i] * spins[j] > 0:
            (x0, y0), (x1, y1) = divmod(i, 4), divmod(j, 4)
            if y0 == y1:  # a vertical line to the right of the left cell, and around the edge on both sides
                places = [max(x0, x1)] if abs(x0 - x1) == 1 else [0, 3]
                lines |= {(x, 4 - y0, x, 4 - y0 - 1) for x in places}
            else:
                places = [max(y0, y1)] if abs(y0 - y1) == 1 else [0, 4]
                lines |= {(x0, 4 - y, x0 + 1, 4 - y) for y in places}
    found = re.findall(r"M(-?\d+) (-?\d+)L(-?\d+) (-?\d+)", cells["broken"])
    assert {tuple(map(int, line)) for line in found} == lines
    assert "terms are not satisfied" in figure


def test_scales_and_points():
    log = Scale.around([0.0, 1e-3, 1e2, np.nan, np.inf], True, 0.0, 100.0)
    assert log.place(1e-3) < 10 < 90 < log.place(1e2)
    assert log.place(10**-0.5) == pytest.approx(50.0)
    assert [name for _, name in log.ticks()] == ["10⁻³", "0.01", "0.1", "1", "10", "100"]
    assert len(Scale.around([0.033, 0.033], True, 0.0, 1.0).ticks()) > 1
    flat = Scale.around([3.0, 3.0], False, 0.0, 1.0)
    assert flat.place(3.0) == pytest.approx(0.5)
    assert 1 < len(flat.ticks()) < 9
    for low, high in ((-1e-9, 1e-9), (1e8, 1e8 + 1), (-70.7, -3.2), (0, 1e-300)):
        assert 1 < len(Scale.around([low, high], False, 0.0, 1.0).ticks()) < 10
    text = chart("A", [Series("b", [1, 2, 3], [0.0, -1.0, 4.0])], x_label="x", y_label="y", log_y=True)
    ((x, y, words),) = points(text, "A")
    assert words == "b: x 3, y 4"
    assert 0 < x < 440
    assert 0 < y < 280
    many = points(chart("A", [Series("b", np.arange(5000), np.arange(5000))], x_label="x", y_label="y"), "A")
    assert (len(many), many[0][2], many[-1][2]) == (300, "b: x 0, y 0", "b: x 4999, y 4999")
    counted = points(histogram("A", [0.0, 0.0, 0.3, 1.0], (0.0, 1.0), x_label="x"), "A")
    assert [words.split()[0] for *_, words in counted] == ["2", "1", "1"]


def test_a_comparison(tmp_path):
    found = lehr.compare(LATTICE, ["sa", "pt"], seconds=0.02, out=tmp_path)
    text = report(tmp_path).read_text(encoding="utf-8")
    page = Page(text)
    assert found.verdict in page.text
    assert len(re.findall(r"<tr>", text)) == len(found.rungs) + 1
    content = json.loads((tmp_path / "comparison.json").read_text())
    (tmp_path / "comparison.json").write_text(json.dumps({**content, "summary": None}))
    with pytest.raises(InputError, match="did not end"):
        report(tmp_path)
    summary = content["summary"]
    refused = {}
    for name, value in itertools.product(summary, (3, [1], {"a": 2}, [["x"]], None)):
        (tmp_path / "comparison.json").write_text(json.dumps({**content, "summary": {**summary, name: value}}))
        try:
            report(tmp_path)  # which may be a page, if of little sense, but nothing else is raised
        except InputError as error:
            refused.setdefault(name, []).append(str(error))
    assert all(len(refused[name]) >= 4 for name in ("verdict", "oracle", "problem"))
    for message in itertools.chain(*refused.values()):
        assert re.fullmatch("File `.*` must be a whole comparison, but: .*", message)


def test_a_sweep(tmp_path):
    spec = {"problem": [{"family": "chain", "size": 6, "seed": [1, 2]}],
            "grid": {"method": ["sa", "pt"], "num_steps": [2, 5], "replicas": 4}}  # fmt: skip
    data = sweep(spec, tmp_path).data
    text = report(tmp_path).read_text(encoding="utf-8")
    told = points(text, "Residual energy against steps")
    values = data["residual_typical"].sel(ensemble="chain 6 uniform01 open").values
    assert told[1][2] == f"sa: steps 5, typical residual per spin {values[1]:.6g}"
    page = Page(text)
    for words in ("chain 6 uniform01 open seed 2", f"{float(data['target_energy'][1]):.12g}", "2 with an exact ground"):
        assert words in page.text
    write_dataset(data.drop_vars("ensemble_of"), tmp_path / "sweep.nc")
    with pytest.raises(InputError, match="must be one that `lehr sweep` wrote"):
        report(tmp_path)


def test_folders_without_anything_whole(tmp_path):
    with pytest.raises(InputError, match=r"must hold run\.json, comparison\.json, sweep\.nc"):
        report(tmp_path)
    solve([random_chain(4, seed=1), random_chain(4, seed=2)], "sa", num_steps=2, replicas=2, out=tmp_path / "two")
    with pytest.raises(InputError, match="holds several"):
        report(tmp_path / "two")
    assert report(tmp_path / "two" / "instance-0001").exists()
    (tmp_path / "two" / "instance-0001" / "figures").mkdir()
    write_dataset(xr.Dataset({"loss": ("alpha", np.zeros(3))}), tmp_path / "two/instance-0001/figures/landscape.nc")
    with pytest.raises(InputError, match="must be one that `lehr landscape` wrote"):
        report(tmp_path / "two" / "instance-0001")


def with_landscape(folder):
    """A run folder with a plane around its network."""
    made_up(LATTICE).save(folder)
    axis = np.linspace(-0.5, 0.5, 5)
    numbers = {"centre": -1.0, "centre_error": 0.01, "below": 0.25, "basin": 0.3, "ruggedness": 0.1, "step": 40}
    loss = axis[:, None] ** 2 + 2 * axis
    loss[0, 0] = np.nan
    (folder / "figures").mkdir()
    plane = xr.Dataset({"loss": (("alpha", "beta"), loss), **numbers}, {"alpha": axis, "beta": axis})
    write_dataset(plane, folder / "figures" / "landscape.nc")
    return folder


def test_the_command_line_and_a_landscape(tmp_path):
    done = CliRunner().invoke(app, ["report", str(with_landscape(tmp_path / "run"))])
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"written: {tmp_path / 'run' / 'report.html'}\n"
    page = Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert page.counts["canvas"] == 1
    assert "25.0% of the points" in page.text


# Points at every chart and turns the surface, then writes down what the page says.
_READER = """
window.addEventListener("load", () => {
  const told = { charts: [], surfaces: [], errors: window.errors };
  for (const figure of document.querySelectorAll("figure.chart")) {
    const box = figure.querySelector("svg").getBoundingClientRect(), mark = figure.querySelector(".mark"), places = [];
    const points = JSON.parse(figure.querySelector("script").textContent);
    const [x, y] = points[Math.floor(points.length / 2)];
    const at = { clientX: box.left + x * box.width / 440, clientY: box.top + y * box.height / 280, bubbles: true };
    figure.querySelector("svg").dispatchEvent(new PointerEvent("pointermove", at));
    const met = mark.getAttribute("cx") == x && mark.getAttribute("cy") == y;
    for (const key of ["", "ArrowLeft", "ArrowRight", "ArrowRight"]) {
      figure.dispatchEvent(new KeyboardEvent("keydown", { key }));
      places.push(`${mark.getAttribute("cx")} ${mark.getAttribute("cy")}`);
    }
    told.charts.push([box.width, figure.querySelector("output").textContent, places, met]);
  }
  for (const figure of document.querySelectorAll("figure.surface")) {
    const canvas = figure.querySelector("canvas"), before = canvas.toDataURL();
    figure.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp" }));
    told.surfaces.push([before !== canvas.toDataURL(), figure.querySelector("output").textContent]);
  }
  document.body.innerHTML = "";
  const pre = document.createElement("pre");
  pre.textContent = JSON.stringify(told);
  document.body.append(pre);
});
"""


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium to open the page in")
def test_a_browser_shows_it_and_answers(tmp_path):
    assert BROWSER is not None
    page = report(with_landscape(tmp_path / "run"))
    text = page.read_text(encoding="utf-8")
    watch = "<script>window.errors = []; window.onerror = (message) => { window.errors.push(message); };</script>"
    text = text.replace("<head>", f"<head>{watch}").replace("</body>", f"<script>{_READER}</script></body>")
    page.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    told = json.loads(html.unescape(re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL).group(1)))
    assert told["errors"] == []
    assert len(told["charts"]) == 8
    for width, words, places, met in told["charts"]:
        assert width > 100
        assert re.search(r"\d", words)
        assert len(set(places)) > 1
        assert met
    ((turned, words),) = told["surfaces"]
    assert turned
    assert "directions from -0.5 to 0.5; turned by -52°, tilted by 26°" in words  # from 32°
