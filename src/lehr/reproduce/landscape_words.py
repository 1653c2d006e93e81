"""What pictures of loss landscapes show, in words that follow from their numbers."""

import math

import numpy as np
import xarray as xr

from lehr.reproduce.figure import Spec, filled, table
from lehr.reproduce.landscape_study import BROAD, PAPER, PAPER_QUANTUM, UNTRAINED
from lehr.reproduce.statistics import shown, told_share

LABELS = {
    "start": "random start", "warm": "after warm-up", "middle": "mid-anneal", "end": "end",
    UNTRAINED: "untrained, end's",
}  # fmt: skip


def controls_of(plane: xr.Dataset) -> str:
    """Temperature and field of a plane, of one seed or of several with the same."""
    known = {symbol: plane[name].mean() for symbol, name in (("T", "temperature"), ("Γ", "field"))}
    return ", ".join(f"{symbol} = {float(value):.3g}" for symbol, value in known.items() if value.notnull())


class _Told:
    """The summary by variant and moment, and what may be said of it."""

    def __init__(self, data: xr.Dataset, spec: Spec):
        self.data, self.spec = data, spec

    def of(self, variant: str, moment: str) -> xr.Dataset:
        return self.data.sel(variant=variant).isel(moment=self.spec["moments"].index(moment))

    def shown(self, variant: str, moment: str, name: str, form: str) -> str:
        return shown(self.of(variant, moment), name, form)

    def count(self, variant: str, moment: str, name: str) -> tuple[int, int]:
        of = self.of(variant, moment)
        return int(of[name]), int(of["seeds_done"])

    def counted(self, variant: str, moment: str, name: str) -> str:
        hits, trials = self.count(variant, moment, name)
        return told_share(hits, trials, "seeds") if trials else "no seeds"

    def paired(self, variant: str, name: str, less: str, more: str) -> tuple[int, int]:
        """In how many seeds a number is larger at one moment than at another."""
        first, second = self.of(variant, less)[name].values, self.of(variant, more)[name].values
        known = np.isfinite(first) & np.isfinite(second)
        return int((second > first)[known].sum()), int(known.sum())


def _judged(holds: bool, measured: bool) -> str:
    return "not measured" if not measured else "holds" if holds else "does not hold"


def _in_all(pair: tuple[int, int]) -> str:
    return _judged(pair[0] == pair[1], pair[1] > 0)


def _rows(data: xr.Dataset, spec: Spec) -> list[list[str]]:
    told, rows = _Told(data, spec), []
    for variant in data["variant"].values.tolist():
        for moment in spec["moments"]:
            of = told.of(variant, moment)
            forms = {
                "norm": ".3g", "excess": ".2f", "below": ".1%", "basin": ".2f", "low_area": ".0%", "plateau": ".0%",
                "ruggedness": ".3f", "structure": ".3f", "noise_share": ".2f",
            }  # fmt: skip
            cells = [_number(float(of[f"{name}_mean"]), form) for name, form in forms.items()]
            rows.append([variant, LABELS[moment], controls_of(of), *cells])
    head = [
        "network", "moment", "at", "norm of θ*", "excess %", "below the centre", "basin", "low area", "plateau",
        "ruggedness", "without noise", "noise share",
    ]  # fmt: skip
    return [head, *rows]


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def _how(data: xr.Dataset, spec: Spec) -> str:
    size, changes = spec["size"], spec["changes"]
    told = {
        preset: f"{preset} with {', '.join(f'{name} = {value}' for name, value in values.items())}"
        for preset, values in changes.items()
    }
    default = f" Lehr's {told.pop('default')}." if "default" in told else ""
    trained = f"Not the paper's training but less: {'; '.join(told.values())}." if told else "Training as in the paper."
    trained += default
    return f"""Newman-Moore, L = {size}; seeds 0 to {spec["num_seeds"] - 1} of network, training and directions, fixed
in advance. {trained} A plane has {spec["grid"]} x {spec["grid"]} points with alpha and beta from -{spec["extent"]:g} to
{spec["extent"]:g} (the paper does not say its range), and {spec["num_samples"]} fresh samples at each point.
Directions are N(0, 1) numbers as they are{_close(data)}. *Untrained,
end's* is the network as it starts, at the temperature or field where the anneal ends: whatever shows there is not the
work of the anneal.

Means over the seeds. *Excess* is (F - F_exact) / |F_exact| at the centre. *Below the centre*: share of the points that
lie below it by more than four standard errors and 0.1 % of the range; *basin*: mean distance at which the loss first
exceeds the middle between the centre and the plane's median, 0 where the centre lies above the median; *low
area*: share of points in the lowest tenth of the range; *plateau*: share of points where all samples have the same
local value; *ruggedness*: root mean square second difference relative to the range, *without noise* what is left
without that of the samples, and *noise share* the noise's share of its square, an estimate (all in
`lehr.landscape.shape`). Every number and its interval is in the data.{_unknown(data)}"""


