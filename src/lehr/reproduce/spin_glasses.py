"""Figure 4 of paper A: residual energies of two-dimensional Edwards-Anderson spin glasses, in four protocols and beside
Markov chains."""

import math
from typing import Any

import xarray as xr

from lehr.reproduce.figure import Figure, Spec, filled
from lehr.reproduce.paper_a import ABSTRACT, FROM_MEMORY, QUICK, SOURCE, default_of, doubled, ours, paper
from lehr.reproduce.residual import axes_of_ladders, measure_residual, summarise_residual, typical_within
from lehr.reproduce.residual_words import (
    ABOUT,
    below,
    last_rung,
    lower_by,
    steeper,
    told_crossings,
    told_haste,
    told_how,
    told_residuals,
    told_seconds,
)
from lehr.reproduce.statistics import shown
from lehr.reproduce.verdict import FAILS, UNSEEN, Statement, judged

# Paper B quotes paper A with so little residual energy, of a mean ground energy of -0.777 per spin at 40x40.
_ACCURATE = 1e-5 * 0.777
# The residual of plain energy minimisation counts as standing still where four times the steps lower it by less.
_STILL = 1.5
# "About 1 %", in the unit of the couplings.
_CLOSE = 0.01
_BESIDE = ("SA", "SQA")


def findings_protocols(data: xr.Dataset, spec: Spec) -> str:
    """What was found of the four protocols, in Markdown."""
    return _findings(data, spec, [
        below(data, "VCA", "VQA", "*VCA* ends below *VQA*"),
        lower_by(data, "VCA", "VQA", 1000.0, "By about three orders of magnitude"),
        below(data, "RVQA", "VQA", "*RVQA* ends below *VQA*"),
        below(data, "VCA", "RVQA", "*VCA* ends below *RVQA*"),
        below(data, "VCA", "CQO", "*VCA* ends below *CQO*"),
        _comes_close(data),
        _stands_still(data),
    ])  # fmt: skip


def findings_beside_chains(data: xr.Dataset, spec: Spec) -> str:
    """What was found of annealing beside Markov chains, in Markdown."""
    on = _told_where(data)
    return _findings(data, spec, [
        *(
            below(data, name, "VCA", f"{on}*{name}* is below *VCA* at few annealing steps", fewest=True)
            for name in _BESIDE
        ),
        *(
            below(data, "VCA", name, f"{on}*VCA* ends below *{name}*, in equally many annealing steps")
            for name in _BESIDE
        ),
        *(
            lower_by(data, "VCA", name, 1000.0, f"{on}*VCA* lies about three orders of magnitude below *{name}*")
            for name in _BESIDE
        ),
        steeper(data, "VCA", _BESIDE, f"{on}*VCA* is the steepest, over the steps that both have"),
        _accurate(data),
    ], told_crossings(data, "VCA", _BESIDE))  # fmt: skip


def _told_where(data: xr.Dataset) -> str:
    """The systems that the paper's network was measured on, before a claim, where these are not all."""
    of = data.sel(variant="VCA")["residual"].notnull().any(("instance", "rung"))
    tested = data["system"].values[of.values].tolist()
    return f"On {' and '.join(tested)} alone, " if 0 < len(tested) < data.sizes["system"] else ""


def _findings(data: xr.Dataset, spec: Spec, statements: list[Statement], crossings: str = "") -> str:
    names = [name for name in spec["variants"] if default_of(name) in spec["variants"]]
    beside = [
        below(data, default_of(name), name, f"*Lehr's default* ends below the paper's network, {name}")
        for name in names
    ]  # fmt: skip
    told = [
        "## What was measured", filled(told_how(data, spec)), told_residuals(data),
        "## Does it hold?", filled(f"{told_haste(spec)}\n\n{judged(statements)}\n\nBeside it:\n\n{judged(beside)}"),
        *(["## Where the fitted laws cross", filled(crossings)] if crossings else []),
        "## In seconds", filled(told_seconds(data)),
    ]  # fmt: skip
    return "\n\n".join(told)


