"""Seeds and mode collapse on the Newman-Moore model: paper B counted, and what cures it.

Does an anneal follow the exact free energy, and does it find all ground states?
What a network hears as constraints is an elimination over GF(2), and the ground states of this model solve linear
equations over GF(2): the untrained network must be read beside every other one.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from lehr.ansatz.order import zigzag
from lehr.optimise import NaturalGradient
from lehr.problem.newman_moore import newman_moore
from lehr.reproduce.figure import Figure, Spec, filled, table, variants_by_seeds
from lehr.reproduce.follow import STEPS_TOGETHER, follow
from lehr.reproduce.statistics import over_seeds, shown
from lehr.reproduce.verdict import UNMEASURED, UNSEEN, Statement, judged, judgement


class Variant(NamedTuple):
    """A network and how it is trained: its optimiser ("natural", "adam", or "none" where nothing is trained), and how
    it differs from Lehr's defaults, as arguments of `lehr.solve`."""

    optimiser: str
    changes: Mapping[str, Any] = MappingProxyType({})


_MIRRORED = "mirrored"
DEFAULT, UNTRAINED = "default", "untrained"
LESS_TOLD = "no constraints", "terms only"
PAPER, PAPER_IN_FULL = "Adam, hears nothing", "paper B, Table I"
VARIANTS: dict[str, Variant] = {
    DEFAULT: Variant("natural"),
    UNTRAINED: Variant("none", {"learning_rate": 1e-30}),  # vanishes beside every logit
    LESS_TOLD[0]: Variant("natural", {"ansatz_options": {"hears": "pairs"}}),
    LESS_TOLD[1]: Variant("natural", {"ansatz_options": {"hears": "terms"}}),
    "hears nothing": Variant("natural", {"ansatz_options": {"informed": False}}),
    "no clip": Variant("natural", {"optimiser": NaturalGradient(clip=math.inf)}),
    "no cap": Variant("natural", {"optimiser": NaturalGradient(most_change=math.inf)}),
    "no halving": Variant("natural", {"optimiser": NaturalGradient(most_divergence=math.inf)}),
    "no control": Variant("natural", {"optimiser": NaturalGradient(0.01, *[math.inf] * 3)}),
    "mirrored zigzag": Variant("natural", {"ansatz_options": {"order": _MIRRORED}}),
    "Adam": Variant("adam", {"optimiser": "adam"}),
    "Adam, terms only": Variant("adam", {"optimiser": "adam", "ansatz_options": {"hears": "terms"}}),
    PAPER: Variant("adam", {"optimiser": "adam", "ansatz_options": {"informed": False}}),
    PAPER_IN_FULL: Variant("adam", {"preset": "b-vca"}),
}


def changes_of(variant: str, size: int) -> dict[str, Any]:
    """The arguments of `lehr.solve` in which a variant differs from the defaults on a lattice of L x L."""
    changes = dict(VARIANTS[variant].changes)
    options = changes.get("ansatz_options", {})
    if options.get("order") == _MIRRORED:
        # From the last row to the first, fewer sites close a term.
        sites = np.arange(size**2).reshape(size, size)[::-1].ravel()[zigzag((size, size)).sites]
        changes["ansatz_options"] = {**options, "order": sites.tolist()}
    return changes


def options_of(spec: Spec, variant: str) -> dict[str, Any]:
    """The arguments of `lehr.solve` for a variant; a preset keeps its own numbers."""
    optimiser, changes = VARIANTS[variant].optimiser, changes_of(variant, spec["size"])
    if "preset" in changes:
        return {**changes, "num_final_samples": spec["num_final_samples"]}
    num_steps = spec["num_adam_steps" if optimiser == "adam" else "num_steps"]
    return {
        **changes, "num_steps": num_steps, "num_samples": spec["num_samples"],
        "num_final_samples": spec["num_final_samples"],
    }  # fmt: skip


def measure_collapse(spec: Spec, variant: str, seed: int) -> xr.Dataset:
    """`Followed` of one variant and seed."""
    return xr.Dataset(follow(newman_moore(spec["size"]), seed, **options_of(spec, variant))._asdict())


_MEANS = ("ground_share", "found", "entropy", "mean_excess", "worst_excess", "train_seconds")
_COUNTS = {
    "found_all": lambda data: data["found"] == data["num_ground_states"],
    "found_one": lambda data: data["found"] == 1,
    "found_trivial": lambda data: (data["found"] == 1) & (data["trivial_share"] > 0),
    "ended_in_ground": lambda data: data["ground_share"] > 0.5,
    "collapsed": lambda data: (data["ground_share"] > 0.5) & (data["found"] == 1),
}


def summarise_collapse(data: xr.Dataset) -> xr.Dataset:
    """The data with means over the seeds, and with how many seeds found all ground states, one only, only the one with
    all spins down, ended with most samples in ground states, and did so in one only (`lehr.reproduce.statistics`)."""
    return over_seeds(data, "found", _MEANS, _COUNTS)


