"""The pages of the reference: every public name, rooms that users need, and the commands with their options."""

from typing import Any

import typer
from tables import table
from typer.main import get_command

import lehr
from lehr.cli import app

# Page, its title, and its parts: the public names, and what is imported from rooms.
PAGES = {
    "problems": ("Problems", {
        "Problems": ["Problem", "Lattice"],
        "Families": ["random_chain", "edwards_anderson", "sherrington_kirkpatrick", "wishart", "newman_moore"],
        "Objects of other libraries": ["from_bqm", "to_bqm", "from_polynomial", "to_polynomial", "from_qubo", "to_qubo",
                                       "from_ising", "to_ising", "from_graph", "to_graph"],
        "Files": ["load_problem", "save_problem", "lehr.problem.io"],
        "Exact answers": ["exact"],
    }),
    "networks": ("Networks and schedules", {
        "Ansätze": ["Ansatz", "SiteOrder", "Linear", "RNN1D", "RNN2D", "DilatedRNN", "build_ansatz"],
        "Symmetries": ["lehr.symmetry.symmetries", "lehr.ansatz.symmetrised.symmetrised"],
        "Schedules": ["Schedule", "Controls", "LinearRamp", "GeometricRamp", "InverseRamp", "TableRamp"],
        "Training": ["VariationalAnnealing", "lehr.anneal.State", "lehr.anneal.Info", "lehr.optimise.NaturalGradient"],
    }),
    "solving": ("Solving and results", {
        "Solving": ["solve", "resume", "refine", "compare", "Sampler"],
        "Settings": ["Settings", "lehr.baseline.settings.BaselineSettings", "PRESETS"],
        "Results": ["Result", "lehr.tracking.Tracking", "lehr.branches.lower_envelope"],
        "Errors": ["InputError", "DivergenceError"],
    }),
    "studies": ("Studies", {
        "Many runs": ["lehr.sweep.run.sweep", "lehr.tune.tune"],
        "Pages and pictures": ["lehr.report.report", "lehr.plot"],
        "Numbers": ["lehr.metrics", "lehr.pca.principal_components"],
        "Landscapes": ["lehr.landscape.snapshot.snapshots", "lehr.landscape.snapshot.from_folder",
                       "lehr.landscape.scan.plane", "lehr.landscape.relief.shape",
                       "lehr.landscape.curvature.hessian_eigenvalues", "lehr.landscape.trajectory.path"],
    }),
}  # fmt: skip
WITHOUT_PAGE = {"__version__"}


def canonical(name: str) -> str:
    """Where a name is defined, in full: several functions share their names with the rooms that they stand in."""
    if "." in name:
        return name
    return "lehr.preset.PRESETS" if name == "PRESETS" else f"{getattr(lehr, name).__module__}.{name}"


def reference_pages() -> dict[str, str]:
    """Every page of the reference, by its place on the site."""
    pages = {f"api/{page}.md": _page(*content) for page, content in PAGES.items()}
    return {"api/index.md": _index(), **pages, "api/commands.md": _commands()}


def _page(title: str, parts: dict[str, list[str]]) -> str:
    lines = [f"# {title}\n"]
    for part, names in parts.items():
        lines.append(f"## {part}\n")
        for name in names:
            lines.append(f"::: {canonical(name)}\n    options:\n      heading_level: 3")
            if "." in name:
                lines.append("      show_root_full_path: true")
            lines.append("")
        if "PRESETS" in names:
            rows = [(f"`{name}`", preset.description) for name, preset in lehr.PRESETS.items()]
            lines.append(table(("preset", "what it is for"), rows))
    return "\n".join(lines)


def _index() -> str:
    where = {name: page for page, (_, parts) in PAGES.items() for names in parts.values() for name in names}
    names = [name for name in lehr.__all__ if name not in WITHOUT_PAGE]
    rows = [(f"[`{name}`]({where[name]}.md#{canonical(name)})", _purpose(name)) for name in names]
    return "\n".join([
        "# Reference\n",
        "The public names of `lehr`, in the order of the data flow. What else these pages describe is imported from "
        "its room, such as `from lehr.report import report`. Signs and units: [Signs and conventions](../signs.md).\n",
        table(("name", ""), rows),
        "`lehr.__version__` is the version.\n",
    ])  # fmt: skip


def _purpose(name: str) -> str:
    """The first paragraph of a name's docstring."""
    if name == "PRESETS":
        return "Named settings."
    return " ".join((getattr(lehr, name).__doc__ or "").partition("\n\n")[0].split())


def _commands() -> str:
    lines = [
        "# Command line\n",
        "What `lehr COMMAND --help` says. Exit codes: 0 success, 2 bad input (one line on standard error says what), "
        "1 an internal failure, 130 interrupted.\n",
    ]
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        usage = " ".join(command.collect_usage_pieces(typer.Context(command, info_name=f"lehr {name}")))
        lines += [f"## lehr {name}\n", f"{command.help}\n", f"```\nlehr {name} {usage}\n```\n"]
        options = [option for option in command.params if option.param_type_name == "option" and option.name != "help"]
        lines.append(table(("option", "meaning", "default"), map(_option, options)))
    return "\n".join(lines)


def _option(option: Any) -> tuple[str, str, str]:
    default = "" if option.default in (None, False) else f"`{option.default}`"
    return ", ".join(f"`{spelt}`" for spelt in option.opts), option.help or "", default
