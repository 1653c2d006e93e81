"""Figure 6 of paper B: the ground states among the samples at the end of an anneal, and how often each was drawn."""

import math
from typing import Any

import numpy as np
import scipy  # whose parts are loaded when they are first used
import xarray as xr

from lehr.exact.newman_moore import degeneracy_exponent
from lehr.exact.parity import ground_states
from lehr.metrics import wilson
from lehr.pca import principal_components
from lehr.problem.newman_moore import newman_moore
from lehr.reproduce.along import counted, spread
from lehr.reproduce.figure import Figure, Spec, filled, table
from lehr.reproduce.paper_b import (
    DEFAULT,
    IN_FULL,
    PAPER,
    SOURCE,
    axes_of_runs,
    in_haste,
    in_seconds,
    options_of,
    quicker,
    told_default,
    told_settings,
)
from lehr.reproduce.verdict import UNMEASURED, UNSEEN, Statement, judged, untested
from lehr.solve import DivergenceError, solve

# Below this chance under an even draw, a run's counts are called uneven.
_CHANCE = 0.01


def measure_ground_samples(spec: Spec, size: int, variant: str, seed: int) -> xr.Dataset:
    """How often each ground state was drawn at the end of one anneal; one that diverged drew none.

    States are in the order of their distance from the trivial one. Those of smaller lattices are filled up with states
    that are none: count and distance NaN, spins 0.
    """
    problem = newman_moore(size)
    states = ordered_ground_states(size)
    try:
        result = solve(problem, seed=seed, replicas=1, **options_of(spec, "vca", variant, size))
        samples, diverged = result.samples[0], 0.0
    except DivergenceError:
        samples, diverged = np.zeros((0, problem.num_spins), np.int8), 1.0
    numbers = {state.tobytes(): number for number, state in enumerate(states)}
    drawn = [numbers[sample.tobytes()] for sample in samples if sample.tobytes() in numbers]
    counts = np.bincount(np.array(drawn, int), minlength=len(states))
    most, widest = 2 ** max(map(degeneracy_exponent, spec["sizes"])), max(spec["sizes"]) ** 2
    room = (0, most - len(states))
    return xr.Dataset(
        {
            "count": ("state", np.pad(counts.astype(float), room, constant_values=np.nan)),
            "distance": ("state", np.pad((states > 0).sum(axis=1).astype(float), room, constant_values=np.nan)),
            "spins": (("state", "site"), np.pad(states, (room, (0, widest - problem.num_spins))).astype(float)),
            "num_samples": float(len(samples)),
            "num_ground_states": float(len(states)),
            "diverged": diverged,
        }
    )


def ordered_ground_states(size: int) -> np.ndarray:
    """All ground states [K, N] of the model on L x L, by their Hamming distance from the trivial one, all spins down.

    >>> (ordered_ground_states(3) > 0).sum(axis=1).tolist()
    [0, 6, 6, 6]
    """
    states = ground_states(newman_moore(size)).spins
    return states[np.lexsort([*(states > 0).T[::-1], (states > 0).sum(axis=1)])].astype(np.int8)


def summarise_ground_samples(data: xr.Dataset) -> xr.Dataset:
    """The data with, for each run, the number of ground states found, the share of the samples in ground states, that
    of each state among these with Wilson's interval of 95 %, and the chance of an even draw (chi-square); and with the
    principal axes of the ground-state samples of all seeds together."""
    count = data["count"]
    drawn = count.sum("state")
    some = drawn > 0
    finished = data["num_samples"].notnull()
    expected = (drawn / data["num_ground_states"]).where(some)
    distance = ((count - expected) ** 2 / expected).sum("state")
    even = scipy.special.gammaincc((data["num_ground_states"] - 1).clip(1) / 2, distance / 2)
    data = data.assign(
        found=(count > 0).sum("state").where(finished),
        ground_share=(drawn / data["num_samples"].where(data["num_samples"] > 0)).fillna(0).where(finished),
        share=(count / drawn).where(some),
        trivial_share=(count.isel(state=0) / drawn).where(some),
        distance=data["distance"].max(("variant", "seed")),
        even=even.where(some),
    )
    low, high = xr.apply_ufunc(_interval, count, drawn, vectorize=True, output_core_dims=[[], []])
    return data.assign(share_low=low, share_high=high, **_principal(data))


