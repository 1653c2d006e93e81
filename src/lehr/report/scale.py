"""Axes of charts: where a value stands, and which values are named."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_DIGITS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_TICKS = 6


class Scale(NamedTuple):
    """A range of values, `log` or linear, on the stretch from `start` to `stop` of a picture."""

    low: float
    high: float
    log: bool
    start: float
    stop: float

    @classmethod
    def around(cls, values: Iterable[int | float], log: bool, start: float, stop: float) -> "Scale":
        """The scale on which all finite (if `log`, positive) values have their place, with a margin."""
        array = np.asarray(list(values), np.float64)
        array = array[np.isfinite(array) & ((array > 0) | (not log))]
        low, high = (float(array.min()), float(array.max())) if array.size else (1.0, 10.0)
        if log:
            span = math.log10(high / low)
            margin = 10 ** max(0.06 * span, 0.15 - span / 2)
            return cls(low / margin, high * margin, log, start, stop)
        span = (high - low) or abs(high) or 1.0
        return cls(low - 0.05 * span, high + 0.05 * span, log, start, stop)

    def place(self, value: int | float) -> float:
        """Where a value stands in the picture; values beyond the ends stand at the ends.

        >>> Scale(1.0, 100.0, True, 0.0, 10.0).place(10.0)
        5.0
        """
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Values to name, and their names.

        >>> Scale(0.9, 120.0, True, 0.0, 1.0).ticks()
        [(1.0, '1'), (10.0, '10'), (100.0, '100')]
        >>> Scale(-0.1, 1.05, False, 0.0, 1.0).ticks()[:3]
        [(0.0, '0.0'), (0.2, '0.2'), (0.4, '0.4')]
        """
        decades = self._decades() if self.log else []
        return decades if len(decades) > 1 else self._even()

    def _even(self) -> list[tuple[float, str]]:
        rough = (self.high - self.low) / _MOST_TICKS
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        large = max(abs(self.low), abs(self.high)) >= 1e6 or digits > 6
        values = [round(number * step, digits + 2) for number in range(first, last + 1)]
        return [(value, f"{value:.3g}" if large else f"{value:.{digits}f}") for value in values]

    def _decades(self) -> list[tuple[float, str]]:
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        if last - first < 1:
            factors = [(power, factor) for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
            values = [factor * 10.0**power for power, factor in factors]
            return [(value, f"{value:.3g}") for value in values if self.low <= value <= self.high]
        every = -(-(last - first + 1) // _MOST_TICKS)
        return [(10.0**power, _power(power)) for power in range(first, last + 1, every)]


def _power(power: int) -> str:
    return f"{10.0**power:g}" if -2 <= power <= 3 else f"10{str(power).translate(_DIGITS)}"