def findings_collapse(data: xr.Dataset, spec: Spec) -> str:
    """What was found, in Markdown."""
    told = [
        "## What was measured", filled(_how(data, spec)), table(_rows(data)),
        "## Does it hold?", filled(_verdict(data)), "## What decides", filled(_causes(data)),
    ]  # fmt: skip
    return "\n\n".join(told)


def _how(data: xr.Dataset, spec: Spec) -> str:
    size, number = spec["size"], _num_ground_states(data)
    return f"""Newman-Moore, L = {size}, {number} ground states, and for each variant one network with each of the seeds
0 to {spec["num_seeds"] - 1}, fixed in advance:
{spec["num_steps"]} steps of natural gradient or {spec["num_adam_steps"]} of
Adam with {spec["num_samples"]} samples, geometrically from 0.87 J to 0.026 J, then {spec["num_final_samples"]} samples.
A variant leaves one ingredient of Lehr's default out or exchanges it: the last kinds of products that a site hears, the
clipping of local energies at three standard deviations, the cap on the change of ln p in one step, the halving of steps
after which the distribution is far from the one before (*no control*: all three of them), the zigzag that starts with
the first row (mirrored: with the last, where fewer sites close a term), the optimiser.
*{UNTRAINED}* is the default network as it starts, shown every temperature and never updated.
*{PAPER}* is paper B's network (one vanilla 2D RNN, weights shared, d_h = 40) on Lehr's schedule; *{PAPER_IN_FULL}*, at
the scale `paper` only, has the paper's settings as well (preset `b-vca`: 51 000 steps from T = 10 J).

dF is the size of (F - F_exact) / |F_exact| averaged over {STEPS_TOGETHER} steps, F_exact that of this finite lattice:
its mean and its largest value after the warm-up. Numbers are means over the seeds with bootstrap intervals of
95 %; shares of seeds have Wilson's intervals of 95 %."""


def _num_ground_states(data: xr.Dataset) -> int:
    return int(data["num_ground_states"].max())


def _rows(data: xr.Dataset) -> list[list[str]]:
    number = _num_ground_states(data)
    head = [
        "variant", f"found all {number}", "states found", "found one only", "samples in ground states",
        f"entropy / ln {number}", "mean dF %", "worst dF %", "seconds",
    ]  # fmt: skip
    rows = [head]
    for name in data["variant"].values:
        of = data.sel(variant=name)
        diverged = int(of["diverged"].sum())
        rows.append(
            [
                f"{name} ({diverged} diverged)" if diverged else str(name),
                f"{_counted(of, 'found_all')} {_share(of, 'found_all')}",
                shown(of, "found", ".1f"),
                _counted(of, "found_one"),
                shown(of, "ground_share", ".1%"),
                shown(of, "entropy", ".3f"),
                shown(of, "mean_excess", ".2f"),
                shown(of, "worst_excess", ".2f"),
                f"{float(of['train_seconds_mean']):.1f}" if _num_trained(of) else "",
            ]
        )
    return rows


def _counted(of: xr.Dataset, name: str) -> str:
    return f"{int(of[name])} of {int(of['seeds_done'])}"


def _share(of: xr.Dataset, name: str) -> str:
    if not int(of["seeds_done"]):
        return ""
    return f"[{float(of[f'{name}_share_low']):.0%}, {float(of[f'{name}_share_high']):.0%}]"


def _verdict(data: xr.Dataset) -> str:
    """The paper's statements one by one, of its own network."""
    names = data["variant"].values.tolist()
    paper = PAPER_IN_FULL if PAPER_IN_FULL in names else PAPER
    of, default = data.sel(variant=paper), data.sel(variant=DEFAULT)
    done, ended, collapsed, one = (int(of[n]) for n in ("seeds_done", "ended_in_ground", "collapsed", "found_one"))
    trained, trivial = _num_trained(of), int(of["found_trivial"])
    gone = f", {done - trained} diverged" if trained < done else ""
    statements = [
        Statement(
            "The free energy leaves the exact curve",
            _worse(of, default),
            _has_interval(of) and _has_interval(default),
            f"worst dF {shown(of, 'worst_excess', '.1f')} %, against {shown(default, 'worst_excess', '.1f')} % of the "
            "default",
        ),
        Statement(
            "Some seeds end in excited states",
            ended < trained,
            trained > 0,
            f"{ended} of {done} ended with most samples in ground states {_share(of, 'ended_in_ground')}{gone}",
            otherwise=UNSEEN,
        ),
        Statement(
            "Seeds that end in ground states hold one of them only",
            collapsed == ended,
            ended > 0,
            f"of the {ended} that ended so, {collapsed} found one only",
        ),
        Statement(
            "It is the trivial one",
            trivial == one,
            one > 0,
            f"of the {one} that found one only, {trivial} found the state of all spins down",
        ),
    ]
    never = judgement(int(default["found_all"]) == 0, _num_trained(default) > 0)
    others = [f"*{name}* in {_counted(data.sel(variant=name), 'found_all')}" for name in LESS_TOLD if name in names]
    held = f"""; the default found all of them in {_counted(default, "found_all")} seeds
  {_share(default, "found_all")}, with an entropy of {shown(default, "entropy", ".3f")} ln {_num_ground_states(data)}"""
    seen = "".join(f", {line}" for line in others)
    return f"""Of *{paper}*:

{judged(statements)}

Of all networks:

* A recurrent network never holds all ground states of this model:
  **{never}**{"" if never == UNMEASURED else held + seen}."""


