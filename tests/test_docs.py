"""What the documentation shows can be typed in and works, and its generated parts are those of today's code."""

import doctest
import importlib
import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import lehr
from lehr.baseline.settings import BaselineSettings
from lehr.cli import app
from lehr.reproduce.verdict import VERDICTS, Statement, judged

ROOT = Path(__file__).parent.parent
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]}
APART = {"README.md", "docs/start.md"}  # have tests of their own
WITH_CODE = [name for name, text in TEXTS.items() if "```python" in text and name not in APART]
SLOW = {"docs/landscapes.md"}  # trains, and draws planes
ONLY_COMPILED = {"docs/clusters.md"}  # a cluster is not always there
SETTINGS = {"num_steps"} | {field.name for kind in (lehr.Settings, BaselineSettings) for field in fields(kind)}
TOOLS = ("check", "drawings", "figures", "gather", "tables")  # what makes the site


def shown_commands(text):
    """Every `lehr ...` that a text shows in a block, or inside its lines where it has options."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    lines = [re.sub(r" +#.*", "", line).removeprefix("$ ") for line in blocks.splitlines()]
    inline = re.findall(r"`(lehr [a-z]+ [^`]*)`", text.replace("\n", " "))
    calls = [call.strip() for line in [*lines, *inline] for call in line.split("&&")]
    return [call for call in calls if re.match(r"lehr [a-z]", call)]


COMMANDS = [(name, call) for name, text in sorted(TEXTS.items()) for call in dict.fromkeys(shown_commands(text))]


def run_blocks(name):
    """The names that the Python blocks of a text leave behind."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", TEXTS[name], re.DOTALL):
        code = compile(block, name, "exec")
        if name not in ONLY_COMPILED:
            exec(code, names)
    return names


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in sorted(WITH_CODE)]
)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    """Block after block, as one who reads the page would type them."""
    monkeypatch.chdir(tmp_path)
    run_blocks(name)


@pytest.mark.parametrize(("name", "call"), COMMANDS)
def test_commands_parse(name, call):
    """Commands, options and choices are those of the command line, and so are the names of settings."""
    command, *words = shlex.split(call)[1:]
    commands = get_command(app).commands
    assert command in commands
    if words and not re.fullmatch(r"[A-Z.,\s]*", " ".join(words)):
        context = commands[command].make_context(command, list(words))
        for assignment in context.params.get("set_") or []:
            assert assignment.partition("=")[0] in SETTINGS


def test_the_commands_are_found():
    assert len(COMMANDS) > 60
    assert ("docs/tuning.md", "lehr solve next.json --preset tuned/preset.json") in COMMANDS
    assert shown_commands("`lehr solve\nx.json --steps 5` and `lehr info`") == ["lehr solve x.json --steps 5"]


def test_first_steps(tmp_path, monkeypatch):
    """The commands of the first page that a newcomer follows, in its order, and what it says they print."""
    monkeypatch.chdir(tmp_path)
    text = TEXTS["docs/start.md"]
    problem, printed = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    Path("mine.qubo").write_text(problem)
    calls = [shlex.split(call)[1:] for call in shown_commands(text)]
    outputs = {}
    for words in [words for words in calls if words[0] in ("solve", "exact", "report", "compare")]:
        if "--resume" not in words:
            ended = CliRunner().invoke(app, [word.removeprefix("vca,") for word in words])  # it compiles for long
            assert ended.exit_code == 0, (words, ended.output, ended.exception)
            outputs.setdefault(words[0], ended.stdout)
    assert set(outputs) == {"solve", "exact", "report", "compare"}
    for line in printed.splitlines():
        assert line.strip() == "..." or line.partition(", reached by")[0] in outputs["solve"]
    assert Path("runs/mine/report.html").exists()
    assert Path("runs/compare/report.html").exists()
    names = run_blocks("docs/start.md")
    best = float(re.search(r"best energy +(\S+),", printed)[1])
    entries = [line.split() for line in problem.splitlines()]
    assert names["result"].best_energy == pytest.approx(best)
    assert sum(float(q) * names["bits"][int(i)] * names["bits"][int(j)] for i, j, q in entries) == pytest.approx(best)


@pytest.fixture
def tools(monkeypatch):
    """The scripts that make the site."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_site"))
    yield {name: importlib.import_module(name) for name in (*TOOLS, "reference")}
    for name in (*TOOLS, "reference", "svg"):
        sys.modules.pop(name, None)


def test_every_public_name_has_its_place_in_the_reference(tools):
    reference = tools["reference"]
    listed = [name for _, parts in reference.PAGES.values() for names in parts.values() for name in names]
    assert len(set(listed)) == len(listed)
    assert {name for name in listed if "." not in name} == set(lehr.__all__) - reference.WITHOUT_PAGE
    for name in listed:
        room, _, last = reference.canonical(name).rpartition(".")
        try:
            importlib.import_module(f"{room}.{last}")
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(room), last)


def test_drawings_are_those_of_their_script(tools):
    for name, draw in tools["drawings"].DRAWINGS.items():
        assert (ROOT / "docs" / "images" / f"{name}.svg").read_text() == draw().text_of_file(), "make drawings"


def test_the_papers_claims_are_all_read(tools):
    """Every verdict on a claim of a paper stands in the list of figures, but those beside it on other networks."""
    for path in sorted((ROOT / "docs" / "reproduce").glob("*/*.md")):
        paper, default = tools["figures"].claims(path.read_text())
        section = path.read_text().partition("## Does it hold?")[2].partition("\n## ")[0].partition("Beside it")[0]
        verdicts = re.findall(rf"\*\*({'|'.join(VERDICTS)})\*\*", section)
        assert len(verdicts) >= len(paper) + len(default) > 0 or not verdicts, path.name
        assert len(paper) > 0 or not verdicts, path.name


def test_every_verdict_is_read(tools):
    lines = [judged([Statement(word, True, True, "")]).replace("holds", word) for word in VERDICTS]
    paper, _ = tools["figures"].claims("## Does it hold?\n\n" + "\n".join(lines))
    assert [claim.verdict for claim in paper] == list(VERDICTS)


@pytest.mark.parametrize("name", TOOLS)
def test_examples_in_the_tools(tools, name):
    found = doctest.testmod(tools[name])
    assert found.failed == 0
    assert found.attempted > 0 or name == "drawings"


def test_the_version_to_cite_is_this_one():
    for name in ("CITATION.cff", "docs/cite.md"):
        told = re.findall(r"version\b\W+(\d[\w.]*)", (ROOT / name).read_text())
        assert lehr.__version__ in told, name


def test_links_lead_somewhere():
    """Links inside the repository, as they are on a forge; the site's are checked where it is built."""
    for name, text in TEXTS.items():
        for target in re.findall(r"\]\((?![a-z]+:|#)([^)\s#]+)", text):
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name}: {target}"
