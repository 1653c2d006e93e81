"""What a training step costs: by kernels, by XLA alone, beside NetKet and beside a matrix product on the same cores.

`python benchmarks/speed.py [--rounds 3] [--out FOLDER] [CASE ...]` (or `make bench`) prints a table and writes it with
a description of the machine to FOLDER (default `benchmarks/results`): `speed.json`, and the cost against the number of
spins as a picture. Every measurement is a process of its own; a round runs all of them once, in turn, so that a machine
that is slow for a while is slow for all, and ratios are taken within a round. NetKet is measured where it is installed
(`pip install '.[bench]'`).

A case is a network and a batch: W1 vanilla 2D RNN, shared weights, 16x16 spins, d_h = 40, 100 samples (paper B); W2
tensorised 2D RNN, weights of every site, 10x10 spins, d_h = 40, 25 samples (paper A, fig. 4a); W3 dilated RNN, 7
layers, 100 spins, d_h = 40, 50 samples (paper A, fig. 6a), all one step of VCA with Adam; NM16 Lehr's default for
Newman-Moore with natural gradient; EA40 and SK100 the linear ansatz, 64 samples; VQA5 the ratios of flipped spins for
Newman-Moore, L = 5, with the states before a flip shared, and for comparison by evaluating all flipped copies.
"""

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent

# What is to be timed, and how many steps that is.
Timed = tuple[Callable[[], Any], int]


class Case(NamedTuple):
    """How one measurement is made, by which paths, and how many multiply-adds of network arithmetic (both directions,
    without one-hot zeros) a step is."""

    make: Callable[[], Timed]
    paths: tuple[str, ...] = ("kernels", "XLA")
    multiply_adds: int = 0


def _step(problem: Any, ansatz: Any, num_samples: int, steps: int = 10, **options: Any) -> Timed:
    """Training steps as `lehr.solve` takes them, so many in one call."""
    import lehr
    from lehr.batch import Batch
    from lehr.schedule import protocol

    schedule = protocol("vca", temperature=(1.0, 0.1), field=(0.0, 0.0), num_annealing_steps=1000)
    annealing = lehr.VariationalAnnealing(schedule, num_samples=num_samples, **options)
    batch = Batch(annealing, ansatz, [problem], replicas=1, num_final_samples=1, seed=0)
    moving = [batch.start()]

    def run() -> None:
        moving[0] = batch.advance(moving[0], steps)[0]

    return run, steps


def _vanilla(side: int) -> Any:
    import lehr

    return _step(lehr.newman_moore(side), lehr.RNN2D((side, side), hidden=40), 100)


def _tensorised() -> Any:
    import lehr

    ansatz = lehr.RNN2D((10, 10), cell="tensorised", hidden=40, shared=False)
    return _step(lehr.edwards_anderson(10, seed=1), ansatz, 25)


def _dilated() -> Any:
    import lehr

    return _step(lehr.sherrington_kirkpatrick(100, seed=1), lehr.DilatedRNN(100, hidden=40), 50)


def _default() -> Any:
    import lehr
    from lehr.optimise import NaturalGradient

    problem = lehr.newman_moore(16)
    ansatz, _ = lehr.build_ansatz(problem, "rnn2d")
    return _step(problem, ansatz, 100, optimiser=NaturalGradient(), learning_rate=0.1)


def _linear(name: str) -> Any:
    import lehr

    problem = lehr.edwards_anderson(40, seed=1) if name == "EA40" else lehr.sherrington_kirkpatrick(100, seed=1)
    return _step(problem, lehr.Linear(problem), 64, steps=100)


def _flips(naive: bool) -> Any:
    import jax
    import jax.numpy as jnp

    import lehr

    problem = lehr.newman_moore(5)
    ansatz, _ = lehr.build_ansatz(problem, "rnn2d")
    ansatz = ansatz.informed(problem, jnp.asarray(1.0))
    spins = ansatz.sample(jax.random.key(0), 100)[0]
    sign = 1 - 2 * jnp.eye(25)

    def all_copies(spins):
        copies = (spins[None] * sign[:, None]).reshape(-1, 25)
        return ansatz.log_prob(copies).sum(1).reshape(25, -1).T - ansatz.log_prob(spins).sum(1)[:, None]

    ratio = jax.jit(all_copies if naive else lambda spins: ansatz.flip_log_ratio(spins))
    return lambda: jax.block_until_ready(ratio(spins)), 1


def _netket() -> Any:
    """The step of a recurrent network in NetKet that is nearest to W1: sampling and the gradient of the energy."""
    import jax
    import netket as nk

    hilbert = nk.hilbert.Spin(0.5, 256)
    model = nk.experimental.models.FastLSTMNet(layers=1, features=40, hilbert=hilbert)
    sampler = nk.sampler.ARDirectSampler(hilbert)
    state = nk.vqs.MCState(sampler, model, n_samples=100, seed=0)
    energy = nk.operator.IsingJax(hilbert, nk.graph.Chain(256, pbc=False), h=0.0)

    def run() -> None:
        state.sample()
        jax.block_until_ready(state.expect_and_grad(energy)[1])

    return run, 1


def _matrix_product() -> Any:
    rng = np.random.default_rng(0)
    matrix = rng.random((1024, 1024), np.float32)
    return lambda: matrix @ matrix, 1


