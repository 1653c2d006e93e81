"""Every reader against thousands of damaged files: one clear line, or exactly what the file says."""

import json
import time

import dimod
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lehr._types import InputError
from lehr.problem.base import Lattice, Problem
from lehr.problem.convert import from_bqm
from lehr.problem.io import load_problem, save_problem
from lehr.problem.json_format import label_from_json

# The strategy is a list of small edits: the fixture is only a folder, and slow machines must not fail for slowness.
thorough = settings(
    max_examples=800,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

brief = settings(thorough, max_examples=300)  # what shares its reader with another format

TOKENS = [b"nan", b"-inf", b"1e400", b"1_0", b"99999999999999999999", b"1000000000", b"10000000", b"0", b"-1", b"0.1",
          b"5e-324", b"\xff", b"\x00", b"\n", b"\r\n", b" ", b"#", b"%", b"[", b"]", b"{", b"}", b",", b'"', b"null",
          b"true", b"1.5e308", b"name: x\n", b"size: 2\n", b"type: sk\n", b"\xd9\xa1", b"1 2 3\n", b"\\u0000", b"e5",
          b'"labels"', b"NaN", b"\xff\xff\xff\x7f", b"\x00\x00\xf0\x7f", b"VARS"]  # fmt: skip

position = st.integers(0, 2**16)
edits = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), position, st.integers(0, 7)),
        st.tuples(st.just("set"), position, st.integers(0, 255)),
        st.tuples(st.just("delete"), position, st.integers(1, 9)),
        st.tuples(st.just("insert"), position, st.sampled_from(TOKENS)),
        st.tuples(st.just("number"), position, st.sampled_from(TOKENS)),
        st.tuples(st.just("repeat"), position, st.integers(1, 40)),
        st.tuples(st.just("truncate"), position, st.none()),
        st.tuples(st.just("swap lines"), position, position),
        st.tuples(st.just("repeat line"), position, position),
    ),
    min_size=1,
    max_size=3,
)


def damaged(data, edits):
    """The bytes after a few edits, each at a place drawn anew."""
    for kind, place, what in edits:
        at = place % (len(data) + 1)
        lines = data.split(b"\n")
        if kind in ("flip", "set"):
            at = min(at, max(len(data) - 1, 0))
            byte = data[at : at + 1] or b"\0"
            data = data[:at] + bytes([byte[0] ^ 1 << what if kind == "flip" else what]) + data[at + 1 :]
        elif kind == "delete":
            data = data[:at] + data[at + what :]
        elif kind == "insert":
            data = data[:at] + what + data[at:]
        elif kind == "number":
            rest = data[at:].lstrip(b"0123456789.eE+-")
            data = data[:at] + what + rest
        elif kind == "repeat":
            data = data[: at + what] + data[at:]
        elif kind == "truncate":
            data = data[:at]
        elif kind == "swap lines":
            i, j = place % len(lines), what % len(lines)
            lines[i], lines[j] = lines[j], lines[i]
            data = b"\n".join(lines)
        else:
            lines.insert(what % len(lines), lines[place % len(lines)])
            data = b"\n".join(lines)
    return data


def exact(problem):
    terms = [(t.indices.tolist(), repr(t.coefficients.tolist())) for t in problem.terms]
    named = problem.labels and [(type(v).__name__, repr(v)) for v in problem.labels]
    return problem.num_spins, terms, repr(float(problem.offset)), named, problem.lattice, repr(problem.ground_energy)


def parsed(file, data, format):
    """The problem in the file or None, after checks that hold for every damaged file."""
    file.write_bytes(data)
    start = time.process_time()
    problem, message = attempt(load_problem, file, format)
    assert time.process_time() - start < 2
    if message:
        assert message.startswith(str(file))
        assert "\n" not in message
        assert len(message) < len(str(file)) + 500
    if problem is None or problem.num_spins > 10_000:  # the rest would only be slow
        return None
    assert all(np.isfinite(t.coefficients).all() for t in problem.terms)
    assert np.isfinite(problem.energy(np.ones(problem.num_spins))) or max_size(problem) > 1e300
    again = file.with_suffix(".again")
    save_problem(problem, again, "json")
    assert exact(load_problem(again, "json")) == exact(problem)
    _, refused = attempt(save_problem, problem, again, format)
    if refused:  # an "ij" file may end in free spins, which only its `size:` line tells
        assert (format == "ij" and "last spin" in refused) or max_size(problem) > 1e300
    else:
        assert exact(load_problem(again, format))[1:3] == exact(problem)[1:3]
    return problem


def attempt(function, *arguments):
    """The result and None, or None and the message of an `InputError`; any other error is a failure."""
    try:
        return function(*arguments), None
    except InputError as error:
        return None, str(error)


