"""QUBO files: the energy of their bits, and one clear line for every malformed file."""

import itertools

import numpy as np
import pytest

from lehr._types import InputError
from lehr.problem.io import load_problem, save_problem
from lehr.problem.qubo import from_ising, from_qubo

BARE = "# by hand\n0 0 -1.25\n0 1 2\n\n3 1 0.5\n1 3 -2.5\n% no 2\n"
WITH_HEADER = "c by hand\np qubo 0 5 1 3\n0 0 -1.25\n0 1 2\nc pairs\n3 1 0.5\n1 3 -2.5\n"
Q = {(0, 0): -1.25, (0, 1): 2.0, (3, 1): 0.5, (1, 3): -2.5}


def written(folder, text, name="model.qubo"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(("text", "num_bits"), [(BARE, 4), (WITH_HEADER, 5), (BARE.replace("\n", "\r\n"), 4)])
def test_the_energy_is_the_sum_over_the_bits(tmp_path, text, num_bits):
    problem = load_problem(written(tmp_path, text))
    assert problem.num_spins == num_bits
    assert problem.labels is None
    for bits in itertools.product([0, 1], repeat=num_bits):
        wanted = sum(q * bits[i] * bits[j] for (i, j), q in Q.items())
        assert problem.energy(2.0 * np.array(bits) - 1) == pytest.approx(wanted, abs=1e-12)


def test_it_is_the_model_that_the_same_mapping_is(tmp_path):
    mapping = {(n, n): 0.0 for n in range(4)} | Q
    found, wanted = load_problem(written(tmp_path, BARE)), from_qubo(mapping)
    assert float(found.offset) == float(wanted.offset)
    for one, other in zip(found.terms, wanted.terms, strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.coefficients, other.coefficients)


def test_it_is_known_by_its_suffix_or_by_the_format(tmp_path):
    assert load_problem(written(tmp_path, BARE, "a.QUBO")).name == "a"
    assert load_problem(written(tmp_path, BARE, "b.txt"), "qubo").num_spins == 4
    with pytest.raises(InputError, match="does not tell its format"):
        load_problem(written(tmp_path, BARE, "b.txt"))


def test_it_is_read_only(tmp_path):
    with pytest.raises(InputError, match="read only"):
        save_problem(from_ising([1.0], {}), tmp_path / "model.qubo")
    assert not (tmp_path / "model.qubo").exists()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "empty"),
        ("c only\n", None, "nothing but comments"),
        ("0 1\n", 1, "this line has 2"),
        ("0 -1 2\n", 1, "'-1' is not the number"),
        ("0 1 nan\n", 1, "'nan' is not a finite"),
        ("0 0 1\n0 1 1e400\n", 2, "larger than double"),
        ("0 1 2\n1 0 3\n0 1 2\n", 3, "(0, 1) occurs already in line 1"),
        ("10000000 0 1\n", 1, "counted from 0 to 9999999, but this line has (10000000, 0)"),
        ("p qubo 0 3\n0 1 2\n", 1, "header must be"),
        ("p cnf 3 1\n0 1 2\n", 1, "header must be"),
        ("p qubo 0 0 0 0\n", 1, "from 1 to 10000000"),
        ("p qubo 0 99999999999 0 1\n0 1 2\n", 1, "from 1 to 10000000"),
        ("p qubo 0 2 0 1\n0 2 1\n", 2, "counted from 0 to 1, but this line has (0, 2)"),
        (WITH_HEADER[:-9], 2, "promises 1 diagonal and 3 off-diagonal lines, but 1 and 2 follow"),
        (BARE + "p qubo 0 5 1 3\n", 8, "this line has 6"),
        ("0 1 2 \xff".encode("latin-1"), 1, "not UTF-8"),
        ("# vartype=BINARY\n0 1 0.000010\n", 1, "COO text"),
    ],
)
def test_malformed_file(tmp_path, text, line, message):
    with pytest.raises(InputError) as caught:
        load_problem(written(tmp_path, text))
    told = str(caught.value)
    assert message in told
    assert "\n" not in told
    assert line is None or f"model.qubo, line {line}: " in told
