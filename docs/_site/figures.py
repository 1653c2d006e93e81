"""The page that holds the papers' claims beside what was found, read from the texts of docs/reproduce."""

import re
from pathlib import Path
from typing import NamedTuple

from tables import table

from lehr.reproduce.verdict import VERDICTS

_VERDICT = re.compile(rf"\* (.+?): \*\*({'|'.join(VERDICTS)})\*\*(?:[;.]|$)")
# The order in which the papers have them.
_ORDER = ("a-fig", "a-pca", "b-fig", "b-collapse")


class Claim(NamedTuple):
    """What a paper claims, and the verdict on it."""

    text: str
    verdict: str


def claims(text: str) -> tuple[list[Claim], list[Claim]]:
    """Claims and verdicts of a figure's text: of the paper's networks, and of Lehr's default.

    >>> default = "Of *Lehr's default*:\\n\\n* It falls: **not measured**."
    >>> claims(f"## Does it hold?\\n\\n* It\\n  falls: **holds**; in 2 of 3.\\n\\n{default}")
    ([Claim(text='It falls', verdict='holds')], [Claim(text='It falls', verdict='not measured')])
    """
    section = text.partition("## Does it hold?")[2].partition("\n## ")[0]
    groups: tuple[list[Claim], list[Claim]] = [], []
    group: list[Claim] | None = groups[0]
    for block in re.split(r"\n\n|\n(?=\* )", section):
        line = " ".join(block.split())
        if line.startswith("Of "):
            group = groups[1] if "*Lehr's default*" in line else None if "*two branches*" in line else groups[0]
        elif line.startswith("Beside it"):
            group = None
        elif (found := _VERDICT.match(line)) and group is not None:
            group.append(Claim(found[1], found[2]))
    return groups


def figures_page(folder: Path) -> str:
    """The page of all figures under `folder`."""
    names = sorted((path.name for path in folder.iterdir() if path.is_dir()), key=_rank)
    lines = [
        "# The papers' figures, made again\n",
        "Paper A: M. Hibat-Allah et al., *Variational neural annealing*, "
        "[arXiv:2101.10154](https://arxiv.org/abs/2101.10154). "
        "Paper B: E. M. Inack et al., *Neural annealing and visualization of autoregressive neural networks in the "
        "Newman-Moore model*, [arXiv:2204.11272](https://arxiv.org/abs/2204.11272).\n",
        "All was measured at the scale that two shared cores can do, with fewer instances and steps than in the "
        "papers: *was not seen* and *does not hold* may be for want of steps, and each page says what was cut. Only "
        "abstract and captions of paper A are quoted; its other claims are from memory. `lehr reproduce FIGURE` makes "
        "any of them again, `--scale paper` at its own size, which was not run: [what that costs](../paper_scale.md)."
        "\n",
    ]
    for name in names:
        text = (folder / name / f"{name}.md").read_text()
        title = text.partition("\n")[0].removeprefix(f"# {name}: ")
        paper, default = claims(text)
        beside = {claim.text: claim.verdict for claim in default}
        lines.append(f"## [{name}]({name}/{name}.md): {title}\n")
        lines.append(f"[![{title}]({name}/{name}.png){{ width=420 }}]({name}/{name}.md)\n")
        if not paper:
            lines.append("No claims are counted here.\n")
            continue
        heads = ["What the paper claims", "Its networks", *(["Lehr's default"] if beside else [])]
        rows = [[c.text, f"**{c.verdict}**", *([beside.get(c.text, "")] if beside else [])] for c in paper]
        lines.append(table(heads, rows))
    return "\n".join(lines)


def _rank(name: str) -> tuple[int, str]:
    return next(number for number, start in enumerate(_ORDER) if name.startswith(start)), name
