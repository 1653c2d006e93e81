"""Docstrings are prose with doctests: for the site, every doctest becomes a block of code."""

import re

import griffe

_DOCTEST = re.compile(r"(?:^>>> .*\n?)(?:^(?!\s*$).*\n?)*", re.MULTILINE)


def fenced(text: str) -> str:
    """The docstring with its doctests in fences; a fence that is there already stays as it is."""
    return _DOCTEST.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text)


class Doctests(griffe.Extension):
    """Fence the doctests of every docstring that is collected."""

    def on_instance(self, *, obj, **kwargs):
        """Called with every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
