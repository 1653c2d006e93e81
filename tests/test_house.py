"""The house: imports follow the data flow, rooms stay small, and nothing unsafe moves in."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lehr

SOURCE = Path(lehr.__file__).parent

# The order of the data flow, written down once: a module imports only what stands above it.
ROOMS = [
    "_version",
    "_types",
    "_files",
    "_netcdf",
    "gf2",
    "shares",
    "problem/base",
    "problem/_arguments",
    "problem/chain",
    "problem/edwards_anderson",
    "problem/sherrington_kirkpatrick",
    "problem/wishart",
    "problem/newman_moore",
    "problem/__init__",  # gathers the families
    "problem/families",
    "problem/pairwise",
    "problem/convert",
    "problem/qubo",
    "problem/source",
    "problem/json_format",
    "problem/bqm_file",
    "problem/edge_files",
    "problem/qubo_file",
    "problem/io",
    "exact/__init__",
    "exact/walsh",
    "exact/enumeration",
    "exact/parity",
    "exact/newman_moore",
    "exact/symmetric_sector",
    "exact/quantum",
    "exact/spectral",
    "exact/chain",
    "exact/_lattice",
    "exact/_pairing",
    "exact/matching",
    "exact/transfer",
    "exact/kac_ward",
    "exact/decomposition",
    "exact/choose",
    "symmetry",
    "ansatz/__init__",
    "ansatz/affine",
    "ansatz/scores",
    "ansatz/base",
    "ansatz/order",
    "ansatz/dissection",
    "ansatz/blocks",
    "native/__init__",
    "native/adam",
    "native/linear",
    "ansatz/cells",
    "ansatz/products",
    "ansatz/hearing",
    "ansatz/scan",
    "native/recurrent",
    "native/tiles",
    "native/pallas",
    "ansatz/recurrent",
    "ansatz/rnn1d",
    "ansatz/rnn2d",
    "ansatz/dilated",
    "ansatz/linear",
    "ansatz/symmetrised",
    "ansatz/choose",
    "schedule",
    "objective",
    "optimise",
    "anneal",
    "settings",
    "baseline/__init__",
    "baseline/settings",
    "preset",
    "engine",
    "processes",
    "batch",
    "baseline/tables",
    "baseline/kernels",
    "baseline/walkers",
    "plan",
    "states",
    "tracking",
    "result",
    "refine",
    "checkpoint",
    "progress",
    "tensorboard",
    "run_folder",
    "solve",
    "branches",
    "metrics",
    "pca",
    "compare",
    "tune",
    "sampler",
    "tasks",
    "mirror",
    "cluster",
    "landscape/snapshot",
    "landscape/loss",
    "landscape/scan",
    "landscape/relief",
    "landscape/trajectory",
    "landscape/curvature",
    "landscape/__init__",  # gathers what is computed
    "landscape/picture",
    "plot",
    "landscape/survey",
    "sweep/spec",
    "sweep/grid",
    "sweep/statistics",
    "sweep/table",
    "sweep/run",
    "sweep/__init__",  # gathers what sweeps
    "report/scale",
    "report/charts",
    "report/page",
    "report/state",
    "report/run",
    "report/studies",
    "report/__init__",  # gathers the pages
    "reproduce/figure",
    "reproduce/statistics",
    "reproduce/verdict",
    "reproduce/follow",
    "reproduce/paper_b",
    "reproduce/paper_a",
    "reproduce/residual",
    "reproduce/residual_words",
    "reproduce/along",
    "reproduce/pictures",
    "reproduce/residual_pictures",
    "reproduce/chains",
    "reproduce/spin_glasses",
    "reproduce/dense",
    "reproduce/histograms",
    "reproduce/principal",
    "reproduce/lattice",
    "reproduce/free_energy",
    "reproduce/ground_energy",
    "reproduce/ground_samples",
    "reproduce/collapse",
    "reproduce/landscape_study",
    "reproduce/landscape_words",
    "reproduce/landscapes",
    "reproduce/__init__",  # gathers the figures
    "cli/output",
    "cli/problems",
    "cli/runs",
    "cli/studies",
    "cli/sweeps",
    "cli/tuning",
    "cli/info",
    "cli/__init__",  # gathers the commands
    "cli/__main__",
    "__init__",
]

MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 60
MOST_PUBLIC_NAMES = 45
UNSAFE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

files = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").as_posix()


def imported(tree: ast.AST) -> set[str]:
    """Full names of everything imported anywhere in a module."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_room(name: str) -> str | None:
    """The room that `name` (`lehr.a.b` or `lehr.a.b.thing`) lies in; None where it is not Lehr's."""
    if name.split(".")[0] != "lehr":
        return None
    parts = name.split(".")[1:]
    while parts:
        if SOURCE.joinpath(*parts).with_suffix(".py").is_file():
            return "/".join(parts)
        if SOURCE.joinpath(*parts, "__init__.py").is_file():
            return "/".join([*parts, "__init__"])
        parts.pop()
    return "__init__"


def test_every_room_is_listed_once():
    assert len(set(ROOMS)) == len(ROOMS)
    rooms = {room(path) for path in files}
    assert rooms - set(ROOMS) == set(), "add the new module to ROOMS, at its place in the data flow"
    assert set(ROOMS) - rooms == set(), "ROOMS lists a module that does not exist"


@pytest.mark.parametrize("path", files, ids=room)
def test_a_module_imports_only_what_stands_above_it(path):
    place = ROOMS.index(room(path))
    for name in imported(ast.parse(path.read_text())):
        source = own_room(name)
        if source is not None and source != room(path):
            assert ROOMS.index(source) < place, f"{room(path)} must not import {name}"


@pytest.mark.parametrize("path", files, ids=room)
def test_rooms_and_functions_stay_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first, last = node.body[0], node.end_lineno
            assert last is not None
            documented = ast.get_docstring(node) is not None
            docstring = first.end_lineno - first.lineno + 1 if documented else 0
            assert last - node.lineno + 1 - docstring <= MOST_FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", files, ids=room)
def test_nothing_that_can_run_a_strangers_code(path):
    text = path.read_text()
    assert not {name.split(".")[0] for name in imported(ast.parse(text))} & UNSAFE
    assert not re.search(r"allow_pickle\s*=\s*True", text)


@pytest.mark.parametrize("path", [*files, *sorted(Path(__file__).parent.glob("*.py"))], ids=lambda p: p.name)
def test_nothing_is_left_for_later(path):
    left = re.findall(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", path.read_text())
    assert not left


def test_few_public_names_and_all_of_them_exist():
    names = lehr.__all__
    assert len(names) <= MOST_PUBLIC_NAMES
    assert len(set(names)) == len(names)
    assert all(hasattr(lehr, name) for name in names)


def test_nothing_is_loaded_before_it_is_used():
    """Parts of SciPy, the kernels' compiler and the plots take seconds, and few runs need them."""
    code = "import lehr, sys; print({'.'.join(name.split('.')[:2]) for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in ("scipy.sparse", "scipy.linalg", "scipy.special", "scipy.optimize", "numba", "matplotlib"):
        assert f"'{name}'" not in loaded, f"import {name} where it is used"
