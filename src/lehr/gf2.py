"""Linear equations over GF(2), the integers modulo 2, with rows packed into Python's whole numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8


class Echelon(NamedTuple):
    """A row echelon form: `pivots` maps the highest column of each independent row to that row, `row << tail_bits |
    tail`; `residues` holds the tails of the rows that became 0."""

    pivots: dict[int, int]
    residues: list[int]
    tail_bits: int

    @property
    def rank(self) -> int:
        """Number of independent rows."""
        return len(self.pivots)


def eliminate(rows: Sequence[int], tails: Sequence[int], tail_bits: int, *, strict: bool = False) -> Echelon:
    """Gaussian elimination over GF(2); whatever is added to a row is added to its tail.

    With the right-hand sides as tails, a residue other than 0 is a contradiction; with the rows of the identity as
    tails, the residues are a basis of the left kernel: the sets of rows that add up to 0.

    Args:
        rows: one whole number per row; bit j is column j.
        tails: what is to be carried along, whole numbers of at most `tail_bits` bits.
        tail_bits: bits that the tails need.
        strict: stop at the first contradiction, which is the last residue then.

    Source: textbook Gaussian elimination, row by row.

    >>> eliminate([0b011, 0b110, 0b101], [0b001, 0b010, 0b100], 3).residues  # x0 + x1, x1 + x2, x0 + x2
    [7]
    """
    pivots: dict[int, int] = {}
    residues = []
    for row, tail in zip(rows, tails, strict=True):
        packed = row << tail_bits | tail
        while (column := packed.bit_length() - 1 - tail_bits) >= 0:
            if column not in pivots:
                pivots[column] = packed
                break
            packed ^= pivots[column]
        else:
            residues.append(packed)
            if strict and packed:
                break
    return Echelon(pivots, residues, tail_bits)


def solutions(echelon: Echelon, num_columns: int) -> list[int]:
    """Every unknown as a sum of tail bits and of free parameters, one for each column without a pivot.

    Bit t of the answer for a column, `t < tail_bits`, is bit t of the tail; bit `tail_bits + f` is free parameter f.

    >>> solutions(eliminate([0b011, 0b110], [1, 0], 1), 3)  # x0 + x1 = 1, x1 + x2 = 0, and x0 is free
    [2, 3, 3]
    """
    answer: list[int] = []
    free = echelon.tail_bits
    for column in range(num_columns):
        if column not in echelon.pivots:
            answer.append(1 << free)
            free += 1
            continue
        packed = echelon.pivots[column]
        total = packed & ((1 << echelon.tail_bits) - 1)
        lower = (packed >> echelon.tail_bits) ^ (1 << column)
        for other in unpacked([lower], column)[0].nonzero()[0].tolist():
            total ^= answer[other]
        answer.append(total)
    return answer


def unpacked(vectors: Sequence[int], width: int) -> UInt8[np.ndarray, "vectors width"]:
    """Bits of whole numbers, lowest first.

    >>> unpacked([6, 1], 4).tolist()
    [[0, 1, 1, 0], [1, 0, 0, 0]]
    """
    num_bytes = -(-width // 8)
    packed = np.frombuffer(b"".join(v.to_bytes(num_bytes, "little") for v in vectors), np.uint8)
    return np.unpackbits(packed.reshape(len(vectors), num_bytes), axis=1, bitorder="little")[:, :width]


def combined(
    bits: UInt8[np.ndarray, "samples inputs"], matrix: UInt8[np.ndarray, "outputs inputs"]
) -> UInt8[np.ndarray, "samples outputs"]:
    """`matrix @ bits` modulo 2 for every sample.

    >>> combined(np.array([[1, 1, 0]], np.uint8), np.array([[1, 1, 1], [0, 1, 0]], np.uint8)).tolist()
    [[0, 1]]
    """
    # BLAS knows no whole numbers; sums of up to 2**24 ones are exact in float32.
    product = bits.astype(np.float32) @ matrix.T.astype(np.float32)
    return (product.astype(np.int32) & 1).astype(np.uint8)