def _interval(hits, trials) -> tuple[float, float]:
    if not (np.isfinite(hits) and trials > 0):
        return math.nan, math.nan
    return wilson(int(hits), int(trials))[1:]


def _principal(data: xr.Dataset) -> dict[str, Any]:
    """Of each size and variant: places of the states along two axes, and the shares of three in the variance."""
    axes = ("size", "variant")
    together = data["count"].sum("seed").transpose(*axes, "state")
    spins = data["spins"].max("seed").transpose(*axes, "state", "site").values
    place = np.full((*together.shape, 2), np.nan)
    variances = np.full((*together.shape[:2], 3), np.nan)
    for at in np.ndindex(*together.shape[:2]):
        if together.values[at].sum() > 0:
            found = principal_components(np.nan_to_num(spins[at]), 3, weights=together.values[at])
            place[at], variances[at] = found.positions[:, :2], found.shares
    total = together.sum("state")
    return {
        "position": ((*axes, "state", "axis"), place),
        "variance_share": ((*axes, "component"), variances),
        "share_of_all": (together / total.where(total > 0)),
    }


def findings_ground_samples(data: xr.Dataset, spec: Spec) -> str:
    """What was found, in Markdown."""
    told = [
        "## What was measured", filled(_how(spec)), table(_rows(data)),
        "## Does it hold?", filled(_verdict(data, spec)), "## Which states", filled(_states(data)),
    ]  # fmt: skip
    return "\n\n".join(told)


def _how(spec: Spec) -> str:
    return f"""Newman-Moore on L x L, and for each network one run with each of the seeds 0 to {spec["num_seeds"] - 1},
fixed in advance, then {spec["num_final_samples"]} samples. {told_settings(spec, "vca", spec["sizes"])}
*{DEFAULT}* hears the Hamiltonian and is trained by natural gradient, geometrically from 0.87 J to
0.026 J{told_default(spec)}. What it hears as constraints solves this model's ground states before any training
(`b-collapse` counts that), so that its line shows what the network holds, not what training found.

Every ground state is known by elimination over GF(2), and samples are compared with all of them. Principal axes are
those of the ground-state samples of all seeds together; states are numbered by their Hamming distance from the first,
all spins down. Where seeds differ, their mean stands with the least and the largest."""


def _rows(data: xr.Dataset) -> list[list[str]]:
    head = [
        "L", "network", "ground states found", "seeds that found all", "samples in ground states",
        "of these in the trivial one", "variance along three axes",
    ]  # fmt: skip
    rows = [head]
    for size in data["size"].values.tolist():
        for name in data["variant"].values.tolist():
            of = data.sel(size=size, variant=name)
            diverged = int(of["diverged"].sum())
            known = of["num_ground_states"].max()
            axes = of["variance_share"].values
            rows.append(
                [
                    str(size),
                    f"{name} ({diverged} diverged)" if diverged else name,
                    f"{spread(of['found'], '.1f')} of {float(known):.0f}" if known > 0 else "",
                    counted(of, of["found"] == of["num_ground_states"]),
                    spread(of["ground_share"], ".1%"),
                    spread(of["trivial_share"], ".1%"),
                    ", ".join(f"{share:.2f}" for share in axes) if np.isfinite(axes).all() else "",
                ]
            )
    return rows


def _verdict(data: xr.Dataset, spec: Spec) -> str:
    parts = []
    for name in data["variant"].values.tolist():
        haste, more = (in_haste(spec, "vca"), [_PENALISED]) if name == PAPER else ("", [])
        parts.append(f"Of *{name}*{haste}:\n\n{judged([*_statements(data.sel(variant=name)), *more])}")
    return "\n\n".join(parts)


_PENALISED = untested("Penalising the magnetisation of the trivial state moves the collapse")


