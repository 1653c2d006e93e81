"""Text files of edges: rudy/G-set as Max-Cut or as Ising, the spin-glass server's `.sg`, and "i j J".

One edge a line, `i j number`, spins counted from 1, columns parted by blanks; the number may be an integer or a decimal
and must be there (1 for an unweighted graph). Lines that start with # or % and blank lines are skipped; lines may end
in CR LF. Self-loops and edges named twice are errors, for none of these formats gives them a meaning.

| format         | header | energy                                                              |
|----------------|--------|---------------------------------------------------------------------|
| `"maxcut"`     | n m    | minus the cut: couplings w/2, offset -W/2 with W the sum of weights |
| `"ising-rudy"` | n m    | `+ sum w s s` (dimod's sign; its minimum is the maximum cut too)    |
| `"sg"`         | n m    | `- sum J s s` (the papers' sign; McGroundstate's .sg and .gsg)      |
| `"ij"`         | none   | `- sum J s s` (the papers' sign)                                    |

An "ij" file has as many spins as its largest index, or as its optional `type: pm|gauss|pm3|gauss3|sk` and `size: L`
lines say; a `name:` line names the problem.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.problem.pairwise import fields_and_couplings, maxcut_couplings, maxcut_weights, pairwise_problem
from lehr.problem.source import MAX_SPINS, Source, first_repeat, shown

EDGE_FORMATS = ("maxcut", "ising-rudy", "sg", "ij")

TOO_LARGE = "the number is larger than double precision holds; rescale the file"

_INTEGER = re.compile(r"\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_EDGE = re.compile(rf"[ \t]*({_INTEGER.pattern})[ \t]+({_INTEGER.pattern})[ \t]+({_NUMBER.pattern})[ \t]*", re.ASCII)
_HEADER = re.compile(rf"[ \t]*({_INTEGER.pattern})[ \t]+({_INTEGER.pattern})[ \t]*", re.ASCII)
_PARAMETER = re.compile(r"[ \t]*(type|size|name)[ \t]*:[ \t]*(.*?)[ \t]*")
_DIMOD_COO = re.compile(r"[ \t]*#[ \t]*vartype[ \t]*=")
_DIMENSIONS = {"pm": 2, "gauss": 2, "pm3": 3, "gauss3": 3, "sk": 1}


class Edges(NamedTuple):
    """The edges as written: spins counted from 1, numbers, and the line of each."""

    spins: np.ndarray
    numbers: np.ndarray
    lines: list[int]


def read_edges(source: Source, format: str) -> Problem:
    """Read a file in one of `EDGE_FORMATS`; `InputError` names the line and the reason."""
    lines = data_lines(source)
    name = Path(source.name).stem
    if format == "ij":
        num_spins, name, lines = _read_parameters(source, lines, name)
        edges = read_lines(source, lines)
        num_spins = int(edges.spins.max(initial=0)) if num_spins is None else num_spins
        if not edges.lines:
            raise source.error("the file holds no line `i j J`; was it written completely?")
    else:
        num_spins, num_edges = _read_header(source, lines[0], len(lines) - 1)
        edges = read_lines(source, lines[1:])
        if len(edges.lines) > num_edges:
            raise source.error(
                f"this is edge number {num_edges + 1}, but line {lines[0][0]} promises {num_edges}; correct the header",
                edges.lines[num_edges],
            )
    _check(source, edges, num_spins)
    offset, couplings = 0.0, edges.numbers if format == "ising-rudy" else -edges.numbers
    if format == "maxcut":
        try:
            couplings, offset = maxcut_couplings(edges.numbers)
        except InputError as error:
            raise source.error(str(error)) from None
    return pairwise_problem("path", np.zeros(num_spins), edges.spins - 1, couplings, offset, name=name)


def write_edges(problem: Problem, format: str) -> bytes:
    """The file of a problem in one of `EDGE_FORMATS`; `InputError` for anything that the format cannot hold."""
    if problem.labels is not None:
        raise InputError(
            f'Argument `problem` has labels, which format "{format}" cannot hold; '
            f'use format "json", or save `problem.bare()` to number the spins.'
        )
    if format == "maxcut":
        pairs, numbers = maxcut_weights(problem)
    else:
        fields, pairs, numbers = fields_and_couplings(problem, f'format "{format}"')
        if fields.any() or problem.offset != 0:
            raise InputError(
                f'Argument `problem` has fields or an offset, which format "{format}" cannot hold; use format "json".'
            )
        numbers = numbers if format == "ising-rudy" else -numbers
    if format == "ij" and int(pairs.max(initial=-1)) != problem.num_spins - 1:
        raise InputError(
            'Argument `problem` has a last spin without couplings, which format "ij" cannot hold; use "sg" or "json".'
        )
    if problem.num_spins > MAX_SPINS:
        raise InputError(f"Argument `problem` must have at most {MAX_SPINS} spins to be saved.")
    lines = [] if format == "ij" else [f"{problem.num_spins} {len(pairs)}"]
    lines += [f"{i} {j} {_text(w)}" for (i, j), w in zip((pairs + 1).tolist(), numbers.tolist(), strict=True)]
    return ("\n".join(lines) + "\n").encode("ascii")


def _text(number: float) -> str:
    """The shortest text that reads back as the same float; integers without a point, as G-set has them."""
    text = repr(number)
    return text[:-2] if text.endswith(".0") and number != 0 else text


def data_lines(source: Source, comments: str = "#%") -> list[tuple[int, str]]:
    """(line number, text) of every line that is neither blank nor begins with one of `comments`."""
    data = []
    for number, line in enumerate(source.text().split("\n"), start=1):
        line = line.removesuffix("\r")
        start = line.lstrip(" \t")[:1]
        if start == "#" and _DIMOD_COO.match(line):
            raise source.error(
                "this is dimod's COO text, which stores six decimals and loses small couplings; "
                "write `lehr.save_problem(lehr.from_bqm(bqm), 'model.json')` instead",
                number,
            )
        if start and start not in comments:
            data.append((number, line))
    if not data:
        raise source.error("the file holds nothing but comments; was it written completely?")
    return data


def _read_header(source: Source, line: tuple[int, str], num_lines: int) -> tuple[int, int]:
    number, text = line
    match = _HEADER.fullmatch(text)
    if not match:
        raise source.error(f"the header must be `n m`, the numbers of spins and edges, but it is {shown(text)}", number)
    num_spins, num_edges = map(int, match.groups())
    _check_num_spins(source, num_spins, number)
    if num_edges > num_lines:
        raise source.error(
            f"the header promises {num_edges} edges, but {num_lines} follow; the file is truncated or the header wrong",
            number,
        )
    return num_spins, num_edges


def _check_num_spins(source: Source, num_spins: int, line: int) -> None:
    if not 1 <= num_spins <= MAX_SPINS:
        raise source.error(f"the number of spins must be from 1 to {MAX_SPINS}, but it is {num_spins}", line)


def _read_parameters(
    source: Source, lines: list[tuple[int, str]], name: str
) -> tuple[int | None, str, list[tuple[int, str]]]:
    """Number of spins (if told), name, and the lines that remain when `type:`, `size:` and `name:` are taken out."""
    told: dict[str, tuple[str, int]] = {}
    rest = []
    for number, text in lines:
        match = _PARAMETER.fullmatch(text)
        if not match:
            rest.append((number, text))
            continue
        key, value = match.groups()
        if key in told:
            raise source.error(f"`{key}:` occurs twice, first in line {told[key][1]}; remove one", number)
        told[key] = value, number
    if "name" in told:
        name = told["name"][0]
    if "type" not in told and "size" not in told:
        return None, name, rest
    if not ("type" in told and "size" in told):
        key, missing = ("type", "size") if "type" in told else ("size", "type")
        raise source.error(f"`{key}:` needs a line `{missing}:` too; add it or remove both", told[key][1])
    kind, size = told["type"][0], told["size"][0]
    if kind not in _DIMENSIONS:
        raise source.error(f"`type:` must be one of {', '.join(_DIMENSIONS)}, but it is {shown(kind)}", told["type"][1])
    if not _INTEGER.fullmatch(size):
        raise source.error(f"`size:` must be a positive integer, but it is {shown(size)}", told["size"][1])
    num_spins = int(size) ** _DIMENSIONS[kind]
    _check_num_spins(source, num_spins, told["size"][1])
    return num_spins, name, rest


def read_lines(source: Source, lines: list[tuple[int, str]]) -> Edges:
    """Lines `i j number` as they stand; `InputError` names the first that is none."""
    spins, numbers = [], []
    for number, text in lines:
        match = _EDGE.fullmatch(text)
        if not match:
            raise source.error(_reason(text), number)
        i, j, weight = match.groups()
        spins += (int(i), int(j))
        numbers.append(float(weight))
    return Edges(np.array(spins, dtype=np.int64).reshape(-1, 2), np.array(numbers), [n for n, _ in lines])


def _reason(text: str) -> str:
    """Why a line is no edge."""
    columns = text.split()
    if len(columns) != 3:
        return f"an edge is `i j number`, three columns, but this line has {len(columns)}: {shown(text)}"
    for column in columns[:2]:
        if not _INTEGER.fullmatch(column):
            return f"{shown(column)} is not the number of a spin; write a positive decimal integer"
    if not _NUMBER.fullmatch(columns[2]):
        return f"{shown(columns[2])} is not a finite decimal number; correct or remove the edge"
    return f"columns must be parted by blanks or tabs, but the line is {shown(text)}"


def _check(source: Source, edges: Edges, num_spins: int) -> None:
    """Reject the first edge out of range, onto itself or not finite; then the first edge named twice."""
    i, j = edges.spins.T
    ordered = np.sort(edges.spins, axis=1)
    top = min(num_spins, MAX_SPINS)
    outside = (ordered[:, 0] < 1) | (ordered[:, 1] > top)
    itself = ordered[:, 0] == ordered[:, 1]
    infinite = ~np.isfinite(edges.numbers)
    faults = np.flatnonzero(outside | itself | infinite)
    if faults.size:
        row = faults[0]
        if outside[row]:
            reason = f"spins are counted from 1 to {top}, but this edge is ({i[row]}, {j[row]}); correct it"
        elif itself[row]:
            reason = f"the edge joins spin {i[row]} to itself; remove it (this format holds no fields)"
        else:
            reason = TOO_LARGE
        raise source.error(reason, edges.lines[row])
    repeat = first_repeat(ordered)
    if repeat:
        later, earlier = repeat
        pair = f"({i[later]}, {j[later]})"
        raise source.error(
            f"the edge {pair} occurs already in line {edges.lines[earlier]}; remove one", edges.lines[later]
        )
