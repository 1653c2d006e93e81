"""Figure 6 of paper A, upper row: residual energies of fully connected spin glasses, beside Markov chains."""

import itertools
from typing import Any

import xarray as xr

from lehr.reproduce.figure import Figure, Spec, filled
from lehr.reproduce.paper_a import ABSTRACT, FROM_MEMORY, QUICK, SOURCE, default_of, doubled, ours, paper
from lehr.reproduce.residual import axes_of_ladders, measure_residual, summarise_residual
from lehr.reproduce.residual_words import (
    below,
    comparable,
    lower_by,
    steeper,
    told_crossings,
    told_haste,
    told_how,
    told_residuals,
    told_seconds,
)
from lehr.reproduce.verdict import Statement, judged

_CHAINS = ("SA", "SQA")
# In the paper, from memory, annealing overtakes the chains on the Sherrington-Kirkpatrick model about here.
_OVERTAKES = 1000
SK, WISHART = "a-fig6a", {"a-fig6b": 0.5, "a-fig6c": 0.25}


def findings_dense(data: xr.Dataset, spec: Spec) -> str:
    """What was found, in Markdown."""
    default = default_of("VCA")
    beside = [
        below(data, default, other, f"*Lehr's default* ends below *{other}*, in equally many annealing steps")
        for other in ("VCA", *_CHAINS)
    ]
    told = [
        "## What was measured", filled(told_how(data, spec)), told_residuals(data),
        "## Does it hold?", filled(f"{told_haste(spec)}\n\n{judged(_statements(data, spec))}"),
        "Beside it:", filled(judged(beside)),
        "## Where the fitted laws cross", filled(told_crossings(data, "VCA", _CHAINS)),
        "## In seconds", filled(told_seconds(data)),
    ]  # fmt: skip
    return "\n\n".join(told)


def _statements(data: xr.Dataset, spec: Spec) -> list[Statement]:
    family, _, *alpha = next(iter(spec["systems"].values()))
    if alpha and alpha[0] < 0.5:
        return [
            comparable(data, one, other, f"Residuals of *{one}* and *{other}* are comparable, within a factor of two")
            for one, other in itertools.combinations(("VCA", *_CHAINS), 2)
        ]
    least = _OVERTAKES if family == "Sherrington-Kirkpatrick" else 0
    after = f"From {least} annealing steps on " if least else ""
    statements = [
        below(data, "VCA", other, f"{after}*VCA* ends below *{other}*, in equally many annealing steps", least)
        for other in _CHAINS
    ]
    statements.append(steeper(data, "VCA", _CHAINS, "*VCA* is the steepest, over the steps that both have"))
    if alpha:
        statements += [
            lower_by(data, "VCA", other, 1000.0, f"It lies about three orders of magnitude below *{other}*")
            for other in _CHAINS
        ]
    return statements


def draw_dense(data: xr.Dataset, spec: Spec) -> Any:
    """Residuals of all methods."""
    from lehr.reproduce.residual_pictures import draw_residuals  # matplotlib is optional

    return draw_residuals(data, f"Fully connected, {spec['num_instances']} instances: typical residual energy")


CAPTION = """its figure 6 is "Benchmarking SA, SQA (P = 100 Trotter slices) and VCA on the SK model and the WPE\""""
_CLAIM = f"""## What the paper claims

{SOURCE} says in its abstract that {ABSTRACT}; {CAPTION}. {FROM_MEMORY}
"""
_CLAIMS = {
    SK: """* On the Sherrington-Kirkpatrick model of 100 spins variational classical annealing (VCA) overtakes simulated
  annealing (SA) and simulated quantum annealing (SQA) from about a thousand annealing steps on.""",
    "a-fig6b": """* On the Wishart planted ensemble of 32 spins with alpha = 0.5, variational classical annealing (VCA)
  ends about three orders of magnitude below simulated annealing (SA) and simulated quantum annealing (SQA).""",
    "a-fig6c": """* On the Wishart planted ensemble of 32 spins with alpha = 0.25 the mean residual energies of
  variational classical annealing (VCA), simulated annealing (SA) and simulated quantum annealing (SQA) are
  comparable.""",
}
_SYSTEMS = {SK: {"SK N = 100": ["Sherrington-Kirkpatrick", 100]}} | {
    name: {f"Wishart N = 32, alpha = {alpha:g}": ["Wishart", 32, alpha]} for name, alpha in WISHART.items()
}
_FAST = {**QUICK, "learning_rate": 1e-3}