def _statements(of: xr.Dataset) -> list[Statement]:
    small, *larger = (of.sel(size=size) for size in of["size"].values.tolist())
    size, done = int(small["size"]), small["num_samples"] > 0
    every = done & (small["found"] == small["num_ground_states"])
    one = done & (small["found"] == 1)
    even = every & (small["even"] > _CHANCE)
    statements = [
        Statement(
            f"At L = {size} a run can hold all {float(small['num_ground_states'].max()):.0f} ground states",
            bool(every.any()),
            bool(done.any()),
            f"{counted(of, every, done)} runs found all of them",
            otherwise=UNSEEN,
        ),
        Statement(
            f"Not all runs at L = {size} do, some find one only",
            bool(one.any()),
            bool(done.any()),
            f"{counted(of, one, done)} runs found one only",
            otherwise=UNSEEN,
        ),
        Statement(
            "Where all are held, they are drawn almost evenly",
            bool((even == every).all()),
            bool(every.any()),
            f"in {counted(of, even, every)} of these runs a chi-square test at {_CHANCE:g} sees no difference; the "
            f"share of the trivial one is {spread(small['trivial_share'].where(every), '.1%')}",
        ),
    ]
    for large in larger:
        reached = (large["ground_share"] > 0.5) & (large["num_samples"] > 0)
        trivial = reached & (large["found"] == 1) & (large["trivial_share"] > 0)
        statements.append(
            Statement(
                f"At L = {int(large['size'])} runs that reach the ground energy hold the trivial state alone",
                bool((trivial == reached).all()),
                bool(reached.any()),
                f"{counted(large, trivial, reached)} of these runs; {spread(large['found'].where(reached), '.1f')} of "
                f"{float(large['num_ground_states'].max()):.0f} states are found",
            )
        )
    return statements


def _states(data: xr.Dataset) -> str:
    """Which states each seed of each network found, by number."""
    lines = []
    for size in data["size"].values.tolist():
        for name in data["variant"].values.tolist():
            of = data.sel(size=size, variant=name)
            each = [
                f"seed {seed}: {_listed(of['count'].sel(seed=seed).values)}"
                for seed in of["seed"].values.tolist()
                if float(of["num_samples"].sel(seed=seed)) > 0
            ]
            lines.append(f"* *{name}*, L = {size}: {'; '.join(each) or UNMEASURED}.")
    return "\n".join(lines)


def _listed(counts: np.ndarray) -> str:
    known = counts[np.isfinite(counts)]
    found = (np.flatnonzero(known > 0) + 1).tolist()
    if len(found) == len(known) > 1:
        return "all"
    return ", ".join(map(str, found)) or "none"


def draw_samples(data: xr.Dataset, spec: Spec) -> Any:
    """Principal axes, bars, and which states are found."""
    from lehr.reproduce.pictures import draw_ground_samples  # matplotlib is optional

    title = f"Newman-Moore, ground states at the end of variational classical annealing, {spec['num_seeds']} seeds"
    return draw_ground_samples(data, title)


_CLAIM = f"""## What the paper claims

{SOURCE} shows, for one run at L = 3, the principal components of 13 222 ground-state samples, coloured by their Hamming
distance from the trivial ground state, and how often each ground state was drawn:

* "the RNN samples the four distinct ground state configurations", one trivial and three at a distance of six, "almost
  uniform, with a slight advantage for the first ground state (the trivial one)";
* "not all runs of neural annealing were able to capture all the ground states, with some finding only the trivial one";
* at L = 6, "for successful runs, the simulations always resulted in the trivial ground state configuration";
* penalising the magnetisation of the trivial state "often resulted in mode collapse into another ground state
  configuration"."""
_LAPTOP = {
    "sizes": [3, 6],
    "num_seeds": 10,
    "variants": [PAPER, DEFAULT],
    "paper": {"3": quicker(10), "6": quicker(20)},
    "default": {},
    "num_final_samples": 5000,
}
_PAPER = {
    **_LAPTOP,
    "paper": {"3": dict(IN_FULL), "6": dict(IN_FULL)},
    "num_final_samples": 15_000,
}
FIGURES = (
    Figure(
        name="b-fig6",
        title="which ground states are drawn at the end of a thermal anneal, Newman-Moore L = 3 and 6",
        claim=filled(_CLAIM),
        scales={"smoke": {**_LAPTOP, **in_seconds(3)}, "laptop": _LAPTOP, "paper": _PAPER},
        axes=axes_of_runs,
        measure=measure_ground_samples,
        summarise=summarise_ground_samples,
        findings=findings_ground_samples,
        draw=draw_samples,
    ),
)
