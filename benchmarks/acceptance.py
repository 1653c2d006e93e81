"""Does the command line find ground states with its defaults? Every case is one `lehr solve FILE --json`.

`python benchmarks/acceptance.py [NAME ...]` prints a table; the names are the keys of `CASES`. References are exact
(published oracles, planted states, tree decomposition) and found by other programs than Lehr's own annealing. Seeds
are fixed in advance: instances by their seeds, the solver by its default seed 0.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dimod
import networkx as nx
import numpy as np
from dwave.samplers import TreeDecompositionSolver

import lehr

ORACLES = json.loads((Path(__file__).parent.parent / "tests/data/oracles.json").read_text())


class Case(NamedTuple):
    """One file to solve, how, and the exact ground energy."""

    name: str
    path: Path
    options: list[str]
    ground_energy: float


def _lattice(side: int, seeds: range) -> Iterator[tuple[str, lehr.Problem, float]]:
    for seed in seeds:
        problem = lehr.edwards_anderson(side, seed=seed)
        yield f"ea{side}-{seed}", problem, ORACLES["EA"][str(side)][str(seed)] * side**2


def _large_lattice(side: int, seeds: range) -> Iterator[tuple[str, lehr.Problem, float]]:
    """Sizes without a published reference: minimum-weight matching."""
    for seed in seeds:
        problem = lehr.edwards_anderson(side, seed=seed)
        yield f"ea{side}-{seed}", problem, float(lehr.exact(problem).ground_energy)


def _saved(folder: Path, problems) -> Iterator[Case]:
    for name, problem, ground in problems:
        path = folder / f"{name}.json"
        lehr.save_problem(problem, path)
        yield Case(name, path, [], ground)


def _tree(bqm: dimod.BinaryQuadraticModel) -> float:
    return float(TreeDecompositionSolver().sample(bqm).first.energy)


def _gset(folder: Path) -> Iterator[Case]:
    graph = nx.random_regular_graph(3, 100, seed=7)
    weights = np.random.default_rng(7).choice([-1, 1], graph.number_of_edges())
    lines = [f"{i + 1} {j + 1} {w}" for (i, j), w in zip(graph.edges, weights, strict=True)]
    path = folder / "graph.txt"
    path.write_text("\n".join([f"100 {len(lines)}", *lines]) + "\n")
    ground = _tree(lehr.to_bqm(lehr.load_problem(path, "maxcut")))
    yield Case("maxcut-100", path, ["--format", "maxcut"], ground)


def _bqm(folder: Path) -> Iterator[Case]:
    rng = np.random.default_rng(11)
    graph = nx.connected_watts_strogatz_graph(80, 4, 0.1, seed=11)
    bqm = dimod.BinaryQuadraticModel(
        {f"x{v}": rng.normal() for v in graph},
        {(f"x{u}", f"x{v}"): rng.normal() for u, v in graph.edges},
        2.5,
        "BINARY",
    )
    path = folder / "labels.bqm"
    with bqm.to_file() as file:
        path.write_bytes(file.read())
    yield Case("bqm-labels", path, [], _tree(bqm))


def _dense(folder: Path) -> Iterator[Case]:
    listed = ORACLES["SK"].items()
    problems = ((f"sk100-{s}", lehr.sherrington_kirkpatrick(100, seed=int(s)), energy * 100) for s, energy in listed)
    return _saved(folder, problems)


def _planted(folder: Path, num_spins: int, alpha: float) -> Iterator[Case]:
    problems = ((f"wpe{num_spins}-{s}", lehr.wishart(num_spins, alpha, seed=s)) for s in range(1, 26))
    return _saved(folder, ((name, p, float(p.ground_energy)) for name, p in problems))


def _others(folder: Path) -> Iterator[Case]:
    chain = lehr.random_chain(64, "uniform", seed=1)
    yield from _saved(folder, [("chain64", chain, float(chain.ground_energy))])
    yield from _saved(folder, ((f"nm{side}", lehr.newman_moore(side), -(side**2) / 2) for side in (3, 4, 5)))


CASES = {
    "ea10": lambda folder: _saved(folder, _lattice(10, range(1, 13))),
    "ea20": lambda folder: _saved(folder, _lattice(20, range(1, 13))),
    "ea40": lambda folder: _saved(folder, _lattice(40, range(1, 13))),
    "ea64": lambda folder: _saved(folder, _large_lattice(64, range(1, 4))),
    "ea100": lambda folder: _saved(folder, _large_lattice(100, range(1, 3))),
    "sk": _dense,
    "wpe0.5": lambda folder: _planted(folder, 32, 0.5),
    "wpe0.25": lambda folder: _planted(folder, 32, 0.25),
    "wpe64": lambda folder: _planted(folder, 64, 0.5),
    "others": _others,
    "maxcut": _gset,
    "bqm": _bqm,
}


def main(names: list[str]) -> None:
    """Solve the cases and print what was found, and how long the whole process took."""
    for name in names or CASES:
        found, times = [], []
        with tempfile.TemporaryDirectory() as folder:
            for case in CASES[name](Path(folder)):
                started = time.perf_counter()
                command = [sys.executable, "-m", "lehr.cli", "solve", str(case.path), "--json", *case.options]
                answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                times.append(time.perf_counter() - started)
                gap = answer["best_energy"] - case.ground_energy
                found.append(abs(gap) < 1e-9 * max(1, abs(case.ground_energy)))
                verdict = "exact" if found[-1] else f"{gap:+.3g}"
                seconds = " ".join(f"{part} {value:.1f}" for part, value in answer["seconds"].items())
                print(f"  {case.name:<12} {verdict:<10} {times[-1]:6.1f} s  ({seconds})", flush=True)
        print(
            f"{name:<8} ground state in {sum(found)} of {len(found)}; "
            f"seconds per process: median {np.median(times):.1f}, largest {max(times):.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
