"""The Newman-Moore model's degeneracies against recorded values, elimination and enumeration."""

import json
from pathlib import Path

import numpy as np
import pytest

from lehr import newman_moore
from lehr._types import InputError
from lehr.exact import enumeration, parity
from lehr.exact.newman_moore import degeneracy_exponent, weight_enumerator

ORACLES = json.loads((Path(__file__).parent / "data" / "oracles.json").read_text())


def test_degeneracy_of_squares():
    assert {str(side): degeneracy_exponent(side) for side in range(2, 34)} == ORACLES["NM_k"]


@pytest.mark.parametrize("columns", range(1, 13))
def test_degeneracy_of_rectangles_is_what_elimination_finds(columns):
    for rows in range(1, 16):
        shape = (columns, rows)
        assert 2 ** degeneracy_exponent(shape) == parity.ground_states(newman_moore(shape), most=1).number, shape


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (2, 3), (3, 2), (3, 6), (7, 3)])
def test_degeneracy_of_small_tori_is_what_enumeration_finds(shape):
    assert 2 ** degeneracy_exponent(shape) == enumeration.ground_states(newman_moore(shape)).number


def test_large_tori():
    assert degeneracy_exponent(1024) == 0
    assert degeneracy_exponent(1023) == 1022
    assert degeneracy_exponent(2 * 45) == 2 * degeneracy_exponent(45)


def test_weight_enumerators():
    for side, expected in ORACLES["NM_weight_enum"].items():
        assert {str(weight): count for weight, count in weight_enumerator(int(side)).items()} == expected
    assert weight_enumerator(12) == {0: 1, 54: 48, 72: 60, 78: 144, 96: 3}
    assert weight_enumerator(14) == {0: 1, 72: 196, 84: 56, 96: 1225, 100: 1960, 104: 588, 112: 70}
    assert sum(weight_enumerator(15).values()) == 2**14


@pytest.mark.parametrize("shape", [3, 6, (3, 6), (6, 3), (7, 14)])
def test_weights_are_distances_from_all_down(shape):
    spins = parity.ground_states(newman_moore(shape)).spins
    weights, counts = np.unique((spins > 0).sum(axis=1), return_counts=True)
    assert weight_enumerator(shape) == dict(zip(weights.tolist(), counts.tolist(), strict=True))


def test_what_does_not_apply():
    with pytest.raises(InputError, match="`shape`"):
        degeneracy_exponent((3, 0))
    with pytest.raises(InputError, match="independent cycles"):
        weight_enumerator(31)
