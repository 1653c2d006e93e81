"""What is special about the Newman-Moore model: its number of ground states and how far apart they are, in closed form.

Free energy, density of states, ground states and samples come from `lehr.exact.parity`.
"""

from collections.abc import Sequence

from lehr.exact.parity import weight_counts
from lehr.problem._arguments import checked_shape
from lehr.problem.newman_moore import newman_moore


def degeneracy_exponent(shape: int | Sequence[int]) -> int:
    """The k of the 2^k ground states of the Newman-Moore model on an Lx x Ly torus.

    It is the degree of the greatest common divisor of `x^Lx + 1` and `(1 + x)^Ly + 1` over GF(2). It is 0 where a
    side is a power of two, and L - 1 for a square with `L = 2^n - 1`.

    Args:
        shape: side L of a square torus, or (Lx, Ly).

    Raises:
        InputError: for sides below 1 or more than 10 million sites.

    Source: the ground states are the configurations of a cellular automaton (Rule 60) that return after Ly steps;
    Martin, Odlyzko and Wolfram, Commun. Math. Phys. 93, 219 (1984).

    >>> [degeneracy_exponent(side) for side in (3, 5, 6, 7, 16, 31)]
    [2, 0, 4, 6, 0, 30]
    >>> degeneracy_exponent((3, 6)), degeneracy_exponent((6, 9))
    (2, 2)
    """
    columns, rows = checked_shape(shape)
    power = 1
    for _ in range(rows):
        power ^= power << 1  # times 1 + x
        if power >> columns:
            power ^= 1 << columns | 1  # modulo x^Lx + 1
    a, b = 1 << columns | 1, power ^ 1
    while b:
        a, b = b, _remainder(a, b)
    return a.bit_length() - 1


def weight_enumerator(shape: int | Sequence[int]) -> dict[int, int]:
    """How many ground states of the Newman-Moore model (J > 0) differ from all-down in how many spins.

    These are also the sets of triangles in which every site occurs an even number of times, by their size, which
    determine the free energy and the density of states.

    Args:
        shape: side L of a square torus, or (Lx, Ly), with at most 2^26 ground states. All squares of side up to 27
            take seconds, side 28 (2^24 ground states) half a minute; sides 30 and 31 have too many.

    Returns:
        `{number of spins: number of ground states}`; the numbers of ground states sum to 2^k.

    Raises:
        InputError: for sides below 1, or more ground states or sites than can be enumerated.

    Source: enumeration of the left kernel of the triangles' incidence matrix over GF(2).

    >>> weight_enumerator(6)
    {0: 1, 18: 12, 24: 3}
    """
    return weight_counts(newman_moore(checked_shape(shape)))


def _remainder(a: int, b: int) -> int:
    """Remainder of polynomials over GF(2), packed into whole numbers."""
    while (shift := a.bit_length() - b.bit_length()) >= 0:
        a ^= b << shift
    return a