def max_size(problem):
    return max([abs(float(problem.offset)), *(np.abs(t.coefficients).max(initial=0) for t in problem.terms)])


def pairs_of(problem):
    return {
        frozenset(spins): c
        for group in problem.terms
        for spins, c in zip(group.indices.tolist(), group.coefficients.tolist(), strict=True)
    }


EDGES = b"1 2 1\n2 3 -1\n1 3 0.5\n3 4 -2.25e-3\n4 5 1\n"
TEXTS = {
    "maxcut": (b"5 5\n" + EDGES, 0.5),
    "ising-rudy": (b"# made by hand\r\n5 5\r\n" + EDGES.replace(b"\n", b"\r\n"), 1.0),
    "sg": (b"5 5\n" + EDGES, -1.0),
    "ij": (b"type: sk\nsize: 5\nname: by hand\n\n" + EDGES, -1.0),
}


@pytest.mark.parametrize("format", TEXTS)
def test_edge_files(tmp_path, format):
    original, scale = TEXTS[format]
    outcomes = {"problem": 0, "error": 0}

    @(thorough if format in ("maxcut", "ij") else brief)
    @given(edits)
    def check(edits):
        data = damaged(original, edits)
        problem = parsed(tmp_path / "damaged", data, format)
        outcomes["error" if problem is None else "problem"] += 1
        if problem is None:
            return
        lines = [line.split() for line in data.decode("utf-8-sig").split("\n")]
        lines = [line for line in lines if line and line[0][0] not in "#%" and ":" not in "".join(line)]
        if format != "ij":
            header, *lines = lines
            assert [int(header[0]), int(header[1])] == [problem.num_spins, len(lines)]
        said = {frozenset((int(i) - 1, int(j) - 1)): scale * float(w) for i, j, w in lines}
        assert len(said) == len(lines)
        assert pairs_of(problem) == said

    parsed(tmp_path / "damaged", original, format)
    check()
    assert min(outcomes.values()) > 20


def test_json_files(tmp_path):
    problem = Problem.from_terms(
        4,
        {(0,): 0.1, (0, 1): -1.0, (2, 3): 1e-300, (0, 1, 2): 2.5},
        offset=0.5,
        labels=["a", 1, ("b", 2.5), "ö"],
        lattice=Lattice((2, 2)),
        ground_energy=-3.0,
        name="demo",
    )
    save_problem(problem, tmp_path / "good.json")
    original = (tmp_path / "good.json").read_bytes()
    outcomes = {"problem": 0, "error": 0}

    @thorough
    @given(edits)
    def check(edits):
        data = damaged(original, edits)
        problem = parsed(tmp_path / "damaged.json", data, "json")
        outcomes["error" if problem is None else "problem"] += 1
        if problem is None:
            return
        said = json.loads(data.decode("utf-8-sig"))
        assert said["num_spins"] == problem.num_spins
        assert said.get("offset", 0) == float(problem.offset)
        assert said.get("labels") == (problem.labels and json.loads(json.dumps(problem.labels)))
        assert sum(len(group["indices"]) for group in said["terms"]) == problem.num_terms
        terms = {
            frozenset(spins): c
            for group in said["terms"]
            for spins, c in zip(group["indices"], group["coefficients"], strict=True)
        }
        assert pairs_of(problem) == terms

    check()
    assert min(outcomes.values()) > 20


@pytest.mark.parametrize("version", [1, 2])
def test_bqm_files(tmp_path, version):
    bqm = dimod.BQM({"a": 1.0, ("b", 2): -0.5, 3: 0.0}, {("a", ("b", 2)): 0.25, ("a", 3): -2.0}, 0.75, "BINARY")
    with bqm.to_file(version=version) as written:
        original = written.read()
    outcomes = {"problem": 0, "error": 0}

    @(thorough if version == 2 else brief)
    @given(edits)
    def check(edits):
        data = damaged(original, edits)
        problem = parsed(tmp_path / "damaged.bqm", data, "bqm")
        outcomes["error" if problem is None else "problem"] += 1
        if problem is not None:  # what passed Lehr's checks is safe for dimod, and means the same to it
            assert exact(problem) == exact(from_bqm(dimod.BQM.from_file(data)))

    check()
    assert min(outcomes.values()) > 20


@thorough
@given(st.binary(max_size=300), st.sampled_from([None, "json", "bqm", *TEXTS]))
def test_rubbish(tmp_path, data, format):
    if format is None:
        (tmp_path / "rubbish").write_bytes(data)
        with pytest.raises(InputError):
            load_problem(tmp_path / "rubbish")
    else:
        parsed(tmp_path / "rubbish", data, format)


@brief
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=2), st.lists, max_leaves=5))
def test_labels_are_exact_or_refused(value):
    try:
        label = label_from_json(value)
    except InputError:
        return
    assert json.loads(json.dumps(label)) == value
