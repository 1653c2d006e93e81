"""The page around charts and numbers: one file of HTML that needs no other, on any screen and on paper."""

import html
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

from lehr._version import __version__

# No script and no picture but those in the page itself, whatever a stranger has written into names.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Section(NamedTuple):
    """A heading, a paragraph in plain text (which may be empty), and what stands below it, in HTML."""

    title: str
    words: str
    parts: Sequence[str]


def page(title: str, words: str, sections: Sequence[Section]) -> str:
    """The whole page.

    >>> page("A & B", "", []).count("A &amp; B")
    2
    """
    style, script = ((files("lehr.report") / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    body = "\n".join(_section(section) for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{html.escape(title)}</h1>{_paragraph(words)}</header>\n<main>\n{body}\n</main>\n"
        f"<footer>Lehr {__version__}</footer>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def numbers(rows: Mapping[str, str]) -> str:
    """Names and values side by side; what is empty is left out.

    >>> numbers({"a": "1", "b": ""})
    '<dl><div><dt>a</dt><dd>1</dd></div></dl>'
    """
    lines = (f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in rows.items() if v)
    return f"<dl>{''.join(lines)}</dl>"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head.

    >>> table([["a"], ["1"]])
    '<div class="wide"><table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table></div>'
    """
    head, *body = ([html.escape(cell) for cell in row] for row in rows)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in body)
    top = "".join(f"<th>{cell}</th>" for cell in head)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def listed(lines: Sequence[str], kind: str = "") -> str:
    """Lines of plain text as a list."""
    return f'<ul class="{kind}">{"".join(f"<li>{html.escape(line)}</li>" for line in lines)}</ul>'


def folded(title: str, text: str) -> str:
    """Long text that opens where a reader asks for it."""
    return f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(text)}</pre></details>"


def _section(section: Section) -> str:
    parts = "\n".join(section.parts)
    return f"<section><h2>{html.escape(section.title)}</h2>{_paragraph(section.words)}<div>{parts}</div></section>"


def _paragraph(words: str) -> str:
    return f"<p>{html.escape(words)}</p>" if words else ""
