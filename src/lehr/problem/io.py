"""Problems from files and to files.

| format         | file                                                      | recognised by          |
|----------------|-----------------------------------------------------------|------------------------|
| `"json"`       | Lehr's own: every order, lossless (`json_format`)         | .json, or a first `{`  |
| `"bqm"`        | dimod's binary `bqm.to_file()` (`bqm_file`)               | .bqm, or its first bytes |
| `"qubo"`       | lines `i j q`, bits from 0; `+ sum q x x` (`qubo_file`)   | .qubo                  |
| `"maxcut"`     | rudy / G-set; the energy is minus the cut (`edge_files`)  | never: say so          |
| `"ising-rudy"` | rudy / G-set; `+ sum w s s` (`edge_files`)                | never: say so          |
| `"sg"`         | spin-glass server, counts first; `- sum J s s`            | .sg, .gsg              |
| `"ij"`         | lines `i j J`; `- sum J s s`                              | never: say so          |

A QUBO file is read only. The bare columns of a text file do not tell what they mean, so a text file without one of
these suffixes needs the argument `format`.
"""

import os
from collections.abc import Callable
from pathlib import Path

from lehr._types import InputError
from lehr.problem.base import Problem
from lehr.problem.bqm_file import BQM_MAGIC, read_bqm_file, write_bqm_file
from lehr.problem.edge_files import EDGE_FORMATS, read_edges, write_edges
from lehr.problem.json_format import read_json, write_json
from lehr.problem.qubo_file import read_qubo_file
from lehr.problem.source import Source, read_source, write_whole

FORMATS = ("json", "bqm", "qubo", *EDGE_FORMATS)

_SUFFIXES = {".json": "json", ".bqm": "bqm", ".qubo": "qubo", ".sg": "sg", ".gsg": "sg"}


def load_problem(path: str | os.PathLike, format: str | None = None) -> Problem:
    """Read a problem from a file.

    Args: `path`; `format`, one of "json", "bqm", "qubo", "maxcut", "ising-rudy", "sg", "ij" (the table of
    `lehr.problem.io` gives the energy and sign of each). None takes the format that the suffix or the first bytes tell
    without doubt.
    Returns: the problem, in dimod's sign; its name is the one in the file, or else the name of the file.
    Errors: `InputError`, one line with the file, the line and the reason, for anything but a complete, correct file of
    at most 10 million spins; without `format`, also where the file does not tell its format.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     graph = Path(folder) / "triangle.txt"
    ...     _ = graph.write_text("3 3\\n1 2 1\\n2 3 1\\n1 3 1\\n")
    ...     problem = load_problem(graph, format="maxcut")
    >>> problem.name, problem.energy(np.array([[1, 1, 1], [1, 1, -1]])).tolist()
    ('triangle', [0.0, -2.0])
    """
    _check_format(format)
    source = read_source(path)
    format = format or _recognised(source)
    if format == "json":
        return read_json(source)
    if format == "bqm":
        return read_bqm_file(source)
    if format == "qubo":
        return read_qubo_file(source)
    return read_edges(source, format)


def save_problem(problem: Problem, path: str | os.PathLike, format: str | None = None) -> None:
    """Write a problem to a file, which appears complete or not at all.

    Args: `problem`; `path`; `format`, as for `load_problem` (None takes it from the suffix). Only "json" holds
    everything. "bqm" holds energy and labels (order 1 and 2), the text formats the energy alone; the name, the lattice
    and the ground energy stay behind there.
    Errors: `InputError` where the format cannot hold the energy or the labels, or the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "glass.json"
    ...     save_problem(Problem.from_terms(2, {(0, 1): 0.1}, labels=("a", (1, 2))), file)
    ...     load_problem(file).labels
    ('a', (1, 2))
    """
    _check_format(format)
    format = format or _SUFFIXES.get(Path(path).suffix.lower())
    if format is None:
        raise InputError(f"Argument `format` must be given for {os.fspath(path)}: one of {', '.join(FORMATS)}.")
    if format == "qubo":
        raise InputError("Argument `format` must be another one: QUBO files are read only (`lehr.to_qubo` has Q).")
    writers: dict[str, Callable[[Problem], bytes]] = {"json": write_json, "bqm": write_bqm_file}
    data = writers[format](problem) if format in writers else write_edges(problem, format)
    write_whole(path, data)


def _check_format(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        raise InputError(f"Argument `format` must be one of {', '.join(FORMATS)}, but it is {format!r}.")


def _recognised(source: Source) -> str:
    if source.data.startswith(BQM_MAGIC):
        return "bqm"
    suffix = _SUFFIXES.get(Path(source.name).suffix.lower())
    if suffix is None and source.data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        suffix = "json"
    if suffix is None:
        raise source.error(
            f"the file does not tell its format; give the argument `format`, one of {', '.join(FORMATS)} "
            f"(dimod's COO text is not read, for it loses small couplings: "
            f"write `lehr.save_problem(lehr.from_bqm(bqm), 'model.json')`)"
        )
    return suffix
