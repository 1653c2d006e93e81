"""Figures 2a and 2b of paper B: the variational free energy along a thermal anneal, beside the exact one."""

from typing import Any

import numpy as np
import xarray as xr

from lehr.exact.choose import exact
from lehr.problem.newman_moore import newman_moore
from lehr.reproduce.along import (
    MOST,
    above_exact,
    by_size,
    counted,
    judged_against_exact,
    log_edges,
    nothing,
    spread,
    told_table,
    windowed,
)
from lehr.reproduce.figure import Figure, Spec, filled
from lehr.reproduce.follow import Ended, ended
from lehr.reproduce.paper_b import (
    DEFAULT,
    IN_FULL,
    PAPER,
    SINGLE,
    SOURCE,
    axes_of_runs,
    in_haste,
    in_seconds,
    num_steps_of,
    options_of,
    quicker,
    told_default,
    told_settings,
)
from lehr.reproduce.statistics import told_share
from lehr.reproduce.verdict import UNMEASURED, UNSEEN, Statement, judged
from lehr.result import Result
from lehr.solve import DivergenceError, solve

# Windows along the temperature: the first one reaches from 0 to the lowest of these.
_EDGES = log_edges(0.02, 10.0, 100)


def measure_free_energy(spec: Spec, size: int, variant: str, seed: int) -> xr.Dataset:
    """F / N along one anneal, and where it ended; one that diverged ended nowhere."""
    problem = newman_moore(size)
    reference = exact(problem)
    assert reference.num_ground_states is not None
    try:
        result = solve(problem, seed=seed, replicas=1, **options_of(spec, "vca", variant, size))
    except DivergenceError:
        last = {**Ended(reference.num_ground_states, 0, 0, 0, 0)._asdict(), "residual": np.nan, "diverged": 1.0}
        return nothing(len(_EDGES) - 1).assign(last)
    last = {**ended(result, reference)._asdict(), "residual": result.residual_per_spin, "diverged": 0.0}
    return _curve(result).assign(last)


def _curve(result: Result) -> xr.Dataset:
    """Averaged over windows of the temperature, without the warm-up."""
    settings, n = result.spec["settings"], result.problem.num_spins
    history = result.history.isel(replica=0, step=slice(settings["num_warmup_steps"], None))
    temperature = history["temperature"].values
    different, place = np.unique(temperature, return_inverse=True)
    values = exact(result.problem, temperatures=different.tolist()).free_energies
    expected = np.array([values[at][0] for at in different.tolist()])[place]
    # States that M samples do not show leave no trace in their variance: -T ln(1 - 1/M) is what one may hide.
    drawn = settings["num_samples"]
    variance = history["free_energy_variance"].values / drawn + (temperature / drawn) ** 2
    return windowed(temperature, history["free_energy"].values / n, variance / n**2, expected / n, _EDGES)


def summarise_free_energy(data: xr.Dataset) -> xr.Dataset:
    """The data with each run's excess over the exact curve, that at T = J, NaN where no window is near, and how far F
    is, where the excess is largest, on the way from the exact free energy to that of the uniform distribution,
    -N T ln 2."""
    data = judged_against_exact(data)
    place = data["excess"].fillna(-np.inf).argmax("window")
    value, exact_value, temperature = (data[name].isel(window=place) for name in ("value", "exact", "control"))
    near = (abs(data["control"] - 1) < 0.05).where(data["control"].notnull(), False)
    data = data.assign(excess_at_one=data["excess"].where(near).mean("window"))
    return data.assign(towards_uniform=(value - exact_value) / (-temperature * np.log(2) - exact_value))


def findings_free_energy(data: xr.Dataset, spec: Spec) -> str:
    """What was found, in Markdown."""
    told = [
        "## What was measured", filled(_how(spec)), told_table(data, "T / J", _columns),
        "## Does it hold?", filled(_verdict(data, spec)), "## What the excess is", filled(_explained(data)),
    ]  # fmt: skip
    return "\n\n".join(told)


