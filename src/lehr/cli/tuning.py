"""The command that searches settings for a family of problems."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def tune(
    files: Annotated[list[Path], typer.Argument(help="Problem files of the family.", metavar="FILE...")],
    method: Annotated[str, typer.Option(help="vca, vqa, rvqa or cqo.")] = "vca",
    seconds: Annotated[float, typer.Option(help="Seconds for all of it.")] = 600.0,
    ansatz: Annotated[str, typer.Option(help="Ansätze to choose from, joined by commas.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    format: Annotated[str | None, typer.Option(help="Format of the files, where they do not tell.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to or to go on in, tune/FILE.", metavar="DIR")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search learning rate, schedule, ansatz and replicas for problems like these, and write a preset for `solve`."""
    from lehr.problem.io import load_problem
    from lehr.tune import PRESET, Trial, told_changes
    from lehr.tune import tune as search

    def report(trial: Trial) -> None:
        ended = "diverged" if trial.score is None else f"{trial.score:.9g}"
        told = f"{trial.number:>4}  {ended:<14} {told_changes(trial.changes)}"
        print(f"{told}, {trial.seconds_left:.0f} s left", file=sys.stderr, flush=True)

    folder = out or Path("tune", files[0].stem)
    problems = [load_problem(file, format) for file in files]
    names = [name.strip() for name in ansatz.split(",")]
    tuned = search(problems, method, seconds=seconds, seed=seed, ansatze=names, out=folder, report=report)
    print(json.dumps(tuned.summary()) if as_json else tuned)
    print(f"written: {folder / PRESET}", file=sys.stderr)
