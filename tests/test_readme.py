"""What the README shows can be typed in and works."""

import re
from pathlib import Path

import pytest

import lehr

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.usefixtures("optimised")
def test_python_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 2
    names = {}
    exec("\n".join(examples), names)
    assert names["result"].best_energy == pytest.approx(-70.77779215906)
    assert lehr.Result.load("runs/ea").best_energy == names["result"].best_energy


def test_presets_and_files_named_exist():
    for name in re.findall(r"`([ab]-[a-z0-9]+-[a-z]+)`", README):
        assert name in lehr.PRESETS
    for path in re.findall(r"(?:benchmarks|tests|docs)/[\w/]+\.\w+", README):
        assert (Path(__file__).parent.parent / path).exists()
