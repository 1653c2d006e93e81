"""Tables of the generated pages."""

import re
from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars in its cells are escaped, but for those in code, which part nothing.

    >>> print(table(["a", "b"], [["`p(x|y)`", "x|y"]]))
    | a | b |
    |---|---|
    | `p(x|y)` | x\\|y |
    <BLANKLINE>
    """
    lines = [_row(heads), "|---" * len(heads) + "|", *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return (
        f"| {' | '.join(re.sub(r'(`[^`]*`)|[|]', lambda found: found[1] or chr(92) + '|', cell) for cell in cells)} |"
    )