def _variants(kind: str, networks: list[int], default: list[int], sa: list[int], sqa: list[int]) -> dict[str, Any]:
    return {
        "VCA": paper(f"a-{kind}-vca", networks, **_FAST),
        "SA": paper(f"a-{kind}-sa", sa, replicas=100),
        "SQA": paper(f"a-{kind}-sqa", sqa, replicas=10),
        default_of("VCA"): ours("vca", default),
    }


_LAPTOP = {"num_instances": 4, "num_final_samples": 1000, "fit_from": 4}
LAPTOPS: dict[str, Spec] = {
    SK: {
        **_LAPTOP, "num_instances": 3, "systems": _SYSTEMS[SK],
        "variants": _variants("sk", doubled(4, 64, 4), doubled(4, 1024, 4), doubled(4, 1024, 4), doubled(4, 64, 4)),
    },
    **{
        name: {
            **_LAPTOP, "systems": _SYSTEMS[name],
            "variants": _variants(
                "wishart", doubled(4, 256, 4), doubled(4, 1024, 4), doubled(4, 1024, 4), doubled(4, 256, 4)
            ),
        }
        for name in WISHART
    },
}  # fmt: skip


def _in_seconds(spec: Spec) -> Spec:
    """Twelve spins, a small network, few steps."""
    family, _, *others = next(iter(spec["systems"].values()))
    network = {
        "num_samples": 10, "num_warmup_steps": 5, "dtype": "float32",
        "ansatz_options": {"informed": False, "hidden": 4, "shared": False},
    }  # fmt: skip
    chain = {"replicas": 4, "num_warmup_steps": 5}
    changes = {"VCA": network, "SA": chain, "SQA": {**chain, "num_slices": 4, "num_preanneal_steps": 10}}
    variants = {
        name: {**given, "ladder": [2, 4, 8], "changes": changes.get(name, {})}
        for name, given in spec["variants"].items()
    }
    return {
        "systems": {f"{family}, N = 12": [family, 12, *others]}, "variants": variants, "num_instances": 2,
        "num_final_samples": 50, "fit_from": 2,
    }  # fmt: skip


# Where the paper's chains end; networks, from memory, at 2^13.
_LAST = {"Sherrington-Kirkpatrick": {"SA": 2**14, "SQA": 2**14}, "Wishart": {"SA": 2**16, "SQA": 2**14}}


def _in_full(spec: Spec) -> Spec:
    family, *_ = next(iter(spec["systems"].values()))
    variants = {
        name: {**given, "changes": {}, "ladder": doubled(2, _LAST[family].get(name, 2**13))}
        for name, given in spec["variants"].items()
    }
    return {**spec, "variants": variants, "num_instances": 25, "num_final_samples": 1_000_000, "fit_from": 2**7}


SCALES = {name: {"smoke": _in_seconds(spec), "laptop": spec, "paper": _in_full(spec)} for name, spec in LAPTOPS.items()}
FIGURES = tuple(
    Figure(
        name=name,
        title=f"residual energies of {next(iter(_SYSTEMS[name]))}, beside Markov chains",
        claim=filled(f"{_CLAIM}\n\n{_CLAIMS[name]}"),
        scales=SCALES[name],
        axes=axes_of_ladders,
        measure=measure_residual,
        summarise=summarise_residual,
        findings=findings_dense,
        draw=draw_dense,
    )
    for name in LAPTOPS
)