def _comes_close(data: xr.Dataset) -> Statement:
    """Whether plain minimisation ends at about 1 %, in the unit of the couplings."""
    of = data.sel(variant="CQO").isel(system=0)
    last = last_rung(of) or 0
    at = of.isel(rung=last)
    least, most = _CLOSE / ABOUT, _CLOSE * ABOUT
    low, high = float(at["typical_low"]), float(at["typical_high"])
    return Statement(
        "*CQO* comes to about 1 %, a residual of 0.01 per spin",
        least <= float(at["typical_mean"]) <= most,
        math.isfinite(low),
        f"{shown(at, 'typical', '.2g')}, where {least:g} to {most:g} counts as about that much",
        FAILS if high < least or low > most else UNSEEN,
    )


def _stands_still(data: xr.Dataset) -> Statement:
    """Whether plain minimisation gains little between its last two rungs."""
    of = data.sel(variant="CQO").isel(system=0)
    last = last_rung(of) or 0
    rungs = of.isel(rung=[max(last - 1, 0), last]).transpose("rung", ...)
    at_floor = (rungs["residual"] <= rungs["floor"]).values  # what is unknown is not
    before, after = rungs["residual"].where(~at_floor, rungs["floor"]).values
    gain = typical_within(before / after, *at_floor)
    steps = rungs["annealing"].max("instance").values
    return Statement(
        "*CQO* stands still in the end",
        gain.high < _STILL,
        last > 0 and math.isfinite(gain.low),
        f"from {steps[0]:.0f} to {steps[1]:.0f} annealing steps its residual falls by a factor of {gain.value:.2f} "
        f"[{gain.low:.2f}, {gain.high:.2f}], where less than {_STILL:g} counts as still"
        + (f"; at the floor in {at_floor[0].sum()} and {at_floor[1].sum()} instances" if at_floor.any() else ""),
        FAILS if gain.low > _STILL else UNSEEN,
    )


def _accurate(data: xr.Dataset) -> Statement:
    """Whether the paper's network reaches the accuracy that is quoted, interval included."""
    of = data.sel(variant="VCA").isel(system=-1)
    last = last_rung(of) or 0
    at = of.isel(rung=last)
    return Statement(
        f'It reaches an accuracy of "99.999%", a residual of {_ACCURATE:.1e} per spin',
        float(at["typical_high"]) <= _ACCURATE,
        bool(at["typical_high"].notnull()),
        shown(at, "typical", ".2g"),
        UNSEEN,
    )


def draw_protocols(data: xr.Dataset, spec: Spec) -> Any:
    """Residuals of all methods."""
    from lehr.reproduce.residual_pictures import draw_residuals  # matplotlib is optional

    return draw_residuals(data, f"Edwards-Anderson, {spec['num_instances']} instances: typical residual energy")


_CLAIM_PROTOCOLS = f"""## What the paper claims

{SOURCE} says in its abstract that {ABSTRACT}; its figure 4 is "Benchmarking the 2D Edwards-Anderson spin glass".
{FROM_MEMORY}

* On 10x10 spins with couplings between -1 and 1, variational classical annealing (VCA) ends about three orders of
  magnitude below variational quantum annealing (VQA);
* regularised VQA (RVQA), with a temperature beside the field, improves on VQA and stays above VCA;
* classical-quantum optimisation (CQO), energy minimisation without any annealing, comes to about 1 % within some
  thousand steps and then stands still."""