def _num_trained(of: xr.Dataset) -> int:
    """Seeds that came to an end; one that diverged ended nowhere."""
    return int(of["seeds_done"]) - int(of["diverged"].sum())


def _has_interval(of: xr.Dataset) -> bool:
    return bool(np.isfinite([of["worst_excess_low"], of["worst_excess_high"]]).all())


def _worse(of: xr.Dataset, default: xr.Dataset) -> bool:
    """Whether the worst dF is above the default's, intervals apart."""
    return float(of["worst_excess_low"]) > float(default["worst_excess_high"])


def _causes(data: xr.Dataset) -> str:
    """Which variants lose states or the curve, and what the untrained network is worth."""
    default, untrained = data.sel(variant=DEFAULT), data.sel(variant=UNTRAINED)
    trained = [data.sel(variant=name) for name in data["variant"].values if name not in (DEFAULT, UNTRAINED)]
    losing = [of for of in trained if int(of["found_all"]) < int(of["seeds_done"])]
    worse = [of for of in trained if _worse(of, default)]
    lost = [f"{of['variant'].item()} (found all: {_counted(of, 'found_all')})" for of in losing]
    left = [f"{of['variant'].item()}, {float(of['worst_excess_mean']):.1f}" for of in worse]
    return f"""* Ground states were missed by: {"; ".join(lost) or "no variant"}.
* The worst dF in percent is above the default's, {shown(default, "worst_excess", ".1f")}, intervals apart, for:
  {"; ".join(left) or "no variant"}.
* The *untrained* network finds all ground states in {_counted(untrained, "found_all")} seeds: what a network hears as
  constraints solves this model's equations, and so ground states alone are no evidence of training here. Its worst dF
  is {shown(untrained, "worst_excess", ".1f")} %, and its mean dF {shown(untrained, "mean_excess", ".2f")} % against
  {shown(default, "mean_excess", ".2f")} % of the trained one."""


def draw_collapse(data: xr.Dataset, spec: Spec) -> Any:
    """States found and worst dF of every variant."""
    from lehr.plot import plot_variants  # matplotlib is optional

    families = {name: _FAMILIES[VARIANTS[name].optimiser] for name in data["variant"].values.tolist()}
    title = f"Newman-Moore, L = {spec['size']}, {spec['num_seeds']} seeds: one ingredient off or exchanged"
    return plot_variants(data, families, title)


_FAMILIES = {"natural": "natural gradient", "adam": "Adam", "none": "untrained"}
_CLAIM = """## What the paper claims

Paper B (E. M. Inack, S. Morawetz, R. G. Melko, Condensed Matter 7, 38 (2022),
[arXiv:2204.11272](https://arxiv.org/abs/2204.11272)) trains a recurrent network with Adam while the temperature falls
and says of the Newman-Moore model, without counts:

* the annealing is "globally unstable": the free energy leaves the exact curve;
* "different initialization may lead to excited state configurations";
* where the ground energy is found, "only the trivial ground state configuration is found", "regardless of seeding,
  system size, or (large) initial temperature", but for a run at L = 3;
* in general, "it seems that the model is never able to capture the multi-modal distribution of the ground state
  configurations": glassy dynamics "likely manifests itself through trainability issues and mode collapse"."""
_LAPTOP = {
    "size": 6,
    "num_seeds": 10,
    "variants": [name for name in VARIANTS if name != PAPER_IN_FULL],
    "num_steps": 500,
    "num_adam_steps": 1000,
    "num_samples": 100,
    "num_final_samples": 5000,
}
FIGURES = (
    Figure(
        name="b-collapse",
        title="seeds and mode collapse on the Newman-Moore model, counted, and what cures it",
        claim=_CLAIM,
        scales={
            "smoke": {
                "size": 3,
                "num_seeds": 2,
                "variants": [DEFAULT, UNTRAINED, PAPER],
                "num_steps": 20,
                "num_adam_steps": 20,
                "num_samples": 20,
                "num_final_samples": 200,
            },
            "laptop": _LAPTOP,
            "paper": {**_LAPTOP, "variants": list(VARIANTS), "num_steps": 5000, "num_adam_steps": 51_000},
        },
        axes=variants_by_seeds,
        measure=measure_collapse,
        summarise=summarise_collapse,
        findings=findings_collapse,
        draw=draw_collapse,
    ),
)
