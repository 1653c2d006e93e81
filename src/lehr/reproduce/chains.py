"""Figure 3 of paper A: residual energies of random chains, thermal and quantum annealing."""

from typing import Any

import xarray as xr

from lehr.reproduce.figure import Figure, Spec, filled
from lehr.reproduce.paper_a import ABSTRACT, FROM_MEMORY, QUICK, SOURCE, default_of, doubled, ours, paper
from lehr.reproduce.residual import axes_of_ladders, measure_residual, summarise_residual
from lehr.reproduce.residual_words import (
    below,
    exponents,
    lower_by,
    power_laws,
    told_haste,
    told_how,
    told_residuals,
    told_seconds,
)
from lehr.reproduce.verdict import judged

_SIZES = (32, 64, 128)
_LAWS = {"uniform": "uniform01", "±1": "pm1"}
# Exponents of the decay in the paper, from memory.
_EXPONENTS = {"VCA": (-1.9, -1.5), "VQA": (-1.1, -0.9)}


def findings_chains(data: xr.Dataset, spec: Spec) -> str:
    """What was found, in Markdown."""
    told = [
        "## What was measured", filled(told_how(data, spec)), told_residuals(data),
        "## Does it hold?", filled(f"{told_haste(spec)}\n\n{_verdict(data)}\n\n{_range(spec)}"),
        "## In seconds", filled(told_seconds(data)),
    ]  # fmt: skip
    return "\n\n".join(told)


def _verdict(data: xr.Dataset) -> str:
    uniform = data.sel(system=[name for name in data["system"].values.tolist() if name.endswith("uniform")])
    lines = [
        *(power_laws(data, name, f"The residual of *{name}* decays as a power law") for name in _EXPONENTS),
        *(
            exponents(
                uniform,
                name,
                around,
                f"With an exponent of {around[0]} to {around[1]} for *{name}*, uniform",
            )
            for name, around in _EXPONENTS.items()
        ),
        below(data, "VCA", "VQA", "*VCA* ends below *VQA*"),
        lower_by(data, "VCA", "VQA", 10.0, "By a factor of about ten"),
    ]
    beside = [
        below(data, default_of("VCA"), "VCA", "*Lehr's default* ends below the paper's network, VCA"),
        below(data, default_of("VQA"), "VQA", "*Lehr's default* ends below the paper's network, VQA"),
    ]
    return f"{judged(lines)}\n\nBeside it:\n\n{judged(beside)}"


def _range(spec: Spec) -> str:
    """How far the ladders go that the exponents are of."""
    ends = [f"{max(spec['variants'][name]['ladder'])} for *{name}*" for name in _EXPONENTS]
    return f"""Exponents are those of ladders that end at {" and ".join(ends)}: whether a decay slows down beyond them
was not measured."""


def draw_chains(data: xr.Dataset, spec: Spec) -> Any:
    """Residuals of all chains."""
    from lehr.reproduce.residual_pictures import draw_residuals  # matplotlib is optional

    return draw_residuals(data, f"Random chains, {spec['num_instances']} instances: typical residual energy")


_CLAIM = f"""## What the paper claims

{SOURCE} says in its abstract that {ABSTRACT}; its figure 3 has "benchmarks for the disordered Ising chain".
{FROM_MEMORY}

* The residual energies of chains of 32, 64 and 128 spins with uniform couplings fall as power laws in the number of
  annealing steps, with exponents of -1.9 to -1.5 for variational classical annealing (VCA) and of -1.1 to -0.9
  for variational quantum annealing (VQA);
* VCA ends about ten times below VQA;
* chains with couplings of +1 and -1, in the supplement, show the same trend.

Simulated and coherent quantum annealing of such chains follow logarithmic laws (T. Zanca, G. E. Santoro, Phys. Rev. B
93, 224431 (2016)); they are not measured here."""


def _systems(sizes) -> dict[str, list]:
    return {f"N = {size}, {law}": ["chain", size, name] for law, name in _LAWS.items() for size in sizes}


_SMALL = list(_systems(_SIZES[:2]))
_LAPTOP = {
    "systems": _systems(_SIZES),
    "variants": {
        "VCA": paper("a-chain-vca", doubled(4, 256, 4), **QUICK),
        "VQA": {**paper("a-chain-vqa", doubled(8, 64), **QUICK), "systems": _SMALL},
        default_of("VCA"): ours("vca", doubled(4, 1024, 4)),
        default_of("VQA"): {**ours("vqa", doubled(4, 256, 4)), "systems": _SMALL},
    },
    "num_instances": 5,
    "num_final_samples": 2000,
    "fit_from": 16,
}
_FEW = {"num_samples": 10, "ansatz_options": {"informed": False, "cell": "tensorised", "hidden": 4, "shared": False}}
_SMOKE = {
    **_LAPTOP,
    "systems": _systems([8]),
    "variants": {
        "VCA": paper("a-chain-vca", [2, 4, 8], num_warmup_steps=5, **_FEW),
        "VQA": paper("a-chain-vqa", [2, 4, 8], num_warmup_steps=5, **_FEW),
    },
    "num_instances": 2,
    "num_final_samples": 50,
    "fit_from": 2,
}
_PAPER = {
    **_LAPTOP,
    "variants": {
        "VCA": paper("a-chain-vca", doubled(4, 4096)),
        "VQA": paper("a-chain-vqa", doubled(4, 4096)),
        default_of("VCA"): ours("vca", doubled(4, 4096)),
        default_of("VQA"): ours("vqa", doubled(4, 4096)),
    },
    "num_instances": 25,
    "num_final_samples": 1_000_000,
    "fit_from": 32,
}
FIGURES = (
    Figure(
        name="a-fig3",
        title="residual energies of random chains, thermal and quantum annealing",
        claim=filled(_CLAIM),
        scales={"smoke": _SMOKE, "laptop": _LAPTOP, "paper": _PAPER},
        axes=axes_of_ladders,
        measure=measure_residual,
        summarise=summarise_residual,
        findings=findings_chains,
        draw=draw_chains,
    ),
)
