"""The Walsh-Hadamard transform of a sparse vector, in blocks: the energies of all states of a k-local problem."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int

MOST_BITS = 26
_BLOCK_BITS = 16  # half a megabyte, which stays in the cache of one core


def walsh_blocks(
    num_bits: int,
    masks: Int[np.ndarray, " m"],
    values: Float[np.ndarray, " m"],
    numbers: Iterable[int] | None = None,
) -> Iterator[tuple[int, Float[np.ndarray, " block"]]]:
    """Blocks of `f(x) = sum_m values[m] (-1)**popcount(masks[m] & x)` for the x of `num_bits` bits, in rising order.

    The high bits of x are fixed in a block: they turn into signs of the values, which are then added up by their low
    bits and transformed. The work is `2**num_bits * num_bits` steps, however many values there are.

    Args:
        num_bits: number of bits of x, 0 to `MOST_BITS`.
        masks: which bits each value depends on, 0 to `2**num_bits - 1`; equal masks add up.
        values: one number for each mask.
        numbers: the blocks wanted, by number; all of them where it is None.

    Yields:
        The first x of the block, and f in float64 for it and those that follow.

    Source: the fast Walsh-Hadamard transform, e.g. Fino and Algazi, IEEE Trans. Comput. C-25, 1142 (1976).

    >>> [(x, f.tolist()) for x, f in walsh_blocks(2, np.array([0, 1, 3]), np.array([10.0, 2.0, 1.0]))]
    [(0, [13.0, 7.0, 11.0, 9.0])]
    """
    low_bits = min(num_bits, _BLOCK_BITS)
    size = 1 << low_bits
    low, high = masks & (size - 1), masks >> low_bits
    for number in range(1 << (num_bits - low_bits)) if numbers is None else numbers:
        signs = 1 - 2 * (np.bitwise_count(high & number) & 1).astype(np.float64)
        block = np.bincount(low, weights=signs * values, minlength=size).astype(np.float64)  # whole numbers if empty
        yield number << low_bits, _transformed(block, low_bits)


def num_blocks(num_bits: int) -> int:
    """Number of blocks that `walsh_blocks` cuts the x of `num_bits` bits into.

    >>> num_blocks(10), num_blocks(20)
    (1, 16)
    """
    return 1 << max(num_bits - _BLOCK_BITS, 0)


def _transformed(block: Float[np.ndarray, " block"], num_bits: int) -> Float[np.ndarray, " block"]:
    """Butterflies, in plain sums: threads of BLAS get into each other's way on a busy machine."""
    for bits in (num_bits // 2, num_bits - num_bits // 2):
        # The high bits first, along long rows; the transpose makes the low bits the high ones.
        rows = block.reshape(1 << bits, -1)
        for bit in range(bits):
            pairs = rows.reshape(-1, 2, rows.shape[1] << bit)
            difference = pairs[:, 0] - pairs[:, 1]
            pairs[:, 0] += pairs[:, 1]
            pairs[:, 1] = difference
        block = np.ascontiguousarray(rows.T).reshape(-1)
    return block