def _unknown(data: xr.Dataset) -> str:
    """Says where networks have overflowed."""
    shares = {name: float(data["unknown"].sel(variant=name).mean()) for name in data["variant"].values.tolist()}
    told = [f"{share:.0%} of the points of *{name}*" for name, share in shares.items() if share > 0]
    return f" Unknown, because the network overflows there: {', '.join(told)}." if told else ""


def _close(data: xr.Dataset) -> str:
    """Says what the planes with shorter directions are, where there are some."""
    if not any("close" in name for name in data["variant"].values.tolist()):
        return ""
    longer = float(np.sqrt(data["num_parameters"].mean()) / data["norm"].mean())
    return f"""; *close* scales them to the norm of θ*, the other reading of the paper's "vectors of length ||θ*||",
which is the middle of the same plane about {longer:.0f} times enlarged"""


def findings_maps(data: xr.Dataset, spec: Spec) -> str:
    """What was found of figure 4, in Markdown."""
    return _findings(data, spec, _verdict_maps)


def findings_surfaces(data: xr.Dataset, spec: Spec) -> str:
    """What was found of figure 5, in Markdown."""
    return _findings(data, spec, _verdict_surfaces)


def _findings(data: xr.Dataset, spec: Spec, verdict) -> str:
    told = _Told(data, spec)
    items = [f"* {claim}: **{judgement}**; {seen}." for claim, judgement, seen in verdict(told)]
    return "\n\n".join(
        [
            "## What was measured", filled(_how(data, spec)), table(_rows(data, spec)),
            "## Does it hold?", filled("\n".join([f"Of *{PAPER}*, unless it says otherwise:", "", *items])),
            "## What decides", filled(_causes(told)),
        ]
    )  # fmt: skip


_Statement = tuple[str, str, str]


def _verdict_maps(told: _Told) -> list[_Statement]:
    """The paper's statements about its figure 4, one by one."""
    begin, middle = (told.count(PAPER, moment, "is_minimum") for moment in ("warm", "middle"))
    shrunk = told.paired(PAPER, "basin", "middle", "warm")
    flat = told.count(PAPER, "end", "flat")
    statements = [
        (
            "Before annealing a bright spot at the centre: the parameters are likely at a minimum",
            _in_all(begin),
            f"in {told.counted(PAPER, 'warm', 'is_minimum')} no point lay below the centre",
        ),
        (
            "Mid-anneal the same spot with a smaller radius",
            _judged(middle[0] == middle[1] and shrunk[0] == shrunk[1], middle[1] > 0 and shrunk[1] > 0),
            f"no point below the centre in {told.counted(PAPER, 'middle', 'is_minimum')}, and a smaller basin in "
            f"{shrunk[0]} of {shrunk[1]}: {told.shown(PAPER, 'middle', 'basin', '.2f')} after "
            f"{told.shown(PAPER, 'warm', 'basin', '.2f')}",
        ),
        (
            "At the end a broad plateau, where one configuration is sampled exclusively",
            _in_all(flat),
            f"at least {BROAD:.0%} of the plane in {told.counted(PAPER, 'end', 'flat')}: "
            f"{told.shown(PAPER, 'end', 'plateau', '.0%')}; but already "
            f"{told.shown(PAPER, 'warm', 'plateau', '.0%')} after the warm-up and "
            f"{told.shown(PAPER, UNTRAINED, 'plateau', '.0%')} of the untrained network at the same temperature",
        ),
        _rougher(told, PAPER),
    ]
    if PAPER_QUANTUM in told.data["variant"].values:
        first = told.count(PAPER_QUANTUM, "warm", "is_minimum")
        wider = told.paired(PAPER_QUANTUM, "low_area", "warm", "middle")
        end = told.count(PAPER_QUANTUM, "end", "is_minimum")
        statements += [
            (
                f"*{PAPER_QUANTUM}* before annealing: the same bright spot",
                _in_all(first),
                f"in {told.counted(PAPER_QUANTUM, 'warm', 'is_minimum')} no point lay below the centre",
            ),
            (
                f"*{PAPER_QUANTUM}* mid-anneal: a large region of constant low energy",
                _in_all(wider),
                f"larger than after the warm-up in {wider[0]} of {wider[1]} seeds: "
                f"{told.shown(PAPER_QUANTUM, 'middle', 'low_area', '.0%')} of the plane lie in the lowest tenth, "
                f"after {told.shown(PAPER_QUANTUM, 'warm', 'low_area', '.0%')}",
            ),
            (
                f"*{PAPER_QUANTUM}* at the end: a local minimum",
                _in_all(end),
                f"in {told.counted(PAPER_QUANTUM, 'end', 'is_minimum')}; "
                f"{told.shown(PAPER_QUANTUM, 'end', 'below', '.0%')} of the plane below the centre",
            ),
            _rougher(told, PAPER_QUANTUM, f"*{PAPER_QUANTUM}* at the end: high barriers around it"),
        ]
    return statements