def _how(spec: Spec) -> str:
    return f"""Newman-Moore on L x L, and for each network one run with each of the seeds 0 to {spec["num_seeds"] - 1},
fixed in advance. {told_settings(spec, "vca", spec["sizes"])} *{DEFAULT}* hears the Hamiltonian and is trained by
natural gradient, geometrically from 0.87 J to 0.026 J{told_default(spec)}.

F / N is averaged over windows of the temperature, without the warm-up, and F_exact is that of this finite lattice,
averaged over the same temperatures. Errors are standard errors of the window's samples, and T / M for what M samples
cannot show. In the table the mean over the seeds stands with the least and the largest, in what follows with Student's
interval of 95 %, and counts with Wilson's. Final samples of *{PAPER}* are drawn
at T = 0, those of *{DEFAULT}* at 0.026 J."""


def _columns(of: xr.Dataset) -> dict[str, str]:
    number = int(of["num_ground_states"].max()) if of["num_ground_states"].notnull().any() else 0
    return {
        "residual energy per spin": spread(of["residual"], ".4f"),
        "samples in ground states": spread(of["ground_share"], ".1%"),
        "ground states found": f"{spread(of['found'], '.1f')} of {number}" if number else "",
    }


def _verdict(data: xr.Dataset, spec: Spec) -> str:
    paper, default = data.sel(variant=PAPER), data.sel(variant=DEFAULT)
    return f"""Of *{PAPER}*{in_haste(spec, "vca")}:

{judged([*_followed(paper, default), *_sizes_compared(paper, spec), *_ended(paper)])}

Of *{DEFAULT}*:

{judged([*_followed(default, None), *_ended(default)])}"""


def _followed(of: xr.Dataset, other: xr.Dataset | None) -> list[Statement]:
    """Above the exact curve, and far above it on the way."""
    sound, seen = above_exact(of)
    measured = bool(seen)
    sure = of["worst_excess"] - 2 * of["worst_error"]
    left = (sure > MOST).where(of["worst_excess"].notnull())
    beside = "" if other is None else f"; of the default {by_size(other['worst_excess'], '.1f', ' %')}"
    return [
        Statement("The free energy stays above the exact one, as an upper bound", sound, measured, seen),
        Statement(
            f"Every run leaves the exact curve on the way, by more than {MOST:g} %",
            bool(left.sum() == left.notnull().sum()),
            measured,
            f"{told_share(int(left.sum()), int(left.notnull().sum()))} runs; by at most "
            f"{by_size(of['worst_excess'], '.1f', ' %')}, where T = {by_size(of['worst_control'], '.2f', ' J')}"
            f"{beside}",
        ),
    ]


def _sizes_compared(of: xr.Dataset, spec: Spec) -> list[Statement]:
    """The larger lattice leaves farther, all its seeds above all those of the smaller; said of unique ground states."""
    if of.sizes["size"] < 2 or (of["num_ground_states"] > 1).any():
        return []
    small, large = (of["worst_excess"].sel(size=size) for size in (of["size"].min(), of["size"].max()))
    fair = len({num_steps_of(spec, "vca", size) for size in of["size"].values.tolist()}) == 1
    return [
        Statement(
            f"The more so at L = {int(of['size'].max())} than at L = {int(of['size'].min())}, in equally many steps",
            bool(large.min() > small.max()),
            bool(fair and small.notnull().any() and large.notnull().any()),
            f"at most {by_size(of['worst_excess'], '.1f', ' %')} above",
        )
    ]


def _ended(of: xr.Dataset) -> list[Statement]:
    """Ground energy, excited states, the trivial state."""
    done = of["found"].notnull() & (of["diverged"] == 0)
    reached = (of["ground_share"] > 0.5) & done
    several = reached & (of["num_ground_states"] > 1)
    statements = [
        Statement(
            "The anneal recovers the ground energy",
            bool(reached.any()),
            bool(done.any()),
            f"{counted(of, reached)} runs ended with most samples in ground states",
        ),
        Statement(
            "Some seeds end in excited states",
            bool(reached.sum() < done.sum()),
            bool(done.any()),
            f"{counted(of, done & ~reached)} runs did",
            otherwise=UNSEEN,
        ),
    ]
    if (of["num_ground_states"] > 1).any():
        alone = several & (of["found"] == 1) & (of["trivial_share"] > 0)
        every = several & (of["found"] == of["num_ground_states"])
        statements.append(
            Statement(
                "Where there are several ground states, only the trivial one is found",
                bool((alone == several).all()),
                bool(several.any()),
                f"of the runs that ended in ground states {counted(of, alone, several)} found the trivial one alone, "
                f"and {counted(of, every, several)} found all",
            )
        )
    return statements


