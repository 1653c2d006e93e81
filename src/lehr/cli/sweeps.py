"""The command that runs grids of problems, settings and seeds."""

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lehr._types import InputError
from lehr.cli.output import FAILURE, leave, tell_step, told_aside


class Engine(StrEnum):
    """What runs the tasks."""

    local = "local"
    ray = "ray"


def sweep(
    spec: Annotated[Path, typer.Argument(help="TOML file: problems, settings and seeds.", metavar="SPEC.toml")],
    out: Annotated[
        str | None, typer.Option(help="Folder or URL to write to or to go on in, sweeps/SPEC.", metavar="DIR")
    ] = None,
    engine: Annotated[Engine, typer.Option(help="local: one task after the other; ray: on a cluster.")] = Engine.local,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster: auto, HOST:PORT or local.")] = None,
    cpus: Annotated[float | None, typer.Option(help="Processors of each task on Ray, 1 by default.")] = None,
    gpus: Annotated[float | None, typer.Option(help="Devices of each task on Ray, 0 by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Solve many instances with many settings and seeds; the same call goes on where it was broken off."""
    from lehr.sweep import summary
    from lehr.sweep import sweep as run
    from lehr.tasks import in_turn

    choices = {"address": address, "cpus": cpus, "gpus": gpus}
    given = {name: value for name, value in choices.items() if value is not None}
    if engine is Engine.local:
        if given:
            raise InputError(f"Argument `--{next(iter(given))}` must stand with --engine ray, but it does not.")
        tasks: AbstractContextManager[Any] = nullcontext(in_turn)
    else:
        from lehr.cluster import on_ray

        tasks = on_ray(**given)
    # Ray tells on standard output what befalls nodes.
    with told_aside(), tasks as chosen:
        made = run(spec, out or Path("sweeps", spec.stem), report=tell_step, engine=chosen)
    print(json.dumps(summary(made.data, made.failures)) if as_json else made.text)
    for file in made.files:
        print(f"written: {file}", file=sys.stderr)
    if made.failures:
        leave(f"{len(made.failures)} tasks failed twice; the same call tries them again", FAILURE)
