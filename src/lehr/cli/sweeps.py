"""The command that runs grids of problems, settings and seeds."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lehr.cli.output import FAILURE, leave, tell_step


def sweep(
    spec: Annotated[Path, typer.Argument(help="TOML file: problems, settings and seeds.", metavar="SPEC.toml")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to or to go on in, sweeps/SPEC.", metavar="DIR")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Solve many instances with many settings and seeds; the same call goes on where it was broken off."""
    from lehr.sweep import summary
    from lehr.sweep import sweep as run

    made = run(spec, out or Path("sweeps", spec.stem), report=tell_step)
    print(json.dumps(summary(made.data, made.failures)) if as_json else made.text)
    for file in made.files:
        print(f"written: {file}", file=sys.stderr)
    if made.failures:
        leave(f"{len(made.failures)} tasks failed twice; the same call tries them again", FAILURE)
