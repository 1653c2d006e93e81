"""Gather the pages of the site in one folder: docs/ as it stands, and what is generated from the rest.

Run as `python docs/_site/gather.py build/docs`. Links that lead out of docs/ are turned to the page or the file that
the site has instead, so that every text reads well on a forge, too.
"""

import os
import re
import shutil
import sys
from pathlib import Path, PurePosixPath

import nbformat
from figures import figures_page
from reference import reference_pages

ROOT = Path(__file__).parent.parent.parent
LEFT_OUT = {".nc", ".py"}
# Where texts of the repository stand on the site; pages are known by their path without `docs/`.
PLACES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}
FOLDERS = {"examples": "examples/overview.md", "docs/reproduce": "reproduce/index.md"}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(?=[)#])")


def place(path: str) -> str:
    """Where a file of the repository stands on the site.

    >>> place("docs/tuning.md"), place("examples/max_cut.py"), place("benchmarks/results/cost.png")
    ('tuning.md', 'examples/max_cut.md', 'files/benchmarks/results/cost.png')
    """
    if path in PLACES or path in FOLDERS:
        return {**PLACES, **FOLDERS}[path]
    if path.startswith("examples/"):
        return str(PurePosixPath(path).with_suffix(".md"))
    return path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}"


def turned(text: str, source: str, needed: set[str]) -> str:
    """The Markdown `text` of the file `source` with the links of the site; `needed` gets what is missing there."""

    def turn(found: re.Match) -> str:
        path = os.path.normpath(os.path.join(os.path.dirname(source), found[1]))
        goal = place(path)
        if goal.startswith("files/"):
            needed.add(path)
        return os.path.relpath(goal, os.path.dirname(place(source)) or ".")

    return _LINK.sub(turn, text)


def example_page(source: Path) -> str:
    """An example as a page: its docstring, then the code without it."""
    docstring, code = source.read_text().removeprefix('"""').split('"""\n', 1)
    title, _, rest = docstring.partition("\n")
    return f"# {title.rstrip('.')}\n{rest}\n`{source.relative_to(ROOT)}`:\n\n```python\n{code.strip()}\n```\n"


def notebook_page(source: Path) -> str:
    """A notebook as Markdown: its texts, and its cells as blocks of code."""
    cells = nbformat.read(source, as_version=4).cells
    return "\n\n".join(c.source if c.cell_type == "markdown" else f"```python\n{c.source}\n```" for c in cells) + "\n"


def examples_index(pages: dict[str, str]) -> str:
    """The list of the examples, by their titles."""
    lines = [
        f"* [{text.partition(chr(10))[0].removeprefix('# ')}]({PurePosixPath(name).name})"
        for name, text in pages.items()
    ]
    return "\n".join(
        ["# Examples\n", "Whole problems, from the question to the answer. The tests run all of them.\n", *lines, ""]
    )


def written_pages() -> dict[str, str]:
    """Pages that are written by hand, by their source."""
    sources = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in PLACES if name != "README.md")]
    texts = {source: source.read_text() for source in sources}
    texts |= {source: notebook_page(source) for source in (ROOT / "examples").glob("*.ipynb")}
    return {str(source.relative_to(ROOT)): text for source, text in texts.items()}


def generated_pages() -> dict[str, str]:
    """Pages that are made from something else, by their place on the site."""
    examples = {place(f"examples/{path.name}"): example_page(path) for path in sorted((ROOT / "examples").glob("*.py"))}
    figures = {"reproduce/index.md": figures_page(ROOT / "docs" / "reproduce")}
    return {"examples/overview.md": examples_index(examples), **examples, **figures, **reference_pages()}


def gather(target: Path) -> None:
    """Write all pages, and the files that they show, into `target`, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        ROOT / "docs", target, ignore=lambda _, names: [n for n in names if Path(n).suffix in LEFT_OUT | {".md"}]
    )
    needed: set[str] = set()
    pages = {place(source): turned(text, source, needed) for source, text in written_pages().items()}
    for name, text in {**generated_pages(), **pages}.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text)
    for path in needed:
        goal = target / place(path)
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, goal)


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
