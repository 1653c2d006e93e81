"""Text files of a QUBO: lines `i j q`, as people write them by hand, with qbsolv's header or without.

    c a comment; so is a line that starts with # or %
    p qubo 0 3 1 2
    0 0 -1.0
    0 1 2
    1 2 0.5

Variables are bits `x = (1 + s) / 2`, counted from 0, and the energy is `sum q x_i x_j`; i = j is linear. A pair named
both as (i, j) and as (j, i) is summed, as everywhere with QUBOs; the same line twice is an error. The header
`p qubo 0 VARIABLES DIAGONAL OFF-DIAGONAL` tells the number of variables and how many lines of each kind follow; without
it there are as many variables as the largest index needs.
"""

import re
from pathlib import Path

import numpy as np

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.problem.edge_files import TOO_LARGE, Edges, data_lines, read_lines
from lehr.problem.pairwise import pairwise_problem
from lehr.problem.source import MAX_SPINS, Source, first_repeat, shown

_HEADER = re.compile(r"[ \t]*p[ \t]+qubo[ \t]+\w+[ \t]+(\d{1,18})[ \t]+(\d{1,18})[ \t]+(\d{1,18})[ \t]*", re.ASCII)


def read_qubo_file(source: Source) -> Problem:
    """Read a QUBO; `InputError` names the line and the reason."""
    lines = data_lines(source, comments="#%c")
    told = _read_header(source, lines[0]) if lines[0][1].lstrip().startswith("p") else None
    entries = read_lines(source, lines if told is None else lines[1:])
    _check(source, entries, told)
    num_bits = int(entries.spins.max(initial=-1)) + 1 if told is None else told[0]
    diagonal = entries.spins[:, 0] == entries.spins[:, 1]
    linear = np.bincount(entries.spins[diagonal, 0], entries.numbers[diagonal], num_bits)
    pairs, place = np.unique(np.sort(entries.spins[~diagonal], axis=1), axis=0, return_inverse=True)
    couplings = np.bincount(place.ravel(), entries.numbers[~diagonal], len(pairs))
    try:
        return pairwise_problem("path", linear, pairs, couplings, 0.0, bits=True, name=Path(source.name).stem)
    except InputError as error:
        raise source.error(str(error)) from None


def _read_header(source: Source, line: tuple[int, str]) -> tuple[int, int, int, int]:
    """Numbers of variables, of diagonal and of off-diagonal lines, and the line where they stand."""
    number, text = line
    match = _HEADER.fullmatch(text)
    if not match:
        raise source.error(
            f"the header must be `p qubo 0 VARIABLES DIAGONAL OFF-DIAGONAL`, but it is {shown(text)}", number
        )
    num_bits, num_linear, num_pairs = map(int, match.groups())
    if not 1 <= num_bits <= MAX_SPINS:
        raise source.error(f"the number of variables must be from 1 to {MAX_SPINS}, but it is {num_bits}", number)
    return num_bits, num_linear, num_pairs, number


def _check(source: Source, entries: Edges, told: tuple[int, int, int, int] | None) -> None:
    """Reject numbers of lines that the header does not promise, then the first line that is out of range, not finite,
    or named twice."""
    i, j = entries.spins.T
    top = (MAX_SPINS if told is None else told[0]) - 1
    if told is not None:
        found = int((i == j).sum()), int((i != j).sum())
        if found != told[1:3]:
            raise source.error(
                f"the header promises {told[1]} diagonal and {told[2]} off-diagonal lines, but {found[0]} and "
                f"{found[1]} follow; the file is truncated or the header wrong",
                told[3],
            )
    faults = np.flatnonzero((entries.spins > top).any(axis=1) | ~np.isfinite(entries.numbers))
    if faults.size:
        row = faults[0]
        if entries.spins[row].max() > top:
            reason = f"variables are counted from 0 to {top}, but this line has ({i[row]}, {j[row]}); correct it"
        else:
            reason = TOO_LARGE
        raise source.error(reason, entries.lines[row])
    repeat = first_repeat(entries.spins)
    if repeat:
        later, earlier = repeat
        raise source.error(
            f"({i[later]}, {j[later]}) occurs already in line {entries.lines[earlier]}; remove one",
            entries.lines[later],
        )
