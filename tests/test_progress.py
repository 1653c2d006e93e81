"""The progress bar: a stranger's title is text, whatever it holds."""

import pytest

from lehr.progress import Bar, Report


@pytest.mark.parametrize("title", ["a[/b]", "[bold", "two\nlines\x1b[2J", "\ud800", "{task}"])
def test_any_title_is_shown(title, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    with Bar(show=True, title=title) as bar:
        for step in (1, 2):
            bar.update(Report(step, 2, 1.0, 0.0, -1.0, -2.0, -3.0, 10.0))
    shown = capsys.readouterr().err
    assert "".join(c if c.isprintable() else "?" for c in title) in shown
    assert "2/2" in shown
