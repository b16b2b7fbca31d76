"""One picture of a restored tomogram: sections before and after, what was inferred, and spectra with the wedge."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from semrt.data import Micrograph, TiltSeries
from semrt.errors import InvalidShape
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import wbp
from semrt.report import display
from semrt.report.canvas import AMBER, FAINT, INK, QUIET, RAISED, TEAL, blank, box, shortened, text, text_width
from semrt.report.preview import field_text
from semrt.report.sheet import CELL_AT_LEAST, Caption, Panel, draw_scale_bar, lay_out
from semrt.report.wedge_summary import summary_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semrt.data import OnDisk, PixelSize, Tomogram

    Plane = NDArray[np.float32]
    Measured = TiltSeries | Tomogram | OnDisk

__all__ = ["headline_of", "wedge_preview"]

PANEL_AT_MOST = (512, 512)
BAR_FROM = 160  # height of a picture in which a scale bar leaves enough to be seen [px]
AT_ONCE = 32  # slices in memory
DASH, SPACE, FREE = 9, 7, 14  # of the lines on the spectra, and about their middle [px]


class Sections(NamedTuple):
    """Planes through the middle: (nz, nx), (ny, nx) and (ny, nz); where the tilt axis lies in one, it runs down."""

    xz: Plane
    xy: Plane
    yz: Plane


def wedge_preview(measured: Measured, found: Tomogram, caption: Caption, *, spectra: bool = False) -> NDArray[np.uint8]:
    """Draw three sections through the middle before and after, what of them was inferred, and the spectra of XZ.

    measured: what the tomogram was found from; of a tilt series, its weighted back projection is drawn.
    spectra: add those of the other sections.
    Returns RGB (ny, nx, 3) uint8.  Raises InvalidShape where they are of different specimens.
    """
    first = measured.slab(slice(0, 1))
    series = isinstance(first, TiltSeries)
    shape = first.shape[2] if series else (first.shape[0], first.shape[2])
    if measured.n_slices != found.n_slices or shape != (found.shape[2] if series else found.shape[::2]):
        raise InvalidShape("tomogram", "the slices and the width of what was measured", found.shape)
    before, after = _before(measured, found), _of_volume(found.density)
    inferred = None if found.inferred is None else _of_volume(found.inferred)
    name = "Back projection" if series else "Given"
    rows = [
        _row(name, plane, before, after, inferred, found) for plane in ("xz", "xy", "yz") if _worth_it(plane, found)
    ]
    width = max(rows[0][0].picture.shape[1], CELL_AT_LEAST)
    rows.append([*_spectra(name, "xz", before, after, found), Panel("Found", _figures(found, (width, width)))])
    if spectra:
        rows += [_spectra(name, plane, before, after, found) for plane in ("xy", "yz") if _worth_it(plane, found)]
    return lay_out(rows, caption)


def headline_of(found: Tomogram) -> str:
    """Say in a line what was measured, how well it is explained, and how much was inferred."""
    figures = summary_of(found)
    tomogram, misfit = figures["tomogram"], figures["misfit"]
    said = []
    if found.tilt_range is not None:
        low, high = found.tilt_range
        tilts = found.provenance.get("details", {}).get("tilts")
        said.append(f"{f'{tilts} tilts ' if tilts else 'tilts '}from {_signed(low)} to {_signed(high)}°")
    if misfit["chi2"] is not None:
        said.append(f"projections explained to {math.sqrt(misfit['chi2']):.2g} times their noise")
    elif misfit["rms_relative"] is not None:
        said.append(f"projections explained to {100 * misfit['rms_relative']:.2g} %")
    if tomogram["inferred_share"] is not None:
        said.append(f"{100 * tomogram['inferred_share']:.2g} % of the contrast lies where no tilt measured")
    return "; ".join(said)


def _before(measured: Measured, found: Tomogram) -> Sections:
    """Sections of what was given, some slices at a time."""
    nz, ny, nx = found.shape
    xy, yz, xz = np.empty((ny, nx), np.float32), np.empty((ny, nz), np.float32), None
    for start in range(0, ny, AT_ONCE):
        part = measured.slab(slice(start, min(ny, start + AT_ONCE)))
        here = slice(start, start + part.n_slices)
        if isinstance(part, TiltSeries):
            # Of a single plane no more is back projected than that.
            xy[here], yz[here] = _back_projected(part, (1, nx))[0], _back_projected(part, (nz, 1))[..., 0].T
        else:
            sections = _of_volume(part.density)
            xy[here], yz[here] = sections.xy, sections.yz
        if here.start <= ny // 2 < here.stop:
            of = slice(ny // 2 - start, ny // 2 - start + 1)
            middle = part.slab(of)
            whole = _back_projected(middle, (nz, nx)) if isinstance(middle, TiltSeries) else middle.density
            xz = whole[:, 0]
    assert xz is not None  # the middle is one of them
    return Sections(xz, xy, yz)


def _back_projected(series: TiltSeries, shape: tuple[int, int]) -> NDArray[np.float32]:
    geometry = TiltGeometry(series.angles, shape, series.shape[2], series.axis_offset)
    return wbp(series.intensity, geometry)


def _of_volume(volume: NDArray[np.float32]) -> Sections:
    nz, ny, nx = volume.shape
    planes = volume[:, ny // 2], volume[nz // 2], volume[:, :, nx // 2].T
    return Sections(*(np.ascontiguousarray(plane, np.float32) for plane in planes))


def _worth_it(plane: str, found: Tomogram) -> bool:
    """Whether there is more to be seen than a line."""
    return plane == "xz" or found.n_slices > 1


def _row(
    name: str, plane: str, before: Sections, after: Sections, inferred: Sections | None, found: Tomogram
) -> list[Panel]:
    pixel_size = _pixel_size(plane, found)
    size = _size(getattr(after, plane).shape, pixel_size)
    nz, ny, nx = found.shape
    at = {"xz": f"XZ at y={ny // 2}", "xy": f"XY at z={nz // 2}", "yz": f"YZ at x={nx // 2}, z to the right"}[plane]
    panels: list[Panel] = []
    for title, sections in ((name, before), ("Restored", after)):
        section = getattr(sections, plane)
        limits = display.contrast(section)
        picture = display.grey(display.resized(section, size), limits)
        if size[0] >= BAR_FROM:
            draw_scale_bar(picture, Micrograph(section, pixel_size))
        note = f"black {_number(limits[0])}, white {_number(limits[1])}"
        if not panels and plane == "xz":
            note = field_text(Micrograph(section, pixel_size))
        panels.append(Panel(f"{title}, {at}", picture, note))
    if inferred is not None:
        section = getattr(inferred, plane)
        top = max(float(np.percentile(np.abs(section), 99.5)), 1e-3 * (limits[1] - limits[0]))
        top = float(f"{top:.2g}")
        shown = _more_or_less(display.resized(section, size), (-top, top))
        panels.append(Panel("Inferred part of it", shown, "", (-top, top), _more_or_less))
    return panels


def _spectra(name: str, plane: str, before: Sections, after: Sections, found: Tomogram) -> list[Panel]:
    """Power spectra; on those of XZ, the edges of what the tilts measured."""
    sections = {name: getattr(before, plane), "restored": getattr(after, plane)}
    powers = {title: display.power_spectrum(section) for title, section in sections.items()}
    high = max(float(np.percentile(power, 99.95)) for power in powers.values())
    # What is 10⁵ times fainter than the brightest is black in both, so that they compare.
    shape = sections[name].shape
    side = _size(found.shape[::2], None)[1]
    size = (round(side * min(1.0, shape[0] / shape[1])), round(side * min(1.0, shape[1] / shape[0])))
    panels = []
    for title, power in powers.items():
        picture = display.heat(display.resized(power, size), (high - 5, high))
        note = "logarithmic, Hann window"
        if plane == "xz" and found.tilt_range is not None:
            for angle in found.tilt_range:
                _line(picture, shape, angle)
            note = "within the lines about the vertical, no tilt measured"
        panels.append(Panel(f"Spectrum of {plane.upper()}, {title.lower()}", picture, note))
    return panels


def _line(picture: NDArray[np.uint8], shape: tuple[int, int], angle: float) -> None:
    """Dash the frequencies that the tilt at an angle measured: a line through the middle, which stays free."""
    import cv2

    ny, nx, _ = picture.shape
    # A frequency k (sin, cos) [cycles a pixel] lies at as many times the length of the axis from the middle.
    zoom_y, zoom_x = ny / shape[0], nx / shape[1]
    middle = (shape[0] // 2 + 0.5) * zoom_y, (shape[1] // 2 + 0.5) * zoom_x
    step = np.array([ny * math.sin(math.radians(angle)), nx * math.cos(math.radians(angle))])
    step /= np.hypot(*step)
    for sign in (-1, 1):
        for at in range(FREE, int(np.hypot(ny, nx)), DASH + SPACE):
            ends = [np.add(middle, sign * length * step) for length in (at, at + DASH)]
            (y0, x0), (y1, x1) = ((round(8 * float(y)), round(8 * float(x))) for y, x in ends)
            cv2.line(
                picture, (x0, y0), (x1, y1), TEAL, 1, cv2.LINE_AA, 3
            )  # three bits of a coordinate are its fraction


def _more_or_less(plane: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.uint8]:
    """More in amber, less in teal, nothing near black; RGB (ny, nx, 3)."""
    middle, half = (limits[0] + limits[1]) / 2, max((limits[1] - limits[0]) / 2, 1e-30)
    share = np.clip((plane - middle) / half, -1, 1)[..., None]
    ground = np.array(display.UNVISITED, np.float32)
    colour = np.where(share > 0, np.array(AMBER, np.float32), np.array(TEAL, np.float32))
    return np.asarray(np.rint(ground + np.abs(share) * (colour - ground)), np.uint8)


def _figures(found: Tomogram, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A card of what there is to know of the result."""
    figures = summary_of(found)
    tomogram, misfit = figures["tomogram"], figures["misfit"]
    told = found.provenance.get("details", {})
    lines = [("Voxels", " × ".join(map(str, found.shape[::-1])))]
    if found.voxel_size is not None:
        lines.append(("Voxel, x y z", " × ".join(f"{length:.3g}" for length in found.voxel_size[::-1]) + " nm"))
    if found.tilt_range is not None:
        lines.append(("Tilts", f"{_signed(found.tilt_range[0])} to {_signed(found.tilt_range[1])}°"))
        if told.get("tilts"):
            lines.append(("of them" if not told.get("projected_from") else "projected at", str(told["tilts"])))
    if misfit["noise"] is not None:
        lines.append(("Noise of a pixel, 1 σ", _number(misfit["noise"])))
    if misfit["chi2"] is not None:
        lines.append(("Unexplained, χ² a pixel", f"{misfit['chi2']:.3g}"))
    if misfit["rms_relative"] is not None:
        lines.append(("Unexplained, relative", f"{100 * misfit['rms_relative']:.2g} %"))
    if tomogram["inferred_share"] is not None:
        lines.append(("Inferred, of the contrast", f"{100 * tomogram['inferred_share']:.2g} %"))
    picture = blank(*size)
    box(picture, (0, 0), (min(size[0], 40 + 38 * len(lines)), size[1]), RAISED, radius=8)
    left, right = 24, size[1] - 24
    for k, (name, value) in enumerate(lines):
        y = 46 + 38 * k
        text(picture, shortened(name, 15, right - left - text_width(value, 15) - 16), (y, left), 15, QUIET)
        text(picture, value, (y, right), 15, INK, align="right")
        if k < len(lines) - 1:
            box(picture, (y + 14, left), (1, right - left), FAINT)
    return picture


def _size(shape: tuple[int, int], pixel_size: PixelSize | None) -> tuple[int, int]:
    """Size at which a section is drawn [px], to scale where it is known."""
    dy, dx = pixel_size or (1.0, 1.0)
    if math.isclose(dy, dx, rel_tol=0.02):
        return display.fit(shape, PANEL_AT_MOST)
    step = min(dy, dx)
    return display.fit((max(1, round(shape[0] * dy / step)), max(1, round(shape[1] * dx / step))), PANEL_AT_MOST)


def _pixel_size(plane: str, found: Tomogram) -> PixelSize | None:
    if found.voxel_size is None:
        return None
    dz, dy, dx = found.voxel_size
    return {"xz": (dz, dx), "xy": (dy, dx), "yz": (dy, dz)}[plane]


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _signed(angle: float) -> str:
    return f"{angle:+.4g}".replace("-", "−")
