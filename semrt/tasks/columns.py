"""Atomic columns of an ADF-STEM image: a network says where, a fit to the raw counts says exactly where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import AtomColumns, Micrograph
from semrt.tasks.column_agreement import f1_lost
from semrt.tasks.column_finder import THRESHOLD, check_image, found_columns
from semrt.tasks.column_input import (
    INPUT_CHANNELS,
    LARGEST_SCALE,
    OUTPUT_CHANNELS,
    SMALLEST_SCALE,
    network_input,
)
from semrt.tasks.column_spacing import column_spacing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Columns"]


class Columns:
    """The `columns` model: a network, a Hough transform of its map, and a joint fit of all columns."""

    accepts = Micrograph
    gives = AtomColumns
    input_channels = INPUT_CHANNELS
    fallbacks: Mapping[str, str] = {"classical": "column-peaks"}
    lost = staticmethod(f1_lost)

    def prepare(
        self, measured: Micrograph, *, spacing: float | None = None, n_threads: int | None = None
    ) -> NDArray[np.float32]:
        """The network's input, (c, h, w) in the order of INPUT_CHANNELS, at a scale of its own.

        spacing: of nearest columns [px], where its estimate is wrong.
        Raises InvalidShape, InvalidValue, InvalidOption.
        """
        check_image(measured)
        return network_input(measured.intensity, spacing=spacing, n_threads=n_threads).planes

    def finish(
        self,
        predicted: NDArray[np.float32],
        prepared: NDArray[np.float32],
        measured: Micrograph,
        *,
        spacing: float | None = None,
        min_distance: float | None = None,
        threshold: float = THRESHOLD,
        places: str = "best",
        light_columns: bool = False,
        n_threads: int | None = None,
    ) -> AtomColumns:
        """Find the disks in the network's map, and fit columns to the counts as they were recorded.

        min_distance: of columns [px]; 0.4 of the spacing when None.  threshold: the least score of a column, 0 to 1.
        places: "counts" fits them to the counts; "best" weighs that, where noise leaves it less certain, with where the
        network saw the disk; "map" is the disk alone, without sigma.
        light_columns: also take what only the counts show, in what the fit leaves over: faint columns that the network
        may have missed, and more speckle that looks like them.
        Raises InvalidOption.
        """
        # The geometry again, rather than carried: it takes a hundredth of the network's time.
        seen = network_input(measured.intensity, spacing=spacing, n_threads=n_threads)
        channel = dict(zip(OUTPUT_CHANNELS, predicted, strict=True))
        return found_columns(
            np.clip(channel["columns"], 0, 1),
            channel["clean"],
            seen,
            measured,
            min_distance=min_distance,
            threshold=threshold,
            places=places,
            light_columns=light_columns,
            by_network=True,
            n_threads=n_threads,
        )

    def outside_domain(
        self, measured: Micrograph, domain: Mapping[str, Any], *, spacing: float | None = None
    ) -> str | None:
        """Why the image is unlike those of the training: its columns are too near one another, or too far apart."""
        least, most = (float(factor) * float(domain["standard_spacing"]) for factor in domain["spacing_error"])
        check_image(measured)
        if spacing is None:
            spacing, confidence = column_spacing(measured.intensity, default=float(domain["standard_spacing"]))
            if confidence == 0:  # without columns there is nothing to be unlike
                return None
        trained = least / LARGEST_SCALE, most / SMALLEST_SCALE
        if trained[0] <= spacing <= trained[1]:
            return None
        return f"columns {spacing:.3g} px apart lie outside the trained {trained[0]:.3g} to {trained[1]:.3g} px"
