"""Commands that look closer: pages about a folder, figures of the papers, and the loss around a network."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lehr.cli.output import FAILURE, leave, tell_step


def report(
    folder: Annotated[Path, typer.Argument(help="The --out of `solve`, `compare` or `sweep`.", metavar="DIR")],
) -> None:
    """Write one HTML page about what is in DIR, report.html, for any browser, without a network."""
    from lehr.report import report as write

    print(f"written: {write(folder)}", file=sys.stderr)


def reproduce(
    figure: Annotated[str, typer.Argument(help="Name of a figure, or `list`.", metavar="list|FIGURE")],
    scale: Annotated[str, typer.Option(help="smoke (seconds), laptop (minutes) or paper (its own size).")] = "laptop",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to or to go on in, reproduce/FIGURE-SCALE.", metavar="DIR")
    ] = None,
) -> None:
    """Make a figure of the papers again and say whether it holds; `list` names them."""
    from lehr.reproduce import FIGURES, find_figure
    from lehr.reproduce.figure import make

    if figure == "list":
        print("\n".join(f"{found.name:<12} {found.title}" for found in FIGURES.values()))
        return

    found = find_figure(figure)
    made = make(found, scale, out or Path("reproduce", f"{found.measurement}-{scale}"), report=tell_step)
    print(made.text)
    for file in made.files:
        print(f"written: {file}", file=sys.stderr)
    if made.failures:
        leave(f"{len(made.failures)} tasks failed twice; the text lists them, the same call tries them again", FAILURE)


def landscape(
    folder: Annotated[Path, typer.Argument(help="Folder of a run: the --out of `lehr solve`.", metavar="DIR")],
    grid: Annotated[int, typer.Option(help="Points along each of the two directions.")] = 51,
    extent: Annotated[float, typer.Option(help="How far along each direction, both ways.")] = 1.0,
    samples: Annotated[int | None, typer.Option(help="Samples at each point, those of a training step.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the directions and of the samples.")] = 0,
    directions: Annotated[str, typer.Option(help="gaussian, norm or filter: how long they are.")] = "gaussian",
    common: Annotated[bool, typer.Option("--common", help="The same random numbers at every point.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Sum over all states, no noise: up to 16 spins.")] = False,
    temperature: Annotated[float | None, typer.Option(help="By default that of the next step.", metavar="T")] = None,
    field: Annotated[float | None, typer.Option(help="By default that of the next step.", metavar="G")] = None,
    replica: Annotated[int, typer.Option(help="Which of the run's networks.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to write to, DIR/figures.", metavar="DIR")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the loss around the network of the run in DIR, on a plane of two random directions."""
    from lehr.landscape.snapshot import from_folder
    from lehr.landscape.survey import survey
    from lehr.progress import Counter

    snapshot = from_folder(folder, replica=replica).at(temperature=temperature, field=field)
    options = {"grid": grid, "extent": extent, "kind": directions, "seed": seed, "num_samples": samples}
    with Counter(None, f"landscape {snapshot.problem.name}") as counter:
        made = survey(
            snapshot, out or folder / "figures", **options, common=common, exact=exact,
            report=lambda step: counter.update(step.number, step.total),
        )  # fmt: skip
    print(json.dumps(made.summary) if as_json else made.text)
    for file in made.files:
        print(f"written: {file}", file=sys.stderr)
