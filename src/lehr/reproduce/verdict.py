"""Verdicts: whether a paper's statement holds, by what was measured."""

from collections.abc import Sequence
from typing import NamedTuple

HOLDS, FAILS, UNSEEN, UNMEASURED = "holds", "does not hold", "was not seen", "not measured"
MORE = "more than claimed"
VERDICTS = (HOLDS, FAILS, UNSEEN, UNMEASURED, MORE)


class Statement(NamedTuple):
    """A paper's statement, whether it holds, whether anything was measured of it, and what was seen; `otherwise` is the
    word where it does not hold."""

    claim: str
    holds: bool
    measured: bool
    seen: str
    otherwise: str = FAILS


def untested(claim: str) -> Statement:
    """A paper's statement of which nothing was measured."""
    return Statement(claim, holds=False, measured=False, seen="")


def judgement(holds: bool, measured: bool, otherwise: str = FAILS) -> str:
    """The word of a verdict; a statement of which nothing was measured neither holds nor fails.

    >>> judgement(True, True), judgement(False, True, UNSEEN), judgement(True, False)
    ('holds', 'was not seen', 'not measured')
    """
    if not measured:
        return UNMEASURED
    return HOLDS if holds else otherwise


def judged(statements: Sequence[Statement]) -> str:
    """Statements as items of a Markdown list, each with its verdict and what was seen.

    >>> print(judged([Statement("It rains", True, True, "on 3 of 4 days"), untested("It snows")]))
    * It rains: **holds**; on 3 of 4 days.
    * It snows: **not measured**.
    """
    return "\n".join(
        f"* {one.claim}: **{judgement(one.holds, one.measured, one.otherwise)}**"
        f"{f'; {one.seen}' if one.measured else ''}."
        for one in statements
    )
