"""Tables of the generated pages."""

import re
from collections.abc import Iterable, Sequence

from lehr.reproduce import figure


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars in its cells are escaped, but for those in code, which part nothing.

    >>> print(table(["a", "b"], [["`p(x|y)`", "x|y"]]))
    | a | b |
    | --- | --- |
    | `p(x|y)` | x\\|y |
    <BLANKLINE>
    """
    return figure.table([[_escaped(cell) for cell in row] for row in (heads, *rows)]) + "\n"


def _escaped(cell: str) -> str:
    return re.sub(r"(`[^`]*`)|[|]", lambda found: found[1] or chr(92) + "|", cell)
