"""Where the probe really is while the scan generator asks it to be elsewhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from semrt import _core
from semrt.errors import InvalidOption, InvalidShape, InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["coil_lag"]


def coil_lag(
    nominal: ArrayLike,
    dwell_time: ArrayLike,
    wait: ArrayLike = 0.0,
    *,
    time_constant: float = 0.0,
    delay: float = 0.0,
    slew_limit: float | None = None,
) -> NDArray[np.float64]:
    """Mean position of the probe over each sample's dwell time, (n, 2) as (y, x) [px].

    nominal: (n, 2), the positions asked for.  dwell_time: (n,) or one for all [µs].
    wait: (n,) or one for all, for how long each position is asked for before its dwell time begins [µs].
    time_constant: of one pole [µs].  delay: before a demand reaches the coils [µs].
    slew_limit: highest speed on each axis [px/µs]; None for no limit.
    Before the first sample the probe rests at it.  Raises InvalidShape, InvalidValue, InvalidOption.
    """
    for name, value in (("time_constant", time_constant), ("delay", delay)):
        if not (math.isfinite(value) and value >= 0):
            raise InvalidOption(f"{name}: expected 0 µs or more, got {value}")
    if slew_limit is not None and not slew_limit > 0:
        raise InvalidOption(f"slew_limit: expected a speed above 0 px/µs, got {slew_limit}")
    asked = np.ascontiguousarray(nominal, np.float64)
    if asked.ndim != 2 or asked.shape[1] != 2:
        raise InvalidShape("nominal", "(n, 2) as (y, x)", asked.shape)
    if not np.isfinite(asked).all():
        raise InvalidValue("nominal", "finite positions", "NaN or infinite ones", "leave those samples out")
    times = (_times("dwell_time", dwell_time, len(asked)), _times("wait", wait, len(asked)))
    limit = math.inf if slew_limit is None else float(slew_limit)
    return _core.coil_lag(asked, *times, float(time_constant), float(delay), limit)


def _times(name: str, times: ArrayLike, n: int) -> NDArray[np.float64]:
    given = np.asarray(times, np.float64)
    if given.shape not in {(), (n,)}:
        raise InvalidShape(name, f"({n},) or one for all", given.shape)
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise InvalidValue(name, "0 µs or more", "others")
    return np.ascontiguousarray(np.broadcast_to(given, (n,)))
