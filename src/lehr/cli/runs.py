"""Commands that search: one run, and several side by side."""

import json
import sys
from contextlib import ExitStack
from dataclasses import fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from lehr._types import InputError
from lehr.cli.output import tell, told_aside


class Method(StrEnum):
    """The four protocols, and the baselines."""

    vca = "vca"
    vqa = "vqa"
    rvqa = "rvqa"
    cqo = "cqo"
    sa = "sa"
    sqa = "sqa"
    pt = "pt"
    metropolis = "metropolis"


def solve(
    file: Annotated[Path | None, typer.Argument(help="Problem file (left out with --resume).")] = None,
    method: Annotated[Method | None, typer.Option(help="vca unless the preset says otherwise.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="Named settings (`lehr info` lists them), or a file of `lehr tune`.")
    ] = None,
    ansatz: Annotated[str | None, typer.Option(help="auto, linear, rnn1d, rnn2d or dilated.")] = None,
    steps: Annotated[int | None, typer.Option(help="Gradient steps or sweeps in all.")] = None,
    samples: Annotated[int | None, typer.Option(help="Final samples of each replica.")] = None,
    replicas: Annotated[int | None, typer.Option(help="Independent networks or reads.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    temperature: Annotated[tuple[float, float] | None, typer.Option(help="Start and stop.", metavar="T T")] = None,
    field: Annotated[tuple[float, float] | None, typer.Option(help="Start and stop.", metavar="G G")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any setting: NAME=VALUE.", metavar="NAME=V")] = None,
    format: Annotated[str | None, typer.Option(help="Format of FILE, where it does not tell.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the run.", metavar="DIR")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.", metavar="DIR")] = None,
    checkpoint_seconds: Annotated[float, typer.Option(help="Seconds between checkpoints.")] = 60.0,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's curves.", metavar="DIR")] = None,
    distributed: Annotated[
        str | None,
        typer.Option(help="One of several processes: auto (Slurm, MPI), or HOST:PORT,COUNT,INDEX.", metavar="HOW"),
    ] = None,
    refine: Annotated[bool, typer.Option("--refine", help="Go on with local moves from what was found.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find low-energy states of the problem in FILE."""
    given = {
        "method": None if method is None else method.value,
        "ansatz": ansatz,
        "num_steps": steps,
        "num_final_samples": samples,
        "replicas": replicas,
        "seed": seed,
        "temperature": temperature,
        "transverse_field": field,
    }
    changes = {name: value for name, value in given.items() if value is not None} | _assignments(set_ or [])
    if resume is not None and (file is not None or out is not None or preset is not None or changes):
        raise InputError("Argument `--resume` must stand without FILE, --out, --preset and settings.")
    given = {"preset": preset, "out": out, **changes}
    results = _found(file, format, resume, given, checkpoint_seconds, tensorboard, distributed)
    if results is None:
        return
    folder = out or resume
    if refine:
        results = _refined(results, folder)
    if as_json:
        several = isinstance(results, list)
        for line in [line for result in (results if several else [results]) for line in result.warnings]:
            print(f"warning: {line}", file=sys.stderr)
        print(json.dumps({"results": [r.summary() for r in results]} if several else results.summary()))
    else:
        print(*(results if isinstance(results, list) else [results]), sep="\n")
    if folder is not None and not isinstance(results, list):
        tell(lambda plot: plot.save_figures(results, folder / "figures"))


def compare(
    file: Annotated[Path, typer.Argument(help="Problem file.")],
    methods: Annotated[str, typer.Option(help="Methods, joined by commas.")] = "vca,sa,sqa,pt",
    seconds: Annotated[float, typer.Option(help="Seconds for each method, without compilation.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    format: Annotated[str | None, typer.Option(help="Format of FILE, where it does not tell.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the numbers and the picture.", metavar="DIR")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare methods on the problem in FILE: residual energy and time to solution, with error bars."""
    from lehr.compare import Rung
    from lehr.compare import compare as side_by_side
    from lehr.problem.io import load_problem

    def report(rung: Rung) -> None:
        told = [f"best {rung.lowest:.10g}"] * bool(rung.energies) + [rung.failures] * bool(rung.diverged)
        print(f"{rung.method:<11}{rung.num_steps:>8} steps {rung.seconds:8.2f} s  {', '.join(told)}", file=sys.stderr)

    problem = load_problem(file, format)
    comparison = side_by_side(
        problem, [method.strip() for method in methods.split(",")], seconds=seconds, seed=seed, out=out, report=report
    )
    print(json.dumps(comparison.summary()) if as_json else comparison)
    if out is not None:
        tell(lambda plot: plot.save_comparison(comparison, out))


def _found(
    file: Path | None,
    format: str | None,
    resume: Path | None,
    given: dict[str, Any],
    checkpoint_seconds: float,
    tensorboard: Path | None,
    distributed: str | None,
) -> Any:
    """What `solve` or `resume` returned; nothing in a process that is not the first of several."""
    from lehr.problem.io import load_problem
    from lehr.processes import is_first, join
    from lehr.solve import resume as go_on
    from lehr.solve import solve as find

    with ExitStack() as stack:
        if distributed is not None:
            stack.enter_context(told_aside())
            join(distributed)
        watch: dict[str, Any] = {"checkpoint_seconds": checkpoint_seconds}
        if tensorboard is not None:
            from lehr.tensorboard import TensorBoard

            board = stack.enter_context(TensorBoard(tensorboard, go_on=resume is not None))
            watch["callback"] = board if is_first() else None
        if resume is not None:
            begin = partial(go_on, resume)
        elif file is not None:
            begin = partial(find, load_problem(file, format), **given)
        else:
            raise InputError("Argument `FILE` must be given, unless --resume is.")
        results = begin(**watch)
        return results if is_first() else None


def _refined(results: Any, folder: Path | None) -> Any:
    """What `solve` returned after local moves, which the run's folder gets, too."""
    from lehr.refine import refine
    from lehr.run_folder import RunFolder

    several = isinstance(results, list)
    refined = [refine(result) for result in (results if several else [results])]
    if folder is not None:
        RunFolder.open(folder).save(refined)
    return refined if several else refined[0]


def _assignments(pairs: list[str]) -> dict[str, Any]:
    """`NAME=VALUE` settings, their values as JSON where they are JSON and as text elsewhere."""
    from lehr.baseline.settings import BaselineSettings
    from lehr.settings import Settings

    kinds = {"num_steps": int} | {
        field.name: field.type for kind in (BaselineSettings, Settings) for field in fields(kind)
    }
    settings = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise InputError(f"Argument `--set` must look like NAME=VALUE, but it is {pair!r}.")
        if name not in kinds:
            raise InputError(f"Argument `{name}` must be a setting, but the settings are: {', '.join(kinds)}.")
        try:
            settings[name] = json.loads(value)
        except (ValueError, RecursionError):
            settings[name] = value
        if kinds[name] is str and not isinstance(settings[name], str):
            settings[name] = value  # say a method called null
    return settings