CASES = {
    "W1": Case(lambda: _vanilla(16), multiply_adds=3 * 256 * 100 * 80 * 40),
    "W2": Case(_tensorised, multiply_adds=3 * 100 * 25 * 2 * 80 * 40),
    "W3": Case(_dilated, multiply_adds=3 * 100 * 50 * (40 + 6 * 80) * 40),
    "NM16": Case(_default),
    "EA40": Case(lambda: _linear("EA40")),
    "SK100": Case(lambda: _linear("SK100")),
    "VQA5": Case(lambda: _flips(naive=False)),
    "VQA5 copies": Case(lambda: _flips(naive=True), paths=("kernels",)),
    "NetKet LSTM": Case(_netket, paths=("NetKet",)),
    "matrix product": Case(_matrix_product, paths=("NumPy",), multiply_adds=1024**3),
}
SIDES = (8, 16, 32, 64)
CASES |= {f"N = {side**2}": Case(lambda side=side: _vanilla(side), paths=("kernels",)) for side in SIDES}


def measure(name: str) -> dict[str, float]:
    """Time one case in this process: milliseconds of a step, seconds until the first is done, and memory."""
    started = time.perf_counter()
    run, steps = CASES[name].make()
    run()
    first = time.perf_counter() - started
    times: list[float] = []
    while len(times) < 5 or (sum(times) < 4 and len(times) < 200):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) / steps)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"step_ms": 1000 * float(np.median(times)), "first_s": first, "memory_mb": memory / 2**20}


def _in_a_process(name: str, path: str) -> dict[str, float]:
    environment = {**os.environ, "LEHR_NATIVE": "1" if path == "kernels" else "0"}
    command = [sys.executable, __file__, "--measure", name]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _machine() -> dict[str, Any]:
    import jax

    from lehr import native

    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {
        "processor": model, "cores": len(os.sched_getaffinity(0)), "kernels": native.status().reason,
        "python": platform.python_version(), "jax": jax.__version__, "numpy": np.__version__,
        "date": time.strftime("%Y-%m-%d"), "load": os.getloadavg()[0],
    }  # fmt: skip


def _row(name: str, path: str, rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Medians over the rounds; ratios to the first path and to the matrix product within each."""
    key = f"{name}/{path}"
    found = [each for each in rounds if key in each]
    row: dict[str, Any] = {"case": name, "path": path, "rounds": len(found)}
    for quantity in ("step_ms", "first_s", "memory_mb"):
        row[quantity] = float(np.median([each[key][quantity] for each in found]))
    flops = 2 * CASES[name].multiply_adds
    if flops:
        row["gflops"] = flops / row["step_ms"] / 1e6
        product = [each[key]["step_ms"] / each["matrix product/NumPy"]["step_ms"] for each in found]
        row["of_matrix_product"] = float(np.median([flops / (2 * 1024**3) / ratio for ratio in product]))
    base = f"{name}/{CASES[name].paths[0]}"
    if path != CASES[name].paths[0]:
        row["times_kernels"] = float(np.median([each[key]["step_ms"] / each[base]["step_ms"] for each in found]))
    return row


def _shown(rows: list[dict[str, Any]]) -> str:
    heads = ("ms a step", 10), ("first s", 8), ("MiB", 6), ("GFLOP/s", 8), ("of sgemm", 9), ("ratio", 6)
    lines = [f"{'case':<16} {'path':<8} " + " ".join(f"{head:>{width}}" for head, width in heads)]
    for row in rows:
        lines.append(
            f"{row['case']:<16} {row['path']:<8} {row['step_ms']:10.3f} {row['first_s']:8.1f} {row['memory_mb']:6.0f} "
            f"{row.get('gflops', float('nan')):8.1f} {row.get('of_matrix_product', float('nan')):9.2f} "
            f"{row.get('times_kernels', float('nan')):6.2f}"
        )
    return "\n".join(lines)


def _draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Cost of a step against the number of spins, with the fitted power."""
    from matplotlib.figure import Figure

    measured = [row for row in rows if row["case"].startswith("N = ")]
    if len(measured) < 2:
        return
    spins = np.array([int(row["case"].split("=")[1]) for row in measured])
    cost = np.array([row["step_ms"] for row in measured])
    power, factor = np.polyfit(np.log(spins), np.log(cost), 1)
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.loglog(spins, cost, "o", color="C0")
    axes.loglog(spins, np.exp(factor) * spins**power, "-", color="C0", alpha=0.5, label=f"$N^{{{power:.2f}}}$")
    axes.set(xlabel="spins N", ylabel="ms per training step", title="Vanilla 2D RNN, $d_h = 40$, 100 samples")
    axes.legend()
    figure.savefig(file, dpi=150)


def main() -> None:
    """Measure the cases of the command line, print and write them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--measure", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    names = list(dict.fromkeys(["matrix product", *(arguments.cases or CASES)]))
    if importlib.util.find_spec("netket") is None:
        names = [name for name in names if name != "NetKet LSTM"]
    rounds = []
    for number in range(arguments.rounds):
        rounds.append({})
        for name in names:
            for path in CASES[name].paths:
                rounds[-1][f"{name}/{path}"] = _in_a_process(name, path)
                print(f"round {number + 1}: {name} by {path}", file=sys.stderr, flush=True)
    rows = [_row(name, path, rounds) for name in names for path in CASES[name].paths]
    print(_shown(rows))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "speed.json").write_text(json.dumps({"machine": _machine(), "rows": rows}, indent=1) + "\n")
    _draw(rows, arguments.out / "cost.png")


if __name__ == "__main__":
    main()
