"""Reports: one page of HTML for a run, a comparison or a sweep, with no need of any other file."""

from pathlib import Path

from lehr._files import one_line, written_whole
from lehr._types import InputError
from lehr.report.run import run_page
from lehr.report.studies import comparison_page, sweep_page
from lehr.result import Result

_REPORT = "report.html"


def report(folder: str | Path) -> Path:
    """Write `report.html` into a folder of `lehr solve`, `lehr compare` or `lehr sweep`, and return its path.

    The page holds its pictures, their numbers and all that moves them: it needs no network and no other file.

    Errors: `InputError` in one line where the folder holds nothing whole to report on, or cannot be written.

    >>> import tempfile
    >>> from lehr import random_chain, solve
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = solve(random_chain(6, seed=0), "sa", num_steps=10, out=folder)
    ...     "best energy" in report(folder).read_text(encoding="utf-8")
    True
    """
    folder = Path(folder)
    pages = {
        "run.json": lambda file: run_page(Result.load(file.parent), file.parent),
        "comparison.json": comparison_page,
        "sweep.nc": sweep_page,
    }
    if (folder / "instance-0000").is_dir():
        raise InputError(
            f"Argument `folder` must hold one run, but `{folder}` holds several: name one, instance-0000 say."
        )
    for name, make in pages.items():
        if (folder / name).exists():
            return _write(folder / _REPORT, make(folder / name))
    raise InputError(f"Argument `folder` must hold {', '.join(pages)}, but `{folder}` holds none of them.")


def _write(file: Path, text: str) -> Path:
    try:
        with written_whole(file) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"File `{file}` cannot be written: {one_line(error)}.") from None
    return file
