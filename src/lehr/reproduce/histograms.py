"""Figure 6 of paper A, lower row: how residual energies of single samples are distributed, by the same measurement as
the upper row."""

from typing import Any

import numpy as np
import xarray as xr

from lehr.metrics import Interval, average
from lehr.reproduce.dense import CAPTION, SCALES, SK
from lehr.reproduce.figure import Figure, Spec, filled, table
from lehr.reproduce.paper_a import ABSTRACT, FROM_MEMORY, SOURCE, default_of
from lehr.reproduce.residual import EDGES, FLOOR, axes_of_ladders, measure_residual, summarise_residual
from lehr.reproduce.residual_words import last_rung, told_haste, told_how
from lehr.reproduce.statistics import of_known, shown
from lehr.reproduce.verdict import FAILS, UNSEEN, Statement, judged

# Each figure of the lower row with the one above it, whose measurement it shares.
_ABOVE = {"a-fig6d": SK, "a-fig6e": "a-fig6b", "a-fig6f": "a-fig6c"}
# More than so much of the samples in ground states is not negligible; more than so much is most of them.
_SOME, _MOST = 0.01, 0.5
_CHAINS = ("SA", "SQA")
_UNJUDGED = "How the samples above the ground states are distributed is in the picture and the table, and not judged."


def summarise_histograms(data: xr.Dataset) -> xr.Dataset:
    """The data of `summarise_residual`, and for each variant the share of its single samples in each bin, instances
    weighing the same, and that of the ground states (the first bin) with Student's interval of 95 %."""
    data = summarise_residual(data)
    each = data["histogram"] / data["histogram"].sum("bin", min_count=1)
    ground, low, high = xr.apply_ufunc(
        _mean, each.isel(bin=0), input_core_dims=[["instance"]], output_core_dims=[[], [], []], vectorize=True
    )
    return data.assign(
        ground_each=each.isel(bin=0), share=each.mean("instance"), ground_mean=ground, ground_low=low, ground_high=high,
        num_samples=data["histogram"].sum(("bin", "instance")), edges=("edge", EDGES),
    )  # fmt: skip


def _mean(values: np.ndarray, least: float = 0.0) -> Interval:
    """Of what is known of numbers that lie between `least` and 1."""
    value, low, high = of_known(values, average)
    return Interval(value, *np.clip([low, high], least, 1.0).tolist())


def findings_histograms(data: xr.Dataset, spec: Spec) -> str:
    """What was found, in Markdown."""
    told = [
        "## What was measured", filled(f"{_HOW}\n\n{told_how(data, spec)}"), table(_rows(data)),
        "## Does it hold?", filled(f"{told_haste(spec)}\n\n{judged(_statements(data, spec))}\n\n{_UNJUDGED}"),
    ]  # fmt: skip
    return "\n\n".join(told)


_HOW = f"""Single samples at each method's largest number of annealing steps: how far each lies above the ground energy,
per spin; at most {FLOOR:g} counts as the ground state. Instances weigh the same. Samples of one network are
independent; slices of one read of *SQA* are not. The measurement is that of the figure of residual energies on the same
instances."""


def _rows(data: xr.Dataset) -> list[list[str]]:
    rows = [
        ["method", "annealing steps", "samples", "in ground states", "typical residual per spin", "median of samples"]
    ]
    for name in data["variant"].values.tolist():
        of = data.isel(system=0).sel(variant=name)
        last = last_rung(of)
        if last is not None:
            at = of.isel(rung=last)
            rows.append(
                [
                    name, f"{float(at['annealing'].max()):.0f}", f"{float(of['num_samples']):.0f}",
                    shown(of, "ground", ".1%"), shown(at, "typical", ".2g"), _median(of["share"].values),
                ]
            )  # fmt: skip
    return rows


def _median(share: np.ndarray) -> str:
    """Of single samples, by the bin in which half of them are reached; nothing where the last runs diverged."""
    if not np.isfinite(share).all():
        return ""
    place = int(np.searchsorted(np.cumsum(share), 0.5))
    return f"up to {EDGES[min(place, len(EDGES) - 1)]:.2g}" if place else "ground state"


