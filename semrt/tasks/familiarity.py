"""How far a sparse scan is from those that a network learnt from, in what a user can look after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["TRAITS", "strangeness", "traits_of"]

TRAITS = {
    "noise": "noise of {value:.2g} of the contrast",
    "correlation_range": "structure of {value:.3g} px",
    "misfit": "held-out samples {value:.2g} times as wrong as the first guess says",
    "extremes": "brightest or darkest samples {value:.2g} standard deviations from the mean",
}
"""What is told of a scan, by its name in the manifest."""
TAIL = 0.001
"""Share of the samples that may be more extreme than "extremes": one hot pixel is no strange scan."""


def traits_of(prepared: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """The traits of a scan, from the channels that semrt.tasks.infill prepares, each (ny, nx), by name."""
    visited = prepared["exposure"] > 0
    magnitudes = np.abs(prepared["intensity"][visited])
    return {
        "noise": float(prepared["noise"][0, 0]),
        "correlation_range": float(np.exp(prepared["correlation_range"][0, 0])),
        "misfit": float(np.exp(prepared["misfit"][0, 0])),
        "extremes": float(np.quantile(magnitudes, 1 - TAIL)),
    }


def strangeness(traits: Mapping[str, float], familiar: Mapping[str, Sequence[float]]) -> list[str]:
    """One line for each trait beyond its smallest and largest in training; none of a scan like those.

    familiar: for each trait, (least, most).
    """
    lines = []
    for name, value in traits.items():
        least, most = familiar.get(name, (-np.inf, np.inf))
        if not least <= value <= most:
            told = TRAITS[name].format(value=value)
            lines.append(
                f"unlike the training: {told}, trained on {least:.2g} to {most:.2g}; the error map may not hold"
            )
    return lines