def _explained(data: xr.Dataset) -> str:
    parts = [
        f"*{name}*, {by_size(of['towards_uniform'], '.0%', most=1.0)}"
        for name in data["variant"].values.tolist()
        if (of := data.sel(variant=name))["worst_excess"].notnull().any()
    ]
    return f"""At the temperature of its largest excess, F lies that far on the way from F_exact to -N T ln 2, the free
energy of spins that are drawn at random: {"; ".join(parts) or UNMEASURED}. A network at 100 % has learnt nothing of the
interactions by then, one at 0 % everything.{_at_one(data)} Averages over windows do not show single steps."""


def _at_one(data: xr.Dataset) -> str:
    """How little seeds differ on the way there: the same lag in all, or accidents of each?"""
    paper = data.sel(variant=PAPER)["excess_at_one"]
    told = by_size(paper, ".1f", " %")
    return f" At T = J the excess of *{PAPER}* is {told}." if told else ""


def draw_free_energy(data: xr.Dataset, spec: Spec) -> Any:
    """F / N against T, and the excess."""
    from lehr.reproduce.pictures import draw_curves  # matplotlib is optional

    title = f"Newman-Moore, variational classical annealing, {spec['num_seeds']} seeds"
    return draw_curves(data, "$T / J$", "$F / N$", (0.0, 1.0), title)


_CLAIM = f"""## What the paper claims

{SOURCE} anneals a recurrent network from T = 10 J to 0 and shows the free energy per spin"""
_CLAIM_A = f"""{_CLAIM}, for L = 5 and 16, whose ground state is unique:

* the free energy values "are consistently above the exact result", which is exact "for L = 2^k";
* "the annealing process is not smooth, with F occasionally deviating from its true value", "even more pronounced for
  the system size with 16 x 16 spins";
* "at the end of annealing, i.e. at T = 0, VCA recovers the correct ground state energy", but "this is not always the
  case for different initial conditions".

The curve that the paper draws, F = -N T ln(2 cosh(J / 2T)), is exact for L = 5 as well: it holds wherever the ground
state is unique. Here every lattice is compared with its own exact free energy."""
_CLAIM_B = f"""{_CLAIM}, for L = 3 and 6, with 4 and 16 ground states:

* the curves "seem to follow the same pattern as their non-degenerate counterparts": the ground state energy is found
  "despite the somehow chaotic annealing dynamics";
* "different initialization may lead to excited state configurations";
* "the solution is almost always the trivial ground state configuration"; one case at L = 3 held all of them.

Here every lattice is compared with its own exact free energy, that with all its ground states."""
_LAPTOP = {
    "sizes": [5, 16],
    "num_seeds": 10,
    "variants": [PAPER, DEFAULT],
    "paper": {"5": quicker(10), "16": quicker(50)},
    "default": {},
    "num_final_samples": 2000,
}


def _figure(name: str, title: str, claim: str, laptop: Spec, smallest: int) -> Figure:
    in_full = {str(size): dict(IN_FULL) for size in laptop["sizes"]}
    paper = {"num_seeds": 10, "paper": in_full, "num_final_samples": 10_000}
    return Figure(
        name=name,
        title=title,
        claim=filled(claim),
        scales={"smoke": {**laptop, **in_seconds(smallest)}, "laptop": laptop, "paper": {**laptop, **paper}},
        axes=axes_of_runs,
        measure=measure_free_energy,
        summarise=summarise_free_energy,
        findings=findings_free_energy,
        draw=draw_free_energy,
    )


FIGURES = (
    _figure("b-fig2a", "free energy of a thermal anneal, Newman-Moore with one ground state", _CLAIM_A, _LAPTOP, 4),
    _figure(
        "b-fig2b",
        "free energy of a thermal anneal, Newman-Moore with several ground states",
        _CLAIM_B,
        {**_LAPTOP, "sizes": [3, 6], "num_seeds": 5, "paper": {"3": SINGLE, "6": quicker(10)}},
        3,
    ),
)