def _statements(data: xr.Dataset, spec: Spec) -> list[Statement]:
    of, ours = data.isel(system=0), default_of("VCA")
    family, _, *alpha = next(iter(spec["systems"].values()))
    if family == "Wishart" and alpha[0] >= 0.5:
        mostly = [_holds(of, name, _MOST, f"*{name}* lies mostly in the ground state") for name in ("VCA", ours)]
        mostly += [_lacks(of, name, _MOST, f"*{name}* does not lie mostly there") for name in _CHAINS]
    else:
        claim = f"holds ground states, in more than {_SOME:.0%} of its samples"
        mostly = [_holds(of, name, _SOME, f"*{name}* {claim}") for name in ("VCA", ours)]
    return mostly + [_holds_more(of, name, other) for name in ("VCA", ours) for other in _CHAINS]


def _holds(of: xr.Dataset, name: str, share: float, claim: str) -> Statement:
    """That more than this share of the samples is in ground states."""
    one = of.sel(variant=name)
    return Statement(
        claim,
        float(one["ground_low"]) > share,
        bool(one["ground_low"].notnull()),
        shown(one, "ground", ".1%"),
        FAILS if float(one["ground_high"]) < share else UNSEEN,
    )


def _lacks(of: xr.Dataset, name: str, share: float, claim: str) -> Statement:
    """That less is."""
    more = _holds(of, name, share, claim)
    return more._replace(holds=more.otherwise == FAILS, otherwise=FAILS if more.holds else UNSEEN)


def _holds_more(of: xr.Dataset, name: str, other: str) -> Statement:
    """That the difference on the same instances is above zero, its interval included."""
    one, two = of.sel(variant=name), of.sel(variant=other)
    more = _mean((one["ground_each"] - two["ground_each"]).values, least=-1.0)
    return Statement(
        f"*{name}* holds more of them than *{other}*",
        more.low > 0,
        bool(np.isfinite(more.low)),
        f"{shown(one, 'ground', '.1%')} against {shown(two, 'ground', '.1%')}, the difference on the same instances "
        f"{more.value:.1%} [{more.low:.1%}, {more.high:.1%}]",
        FAILS if more.high < 0 else UNSEEN,
    )


def draw_all(data: xr.Dataset, spec: Spec) -> Any:
    """Histograms of all methods."""
    from lehr.reproduce.residual_pictures import draw_histograms  # matplotlib is optional

    return draw_histograms(data, EDGES, f"{spec['num_instances']} instances: single samples")


_CLAIMS = {
    "a-fig6d": """* At the end variational classical annealing (VCA) has more of its samples at low residual energies on
  the Sherrington-Kirkpatrick model of 100 spins than simulated annealing (SA) and simulated quantum annealing (SQA);
  below 1e-10 per spin they count as the ground state.""",
    "a-fig6e": """* On the Wishart planted ensemble of 32 spins with alpha = 0.5, samples of variational classical
  annealing (VCA) lie mostly in the ground state, those of simulated annealing (SA) and simulated quantum annealing
  (SQA) do not.""",
    "a-fig6f": """* On the Wishart planted ensemble of 32 spins with alpha = 0.25, where mean residuals are comparable,
  variational classical annealing (VCA) has a density at the ground state that cannot be neglected.""",
}
FIGURES = tuple(
    Figure(
        name=name,
        title=f"single samples of {next(iter(SCALES[above]['laptop']['systems']))}, beside Markov chains",
        claim=filled(
            f"## What the paper claims\n\n{SOURCE} says in its abstract that {ABSTRACT}; {CAPTION}. {FROM_MEMORY}\n\n"
            + _CLAIMS[name]
        ),
        scales=SCALES[above],
        axes=axes_of_ladders,
        measure=measure_residual,
        summarise=summarise_histograms,
        findings=findings_histograms,
        draw=draw_all,
        measured_as=above,
    )
    for name, above in _ABOVE.items()
)
