"""How a fit went: the error at samples that the networks did not see, and where the fit was stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.report.canvas import AMBER, FAINT, INK, QUIET, RAISED, TEAL, blank, box, text
from semrt.report.sheet import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["fit_curve"]

PLOT = (300, 512)
ENDED = {"iterations": "all iterations", "seconds": "time was up"}
LEFT, RIGHT, TOP, FOOT = 70, 18, 40, 34


def fit_curve(details: Mapping[str, Any]) -> Panel | None:
    """Draw the curve of a Deep Image Prior, from the details in its provenance; None where there is none to draw.

    The error at held-out samples, that of the classical estimate beside it, and the iteration that was taken.
    """
    curve = [(iteration, error) for iteration, error in details.get("held_out_error") or () if np.isfinite(error)]
    if len(curve) < 2:
        return None
    iterations, errors = (np.array(column, float) for column in zip(*curve, strict=True))
    classical = float(details["held_out_error_classical"])
    # The first iterations, which know nothing yet, would flatten all the rest.
    high = max(float(np.quantile(errors, 0.9)), 1.2 * classical if np.isfinite(classical) else 0.0)
    plot = _Plot((float(iterations[0]), float(iterations[-1])), (0.9 * float(errors.min()), high))
    if np.isfinite(classical):
        plot.level(classical, AMBER, details.get("classical_method", "classical estimate"))
    plot.curve(iterations, errors)
    plot.stop(float(details["iterations"]))
    seed = details["settings"]["seed"] if "settings" in details else "?"
    weight = f"weight of the networks {details['weight_of_networks']:.2f}"
    ended = ENDED.get(details["stopped"], details["stopped"])
    return Panel("Error at samples kept back", plot.picture, f"{ended}; {weight}; seed {seed}")


class _Plot:
    """Axes over (low, high) on x and y."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.picture = blank(*PLOT)
        self._x, self._y = x, y
        ny, nx = PLOT
        box(self.picture, (0, 0), PLOT, RAISED, radius=8)
        for share in (0.0, 0.5, 1.0):
            at = y[0] + share * (y[1] - y[0])
            row = self._row(at)
            box(self.picture, (row, LEFT), (1, nx - LEFT - RIGHT), FAINT)
            text(self.picture, f"{at:.3g}", (row + 5, LEFT - 8), 13, QUIET, align="right")
        for share in (0.0, 1.0):
            at = x[0] + share * (x[1] - x[0])
            text(self.picture, f"{at:.0f}", (ny - 12, self._column(at)), 13, QUIET, align="centre")
        text(self.picture, "iteration", (ny - 12, (LEFT + nx - RIGHT) // 2), 13, QUIET, align="centre")

    def curve(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Join the points; those above the plot are cut off at its edge."""
        import cv2

        points = [(self._column(a), self._row(min(b, self._y[1]))) for a, b in zip(x, y, strict=True)]
        cv2.polylines(self.picture, [np.array(points, np.int32)], False, TEAL, 2, cv2.LINE_AA)

    def level(self, y: float, colour: tuple[int, int, int], name: str) -> None:
        """A horizontal line with its name."""
        row = self._row(y)
        box(self.picture, (row, LEFT), (2, PLOT[1] - LEFT - RIGHT), colour)
        text(self.picture, name, (row - 7, PLOT[1] - RIGHT), 13, colour, align="right")

    def stop(self, x: float) -> None:
        """A vertical line at the iteration that was taken."""
        column = self._column(min(max(x, self._x[0]), self._x[1]))
        box(self.picture, (TOP, column), (PLOT[0] - TOP - FOOT, 2), INK)
        text(self.picture, f"taken at {x:.0f}", (TOP - 10, column + 1), 13, INK, align="right")

    def _column(self, x: float) -> int:
        low, high = self._x
        return LEFT + round((PLOT[1] - LEFT - RIGHT) * (x - low) / max(high - low, 1e-12))

    def _row(self, y: float) -> int:
        low, high = self._y
        return PLOT[0] - FOOT - round((PLOT[0] - TOP - FOOT) * (y - low) / max(high - low, 1e-30))
