"""The command line: it parses and calls, and computes nothing."""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lehr._types import InputError
from lehr._version import __version__

app = typer.Typer(
    help="Ground states of spin glasses, Ising, QUBO and higher-order problems by neural annealing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

BAD_INPUT, FAILURE, INTERRUPTED = 2, 1, 130


class Family(StrEnum):
    """Families of problems that `generate` makes."""

    chain = "chain"
    ea = "ea"
    sk = "sk"
    wpe = "wpe"
    nm = "nm"


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


def main() -> None:
    """Run the command line with Lehr's exit codes: 0 success, 2 bad input, 1 internal failure, 130 interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name="lehr")
    except InputError as error:
        _leave(" ".join(str(error).split()), BAD_INPUT)
    except SystemExit as error:
        if error.code == INTERRUPTED:  # typer turns KeyboardInterrupt into this
            _leave(
                "Interrupted; with --out, `lehr solve --resume DIR` goes on from the checkpoint, and the same "
                "`lehr compare`, `lehr landscape` or `lehr reproduce` with what is missing.",
                INTERRUPTED,
            )
        raise
    except Exception as error:
        if os.environ.get("LEHR_TRACEBACK"):
            raise
        _leave(f"{type(error).__name__}: {' '.join(str(error).split())} (LEHR_TRACEBACK=1 shows where)", FAILURE)


def _leave(message: str, code: int) -> None:
    print(f"lehr: {message}", file=sys.stderr)
    raise SystemExit(code)


@app.command()
def generate(
    family: Family,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write; its suffix tells the format.")],
    size: Annotated[str, typer.Option(help="Number of spins, or the side(s) of a lattice: 10 or 8x12.")],
    seed: Annotated[int | None, typer.Option(help="Seed of the couplings, 0 by default (not for nm).")] = None,
    couplings: Annotated[str | None, typer.Option(help="Law of the couplings (chain, ea).")] = None,
    boundary: Annotated[str | None, typer.Option(help="open or periodic (ea).")] = None,
    alpha: Annotated[float | None, typer.Option(help="Columns per spin of the Wishart matrix (wpe).")] = None,
    format: Annotated[str | None, typer.Option(help="Format, where the suffix does not tell it.")] = None,
) -> None:
    """Make a problem of a named family and write it to a file."""
    from lehr import problem as problems
    from lehr.problem.io import save_problem

    # Function, the choices it has, and along how many sides its spins can lie.
    function, allowed, dimensions = {
        Family.chain: (problems.random_chain, {"seed", "couplings"}, 1),
        Family.ea: (problems.edwards_anderson, {"seed", "couplings", "boundary"}, 2),
        Family.sk: (problems.sherrington_kirkpatrick, {"seed"}, 1),
        Family.wpe: (problems.wishart, {"seed", "alpha"}, 1),
        Family.nm: (problems.newman_moore, set(), 2),
    }[family]
    shape = _shape(size)
    choices = {"seed": seed, "couplings": couplings, "boundary": boundary, "alpha": alpha}
    options = {name: value for name, value in choices.items() if value is not None}
    for name in options:
        if name not in allowed:
            raise InputError(f"Argument `--{name}` must be left out for {family.value}, which has no such choice.")
    if family is Family.wpe and alpha is None:
        raise InputError("Argument `--alpha` must be given for wpe, but it is missing.")
    if len(shape) > dimensions:
        raise InputError(f"Argument `--size` must be one number for {family.value}, but it is {size}.")
    if "seed" in allowed:
        options.setdefault("seed", 0)
    made = function(shape[0] if len(shape) == 1 else shape, **options)
    save_problem(made, output, format)
    print(f"{made.name}: {made.num_spins} spins, {made.num_terms} terms, written to {output}", file=sys.stderr)


@app.command()
def solve(
    file: Annotated[Path | None, typer.Argument(help="Problem file (left out with --resume).")] = None,
    method: Annotated[Method | None, typer.Option(help="vca unless the preset says otherwise.")] = None,
    preset: Annotated[str | None, typer.Option(help="Named settings; `lehr info` lists them.")] = None,
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
    if resume is not None:
        if file is not None or out is not None or preset is not None or changes:
            raise InputError("Argument `--resume` must stand without FILE, --out, --preset and settings.")
        from lehr.solve import resume as go_on

        results = go_on(resume, checkpoint_seconds=checkpoint_seconds)
    else:
        if file is None:
            raise InputError("Argument `FILE` must be given, unless --resume is.")
        from lehr.problem.io import load_problem
        from lehr.solve import solve as find

        problem = load_problem(file, format)
        results = find(problem, preset=preset, out=out, checkpoint_seconds=checkpoint_seconds, **changes)
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
        _tell(lambda plot: plot.save_figures(results, folder / "figures"))


@app.command()
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


@app.command()
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
        lowest = min(rung.energies)
        print(f"{rung.method:<11}{rung.num_steps:>8} steps {rung.seconds:8.2f} s  best {lowest:.10g}", file=sys.stderr)

    problem = load_problem(file, format)
    comparison = side_by_side(
        problem, [method.strip() for method in methods.split(",")], seconds=seconds, seed=seed, out=out, report=report
    )
    print(json.dumps(comparison.summary()) if as_json else comparison)
    if out is not None:
        _tell(lambda plot: plot.save_comparison(comparison, out))


@app.command()
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
    from lehr.tasks import Step

    if figure == "list":
        print("\n".join(f"{found.name:<12} {found.title}" for found in FIGURES.values()))
        return

    def report(step: Step) -> None:
        ended = f"failed twice: {step.failure}" if step.failure else f"{step.seconds:.1f} s"
        point = ", ".join(map(str, step.point.values()))
        left = f", about {step.seconds_left / 60:.0f} min left" if step.seconds_left >= 60 else ""
        print(f"{step.number:>4}/{step.total}  {point}: {ended}{left}", file=sys.stderr, flush=True)

    made = make(find_figure(figure), scale, out or Path("reproduce", f"{figure}-{scale}"), report=report)
    print(made.text)
    for file in made.files:
        print(f"written: {file}", file=sys.stderr)
    if made.failures:
        _leave(f"{len(made.failures)} tasks failed twice; the text lists them, the same call tries them again", FAILURE)


@app.command()
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
    print(made.text)
    for file in made.files:
        print(f"written: {file}", file=sys.stderr)


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show versions, devices, which kernels are active, and the presets."""
    import platform
    from importlib.metadata import version

    import jax

    from lehr import native
    from lehr.preset import PRESETS

    kernels = native.status()
    packages = ("jax", "jaxlib", "equinox", "optax", "numpy", "dimod")
    facts: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "kernels": {"active": "native" if kernels.active else "xla", "reason": kernels.description},
        "presets": {
            name: {"description": preset.description, "settings": preset.settings.to_json()}
            for name, preset in PRESETS.items()
        },
    }
    if as_json:
        print(json.dumps(facts))
        return
    print(f"lehr {facts['version']}, Python {facts['python']}")
    print("packages  " + ", ".join(f"{name} {number}" for name, number in facts["packages"].items()))
    print("devices   " + ", ".join(facts["devices"]))
    print(f"kernels   {facts['kernels']['active']}: {facts['kernels']['reason']}")
    print("presets")
    for name, preset in PRESETS.items():
        print(f"  {name:<14} {preset.description}\n{'':17}{preset.settings.outline}")


def _refined(results: Any, folder: Path | None) -> Any:
    """What `solve` returned after local moves, which the run's folder gets, too."""
    from lehr.refine import refine
    from lehr.run_folder import RunFolder

    several = isinstance(results, list)
    refined = [refine(result) for result in (results if several else [results])]
    if folder is not None:
        RunFolder.open(folder).save(refined)
    return refined if several else refined[0]


def _shape(size: str) -> tuple[int, ...]:
    parts = size.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise InputError(
            f"Argument `--size` must be a number or two joined by x, like 10 or 8x12, but it is {size[:40]!r}."
        )
    return tuple(int(part) for part in parts)


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


def _tell(draw: Callable[[Any], list[Path]]) -> None:
    """Pictures, where matplotlib is installed."""
    try:
        from lehr import plot
    except ImportError:
        return
    for path in draw(plot):
        print(f"picture: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