def _verdict_surfaces(told: _Told) -> list[_Statement]:
    """The paper's statements about its figure 5, one by one."""
    start = told.count(PAPER, "start", "is_minimum")
    none = told.count(PAPER, "end", "is_no_minimum")
    plateaus = told.paired(PAPER, "plateau", "warm", "end")
    near = told.of(PAPER, "warm")["excess"].values
    near = np.abs(near[np.isfinite(near)])
    return [
        (
            "Before the warm-up a minimum around the random parameters",
            _in_all(start),
            f"in {told.counted(PAPER, 'start', 'is_minimum')}",
        ),
        (
            "The minimum before the warm-up is likely a random event",
            _judged(start[0] < start[1], start[1] > 1),
            f"seen in {told.counted(PAPER, 'start', 'is_minimum')}: random parameters lie "
            f"{told.shown(PAPER, 'start', 'excess', '.0f')} % above the exact free energy, and "
            f"{told.shown(PAPER, 'start', 'plateau', '.0%')} of the plane are frozen, without the entropy that decides "
            "at a high temperature",
        ),
        (
            "After the warm-up the minimum is close to the exact free energy",
            _judged(bool((near < 1).all()), near.size > 0),
            f"within 1 % in {int((near < 1).sum())} of {near.size} seeds: "
            f"{told.shown(PAPER, 'warm', 'excess', '.2f')} %, before it "
            f"{told.shown(PAPER, 'start', 'excess', '.2f')} %",
        ),
        _rougher(told, PAPER),
        (
            "Sizeable plateaus appear",
            _in_all(plateaus),
            f"larger at the end than after the warm-up in {plateaus[0]} of {plateaus[1]} seeds: "
            f"{told.shown(PAPER, 'end', 'plateau', '.0%')} of the plane, after "
            f"{told.shown(PAPER, 'warm', 'plateau', '.0%')}",
        ),
        (
            "At the end the minimum has disappeared",
            _in_all(none),
            f"points below the centre in {told.counted(PAPER, 'end', 'is_no_minimum')}: "
            f"{told.shown(PAPER, 'end', 'below', '.0%')} of the plane",
        ),
    ]


def _rougher(
    told: _Told, variant: str, claim: str = "The landscape becomes more rugged, with rapidly changing barriers"
) -> _Statement:
    rougher = told.paired(variant, "structure", "warm", "end")
    return (
        claim,
        _in_all(rougher),
        f"rougher at the end than after the warm-up, noise apart, in {rougher[0]} of {rougher[1]} seeds: "
        f"{told.shown(variant, 'end', 'structure', '.3f')} after {told.shown(variant, 'warm', 'structure', '.3f')}",
    )


def _causes(told: _Told) -> str:
    """Anneal, temperature or noise: what makes a plane rugged, and how the two networks differ."""
    names = told.data["variant"].values.tolist()
    lines = []
    for variant in names:
        if not np.isfinite(told.of(variant, "end")["structure"]).any():
            lines.append(f"* *{variant}*: not measured.")
            continue
        trained, untrained = (told.of(variant, moment) for moment in ("end", UNTRAINED))
        apart = [
            float(one["structure_low"]) > float(other["structure_high"])
            for one, other in ((trained, untrained), (untrained, trained))
        ]
        compared = "rougher than" if apart[0] else "smoother than" if apart[1] else "not told apart from"
        lines.append(
            f"* *{variant}*: at the end {told.shown(variant, 'end', 'structure', '.3f')} without noise, the untrained "
            f"network there {told.shown(variant, UNTRAINED, 'structure', '.3f')}: the annealed one is {compared} it. "
            f"Noise makes {told.shown(variant, 'warm', 'noise_share', '.0%')} of the squared ruggedness after the "
            f"warm-up, {told.shown(variant, 'end', 'noise_share', '.0%')} at the end. Final samples in ground states: "
            f"{_ends(told, variant)}."
        )
    return "\n".join(lines)


def _ends(told: _Told, variant: str) -> str:
    shares = told.data["ground_share"].sel(variant=variant).values
    return ", ".join(f"{share:.0%}" for share in shares[np.isfinite(shares)]) or "none"