_CLAIM_CHAINS = f"""## What the paper claims

{SOURCE} says in its abstract that {ABSTRACT}; its figure 4 is "Benchmarking the 2D Edwards-Anderson spin glass". Paper
B quotes from it an accuracy of "99.999%" on 40x40 spins. {FROM_MEMORY}

* On 40x40 spins simulated annealing (SA) and simulated quantum annealing (SQA, 20 Trotter slices) are better at few
  annealing steps, variational classical annealing (VCA) is steeper;
* at the end VCA lies about three orders of magnitude below both."""
_FAST = {**QUICK, "learning_rate": 1e-3}
_PROTOCOLS = {
    "systems": {"EA 10x10": ["Edwards-Anderson", 10]},
    "variants": {
        "VCA": paper("a-ea10-vca", doubled(4, 256, 4), **_FAST),
        "VQA": paper("a-ea10-vqa", doubled(4, 64, 4), **_FAST),
        "RVQA": paper("a-ea10-rvqa", doubled(4, 64, 4), **_FAST),
        "CQO": paper("a-ea10-cqo", doubled(4, 256, 4), **_FAST),
        default_of("VCA"): ours("vca", doubled(4, 1024, 4)),
        default_of("VQA"): ours("vqa", doubled(4, 256, 4)),
        default_of("RVQA"): ours("rvqa", doubled(4, 256, 4)),
        default_of("CQO"): ours("cqo", doubled(4, 1024, 4)),
    },
    "num_instances": 4,
    "num_final_samples": 2000,
    "fit_from": 4,
}
_FORTY = "EA 40x40"
_CHAINS = {
    "systems": {"EA 20x20": ["Edwards-Anderson", 20], _FORTY: ["Edwards-Anderson", 40]},
    "variants": {
        # A step of this network takes nearly a second on 40x40 spins.
        "VCA": {**paper("a-ea40-vca", doubled(2, 32, 4), **{**_FAST, "num_warmup_steps": 50}), "systems": ["EA 20x20"]},
        "SA": paper("a-ea-sa", doubled(2, 2048, 4), replicas=10),
        "SQA": paper("a-ea-sqa", doubled(2, 128, 4), replicas=4),
        default_of("VCA"): ours("vca", doubled(2, 2048, 4)),
    },
    "num_instances": 3,
    "num_final_samples": 1000,
    "fit_from": 2,
}
_RUNGS = {"networks": [2, 4, 8], "chains": [2, 4, 8, 16]}
_FEW = {
    "num_samples": 10, "num_warmup_steps": 5, "dtype": "float32",
    "ansatz_options": {"informed": False, "cell": "tensorised", "hidden": 4, "shared": False, "order": "zigzag"},
}  # fmt: skip


def _few(spec: Spec, names: tuple[str, ...]) -> Spec:
    """A spec in seconds: some variants on one small lattice."""
    variants = {}
    for name in names:
        chain = name in ("SA", "SQA")
        given = {key: value for key, value in spec["variants"][name].items() if key != "systems"}
        quick = {"replicas": 4, "num_warmup_steps": 5} if chain else {} if "method" in given else _FEW
        pre = {"num_preanneal_steps": 10, "num_slices": 4} if name == "SQA" else {}
        variants[name] = {**given, "ladder": _RUNGS["chains" if chain else "networks"], "changes": {**quick, **pre}}
    return {
        **spec, "systems": {"EA 3x3": ["Edwards-Anderson", 3]}, "variants": variants, "num_instances": 2,
        "num_final_samples": 50, "fit_from": 2,
    }  # fmt: skip


def _in_full(spec: Spec, system: str) -> Spec:
    """A spec as in the paper."""
    variants = {
        name: {key: value for key, value in given.items() if key != "systems"}
        | {"changes": {}, "ladder": doubled(2, 2**13)}
        for name, given in spec["variants"].items()
    }
    return {
        **spec, "systems": {system: spec["systems"][system]}, "variants": variants, "num_instances": 25,
        "num_final_samples": 1_000_000, "fit_from": 2**7,
    }  # fmt: skip


FIGURES = tuple(
    Figure(
        name=name,
        title=title,
        claim=filled(claim),
        scales={"smoke": _few(spec, names), "laptop": spec, "paper": _in_full(spec, system)},
        axes=axes_of_ladders,
        measure=measure_residual,
        summarise=summarise_residual,
        findings=findings,
        draw=draw_protocols,
    )
    for name, title, claim, spec, system, names, findings in (
        (
            "a-fig4a", "residual energies of Edwards-Anderson 10x10 in four protocols", _CLAIM_PROTOCOLS, _PROTOCOLS,
            "EA 10x10", ("VCA", "VQA", "CQO", default_of("VCA")), findings_protocols,
        ),
        (
            "a-fig4b", "residual energies of Edwards-Anderson 40x40, beside Markov chains", _CLAIM_CHAINS, _CHAINS,
            _FORTY, ("VCA", "SA", "SQA", default_of("VCA")), findings_beside_chains,
        ),
    )
)  # fmt: skip
