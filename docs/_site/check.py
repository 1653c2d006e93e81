"""The built site asks no network for anything: `python docs/_site/check.py build/site` fails where a page does."""

import re
import sys
from pathlib import Path

_LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|link)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\s\">]+)", re.I
)
_STYLE = re.compile(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\s\"')]+)", re.I)


def foreign(text: str) -> list[str]:
    """What a page or a style sheet would load from elsewhere; links that a reader may follow are none of these.

    >>> foreign('<a href="https://arxiv.org">A</a> <img src="images/a.png"> <script src="//cdn.example/a.js">')
    ['//cdn.example/a.js']
    >>> foreign('body { background: url(https://cdn.example/a.png) }')
    ['https://cdn.example/a.png']
    """
    return _LOADED.findall(text) + _STYLE.findall(text)


if __name__ == "__main__":
    pages = [path for path in Path(sys.argv[1]).rglob("*") if path.suffix in (".html", ".css")]
    found = {str(path): foreign(path.read_text()) for path in pages}
    for page, sources in found.items():
        for source in sources:
            print(f"{page} loads {source}", file=sys.stderr)
    sys.exit(any(found.values()) or not pages)
