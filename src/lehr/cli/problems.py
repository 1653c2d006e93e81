"""Commands about problems: make one, and know its exact answer."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Family(StrEnum):
    """Families of problems that `generate` makes."""

    chain = "chain"
    ea = "ea"
    sk = "sk"
    wpe = "wpe"
    nm = "nm"


def generate(
    family: Family,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write; its suffix tells the format.")],
    size: Annotated[str, typer.Option(help="Number of spins, or the sides of a lattice: 10, 8x12 or 6x6x6.")],
    seed: Annotated[int | None, typer.Option(help="Seed of the couplings, 0 by default (not for nm).")] = None,
    couplings: Annotated[str | None, typer.Option(help="Law of the couplings (chain, ea).")] = None,
    boundary: Annotated[str | None, typer.Option(help="open or periodic (ea).")] = None,
    alpha: Annotated[float | None, typer.Option(help="Columns per spin of the Wishart matrix (wpe).")] = None,
    format: Annotated[str | None, typer.Option(help="Format, where the suffix does not tell it.")] = None,
) -> None:
    """Make a problem of a named family and write it to a file."""
    from lehr.problem.families import make_problem
    from lehr.problem.io import save_problem

    choices = {"seed": seed, "couplings": couplings, "boundary": boundary, "alpha": alpha}
    given = {name: value for name, value in choices.items() if value is not None}
    made = make_problem(family.value, size, given, spelt="--{}")
    save_problem(made, output, format)
    print(f"{made.name}: {made.num_spins} spins, {made.num_terms} terms, written to {output}", file=sys.stderr)


def exact(
    file: Annotated[Path, typer.Argument(help="Problem file.")],
    temperature: Annotated[list[float] | None, typer.Option(help="Give the free energy at T.", metavar="T")] = None,
    field: Annotated[
        list[float] | None, typer.Option(help="Give the energy in a transverse field.", metavar="G")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Format of FILE, where it does not tell.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the problem with its ground state.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find the exact ground energy of the problem in FILE, by the best method that applies."""
    from lehr.exact.choose import exact as find
    from lehr.problem.io import load_problem, save_problem

    reference = find(load_problem(file, format), temperatures=temperature or (), fields=field or ())
    if output is not None:
        save_problem(reference.solved_problem(), output, "json")
    print(json.dumps(reference.summary()) if as_json else reference)
