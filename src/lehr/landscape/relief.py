"""The shape of a plane in numbers: how rugged, how much of it is noise, and is there a basin around the centre?"""

import numpy as np
import xarray as xr
from jaxtyping import Float

_NUMBERS = (
    "unknown", "range", "ruggedness", "structure", "noise_share", "noise_variance_share", "below", "rank", "low_area",
    "plateau", "basin",
)  # fmt: skip
# Local values that spread by less than this share of the plane's range are one value.
_ALIKE = 1e-6
# A point lies below the centre by so many standard errors, and by such a share of the range: where by chance all
# samples are in one state, their standard error is zero.
_CLEARLY, _MATTERS = 4.0, 1e-3
# The edge of a basin is higher than its centre by such a share of the range.
_RISES = 0.05
# Rays on which the edge of the basin is looked for.
_RAYS = 64


def rescaled(loss: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "a b"]:
    """Values mapped linearly onto [-1, 1], as in paper B's figure 4; all zero where they are equal.

    >>> rescaled(np.array([[2.0, 3.0], [6.0, 4.0]])).tolist()
    [[-1.0, -0.5], [1.0, 0.0]]
    """
    low, high = np.nanmin(loss), np.nanmax(loss)
    return 2 * (loss - low) / (high - low) - 1 if high > low else np.zeros_like(loss)


def shape(plane: xr.Dataset) -> xr.Dataset:
    """What a plane looks like, in numbers.

    Arguments: a dataset of `lehr.landscape.plane`, evenly spaced, of at least 3 points along each axis.

    Returns: scalars, of which all but `range` are relative:
    `range`: largest minus smallest loss, in the units of H;
    `ruggedness`: root mean square of the second differences along both axes, relative to the range; it depends on the
    spacing of the grid;
    `noise_share`: which share of the mean square of the second differences is noise of the samples: each is 6 squared
    standard errors of noise where points have random numbers of their own (NaN where there are no errors, or for a
    plane without structure); an estimate that can exceed 1;
    `structure`: the ruggedness without that noise, 0 where there is no more than noise;
    `noise_variance_share`: the same for the variance of the loss over the plane;
    `below`: share of the points whose loss lies below that of the centre by more than 4 standard errors of the
    difference and 0.1 % of the range, and `rank`: the share below the centre at all;
    `low_area`: share of the points in the lowest tenth of the range;
    `plateau`: share of the points whose samples all have the same local value, as where p has frozen in one state;
    `basin`: the mean distance from the centre, in the units of alpha, at which the loss on its way outwards first
    exceeds the mean of the centre's loss and the plane's median, and the centre's loss by 5 % of the range; 0 where
    the centre lies above the median, and the end of the plane on rays without such an edge.
    `unknown`: share of the points whose loss is not finite, because the network overflows there: they are in no other
    number, and are the edge of the basin. All others are NaN where the centre is not known.

    >>> x = np.linspace(-1, 1, 41)
    >>> bowl = xr.Dataset({"loss": (("alpha", "beta"), x[:, None] ** 2 + x**2)}, coords={"alpha": x, "beta": x})
    >>> found = shape(bowl.assign(error=0 * bowl["loss"], centre=0.0, centre_error=0.0))
    >>> float(found["below"]), round(float(found["basin"]), 1), round(float(found["ruggedness"]), 4)
    (0.0, 0.6, 0.0025)
    """
    loss, error = (plane[name].transpose("alpha", "beta").values for name in ("loss", "error"))
    centre, centre_error = float(plane["centre"]), float(plane["centre_error"])
    known = np.isfinite(loss)
    if not known.any() or not np.isfinite(centre):
        return xr.Dataset({**dict.fromkeys(_NUMBERS, np.nan), "unknown": 1.0})
    loss, error = np.where(known, loss, np.nan), np.where(known, error, np.nan)
    low, high = np.nanmin(loss), np.nanmax(loss)
    span = float(high - low)
    second = np.concatenate([np.diff(loss, n=2, axis=0).ravel(), np.diff(loss, n=2, axis=1).ravel()])
    rough = float((second**2)[np.isfinite(second)].mean()) if np.isfinite(second).any() else 0.0
    noise = float(np.nan_to_num(error**2)[known].mean())
    sampled = noise > 0
    spread = np.sqrt(error**2 + centre_error**2)
    values = {
        "unknown": float((~known).mean()),
        "range": span,
        "ruggedness": np.sqrt(rough) / span if span else 0.0,
        "structure": np.sqrt(max(rough - 6 * noise, 0.0)) / span if span else 0.0,
        "noise_share": 6 * noise / rough if sampled and rough else np.nan,
        "noise_variance_share": noise / float(loss[known].var()) if sampled and span else np.nan,
        "below": float((loss < centre - _CLEARLY * spread - _MATTERS * span)[known].mean()),
        "rank": float((loss < centre)[known].mean()),
        "low_area": float((loss <= low + span / 10)[known].mean()),
        "plateau": float((error <= _ALIKE * span)[known].mean()) if sampled else np.nan,
        "basin": _basin(plane, loss, centre),
    }
    return xr.Dataset({name: values[name] for name in _NUMBERS})


def _basin(plane: xr.Dataset, loss: np.ndarray, centre: float) -> float:
    median, span = float(np.nanmedian(loss)), float(np.nanmax(loss) - np.nanmin(loss))
    if centre > median + _MATTERS * span:
        return 0.0
    # Where most of the plane is the bottom of a valley, its edge is where the loss clearly rises.
    level = max((centre + median) / 2, centre + _RISES * span)
    alpha, beta = plane["alpha"].values, plane["beta"].values
    far = min(-alpha[0], alpha[-1], -beta[0], beta[-1])
    radii = np.linspace(0, far, 2 * max(len(alpha), len(beta)))[1:]
    angles = np.linspace(0, 2 * np.pi, _RAYS, endpoint=False)
    # The value of the nearest point: interpolation would smooth the noise of some points and not of others.
    rows, columns = (
        np.abs(axis[None, None] - (radii[None] * turn(angles)[:, None])[..., None]).argmin(-1)
        for axis, turn in ((alpha, np.cos), (beta, np.sin))
    )
    above = ~(loss[rows, columns] <= level)
    first = np.where(above.any(axis=1), above.argmax(axis=1), len(radii) - 1)
    return float(radii[first].mean())
