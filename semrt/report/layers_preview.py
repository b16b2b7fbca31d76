"""One picture of layers: some of the images, how thick the layers are and how well that is known, a cut, a view."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import Micrograph
from semrt.errors import InvalidShape
from semrt.report import display
from semrt.report.canvas import INK, QUIET, TEAL, box, text
from semrt.report.layers_relief import LOWER, UPPER, relief, top_of
from semrt.report.layers_section import cross_section, nice_steps, residual_plot, row_shown, summary_table
from semrt.report.layers_summary import summary_of
from semrt.report.preview import field_text
from semrt.report.sheet import CELL_AT_LEAST, GUTTER, Caption, Panel, draw_scale_bar, lay_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import EnergyStack, LayerMap

__all__ = ["headline_of", "layers_preview"]

PANEL_AT_MOST = (512, 400)
WIDE_PANEL_AT_MOST = (400, 612)
CHART_AT_LEAST = 260  # height [px]
SECTION, VIEW = 300, 440  # heights [px]
COLOURS = (LOWER, UPPER)


def layers_preview(
    measured: EnergyStack, found: LayerMap, caption: Caption, *, spectra: bool = False
) -> NDArray[np.uint8]:
    """Draw three of the images, thickness and its σ, the deviation at each energy, a cut, and the layers from aside.

    spectra: add power spectra of the three images.
    Returns RGB (ny, nx, 3) uint8.  Raises InvalidShape where the layers are of another field.
    """
    if found.shape != measured.shape[1:]:
        raise InvalidShape("layers", f"{measured.shape[1:]}, as the images have", found.shape)
    wide = found.shape[1] > 2 * found.shape[0]
    size = display.fit(found.shape, WIDE_PANEL_AT_MOST if wide else PANEL_AT_MOST)
    columns = 2 if wide else 3
    chart = max(size[0], CHART_AT_LEAST), max(size[1], CELL_AT_LEAST)
    whole = columns * chart[1] + (columns - 1) * GUTTER
    figures = summary_of(found)
    y = row_shown(found)
    images, maps, sigmas = _images(measured, size), _maps(found, y, size), _sigmas(found, size)
    charts = [] if figures["misfit"] is None else [_residual(found, figures["misfit"], chart)]
    table = Panel("Found", summary_table(figures["layers"], chart))
    if wide:
        panels = images + charts if charts else [*images, table]
        rows = [panels[:2], panels[2:], maps, sigmas]
    else:
        beside = [*charts, table]
        rows = [images, [*maps, beside[0]], [*sigmas, *beside[1:]]]
    if spectra:
        powers = _spectra(measured, size)
        rows += [powers[at : at + columns] for at in range(0, len(powers), columns)]
    rows += [[_section(found, y, whole, columns)], [_view(found, whole, columns)]]
    return lay_out([row for row in rows if row], caption)


def headline_of(found: LayerMap) -> str:
    """Say in a line how much of either material there is, and how well the images are explained."""
    figures = summary_of(found)
    said = []
    for name, layer in figures["layers"].items():
        if layer["median_nm"] is None:
            said.append(f"no {name}")
            continue
        covers = f"{name} on {100 * layer['covered_share']:.0f} %"
        said.append(f"{covers}, median {layer['median_nm']:.3g} nm, at most {layer['max_nm']:.3g}")
    if figures["misfit"] is not None:
        said.append(f"images explained to {100 * figures['misfit']['rms_relative']:.2g} %")
    return "; ".join(said)


def _images(measured: EnergyStack, size: tuple[int, int]) -> list[Panel]:
    panels: list[Panel] = []
    for k in _shown(measured):
        picture = display.grey(display.resized(measured.intensity[k], size), display.contrast(measured.intensity[k]))
        field = Micrograph(measured.intensity[k], measured.pixel_size)
        note = field_text(field) if not panels else ""
        draw_scale_bar(picture, field)
        low, high = display.contrast(measured.intensity[k])
        panels.append(Panel(f"Measured at {measured.energies[k]:g} keV", picture, note or f"{low:.3g} to {high:.3g}"))
    return panels


def _shown(measured: EnergyStack) -> list[int]:
    """Lowest, middle and highest energy."""
    return sorted({0, len(measured.energies) // 2, len(measured.energies) - 1})


def _spectra(measured: EnergyStack, size: tuple[int, int]) -> list[Panel]:
    panels = []
    for k in _shown(measured):
        power = display.power_spectrum(measured.intensity[k])
        low, high = (float(edge) for edge in np.percentile(power, (20, 99.95)))
        picture = display.heat(display.resized(power, size), (low, max(high, low + 1)))
        panels.append(Panel(f"Power spectrum, {measured.energies[k]:g} keV", picture, "logarithmic, Hann window"))
    return panels


def _maps(found: LayerMap, y: int, size: tuple[int, int]) -> list[Panel]:
    """Thickness of either layer; ticks at both sides mark the row of the cut."""
    panels = []
    for name, plane, colour in zip(found.names, found.thickness, COLOURS, strict=True):
        limits = 0.0, _round_up(top_of(plane))
        colours = partial(_tinted, colour=colour)
        picture = colours(display.resized(plane, size), limits)
        row = min(size[0] - 1, round((y + 0.5) * size[0] / found.shape[0]))
        for x in (0, size[1] - 14):
            box(picture, (max(0, row - 1), x), (2, 14), TEAL)
        panels.append(Panel(f"{name.capitalize()}, thickness", picture, "", limits, colours, "nm"))
    return panels


def _sigmas(found: LayerMap, size: tuple[int, int]) -> list[Panel]:
    if found.sigma is None:
        return []
    panels = []
    for name, sigma in zip(found.names, found.sigma, strict=True):
        known = sigma[np.isfinite(sigma)]
        limits = 0.0, _round_up(float(np.percentile(known, 99)) if known.size else 1.0)
        shown = np.where(np.isfinite(sigma), sigma, np.float32(limits[1]))
        picture = display.heat(display.resized(shown, size), limits)
        panels.append(Panel(f"{name.capitalize()}, 1 σ", picture, "", limits, None, "nm"))
    return panels


def _tinted(plane: NDArray[np.float32], limits: tuple[float, float], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return display.tinted(plane, limits, colour)


def _residual(found: LayerMap, figures: dict[str, Any], size: tuple[int, int]) -> Panel:
    noise = figures["noise"]
    picture = residual_plot(found, noise, size)
    said = f"rms over the field, against keV; χ = {figures['chi']:.2g} for {100 * noise:.2g} % noise"
    return Panel("Measured less modelled", picture, said)


def _section(found: LayerMap, y: int, width: int, span: int) -> Panel:
    picture, higher = cross_section(found, y, (SECTION, width))
    scale = "pixel size unknown" if higher is None else f"heights {higher:.2g} times those to scale"
    name = next((name for name, plane in zip(found.names, found.thickness, strict=True) if plane.any()), None)
    where = "" if name is None else f"through the thickest {name}; "
    return Panel(f"Cut along y={y}", picture, where + scale, span=span)


def _view(found: LayerMap, width: int, span: int) -> Panel:
    """The lower layer alone, and beside it both; a bar of a round height on the left of each."""
    lower, upper = found.names
    alone = found.thickness.copy()
    alone[1] = 0
    halves = []
    left = width // 2
    for thickness, words, half in (
        (alone, f"{lower} alone", left),
        (found.thickness, f"{upper} upon it", width - left),
    ):
        picture, px_per_nm = relief(thickness, (VIEW, half))
        text(picture, words, (34, 24), 15, INK)
        highest = top_of(thickness.sum(0))
        if highest > 0:
            length = nice_steps(highest, most=2)[-1]
            bar = max(1, round(length * px_per_nm))
            box(picture, (64, 26), (bar, 3), INK)
            text(picture, f"{length:g} nm", (64 + bar // 2 + 5, 38), 13, QUIET)
        halves.append(picture)
    return Panel("The layers in 3-D", np.hstack(halves), "each with heights to its own bar", span=span)


def _round_up(top: float) -> float:
    """The end of a scale, of two digits, at or above `top`."""
    if top <= 0:
        return 1.0
    unit = 10.0 ** (np.floor(np.log10(top)) - 1)
    return float(f"{np.ceil(top / unit - 1e-6) * unit:.6g}")
