"""How large a pixel is and where the axes start, in each dialect of TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from semrt.io.calibration import believable, nanometres, pixel_size_from

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

    from semrt.data import PixelSize

__all__ = ["DIGITAL_MICROGRAPH", "axes", "ome_image", "pixel_size"]

# Gatan's tags as (unit, origin, scale); also where rosettasciio and HyperSpy look for the units of ImageJ's files.
DIGITAL_MICROGRAPH = {"x": (65003, 65006, 65009), "y": (65004, 65007, 65010)}

_PER_INCH_OR_CM = {2: "inch", 3: "cm"}  # values of the ResolutionUnit tag


def pixel_size(tiff: TiffFile, page: TiffPage) -> PixelSize | None:
    """(dy, dx) [nm] from the most trustworthy place that states it, or None."""
    for dialect in (_ome, _fei, _zeiss, _digital_micrograph, _imagej, _resolution):
        found = dialect(tiff, page)
        if found is not None:
            return found
    return None


def axes(tiff: TiffFile, page: TiffPage) -> dict[str, dict[str, Any]]:
    """Unit and origin of y and x as the file words them; empty where it does not."""
    imagej = tiff.imagej_metadata or {}
    told: dict[str, dict[str, Any]] = {}
    for axis, (unit_tag, origin_tag, _) in DIGITAL_MICROGRAPH.items():
        stated = {
            "unit": page.tags.valueof(unit_tag) or imagej.get("unit"),
            "origin": page.tags.valueof(origin_tag, default=imagej.get(f"{axis}origin")),
        }
        told[axis] = {name: value for name, value in stated.items() if isinstance(value, str | int | float)}
    return {axis: stated for axis, stated in told.items() if stated}


def ome_image(tiff: TiffFile) -> ElementTree.Element | None:
    """The first image of the OME-XML, if there is one that can be parsed."""
    if not tiff.is_ome or not tiff.ome_metadata:
        return None
    try:
        return ElementTree.fromstring(tiff.ome_metadata).find("{*}Image")
    except ElementTree.ParseError:  # the pixels are sound all the same, only uncalibrated
        return None


def _ome(tiff: TiffFile, page: TiffPage) -> PixelSize | None:
    image = ome_image(tiff)
    pixels = None if image is None else image.find("{*}Pixels")
    if pixels is None:
        return None
    told = pixels.attrib
    unit_y, unit_x = (told.get(f"PhysicalSize{axis}Unit", "µm") for axis in "YX")  # the schema's default
    return pixel_size_from(told.get("PhysicalSizeY"), told.get("PhysicalSizeX"), unit_y, unit_x)


def _fei(tiff: TiffFile, page: TiffPage) -> PixelSize | None:
    told = tiff.fei_metadata or {}
    for section in ("Scan", "EScan"):
        scan = told.get(section) or {}
        size = pixel_size_from(scan.get("PixelHeight"), scan.get("PixelWidth"), "m", "m")
        if size is not None:
            return size
    return None


def _zeiss(tiff: TiffFile, page: TiffPage) -> PixelSize | None:
    # Not ap_pixel_size, which is the monitor's pixel.
    told = (tiff.sem_metadata or {}).get("ap_image_pixel_size")
    if not (isinstance(told, tuple | list) and len(told) == 3):
        return None
    size = nanometres(told[1], told[2])
    return None if size is None else (size, size)


def _digital_micrograph(tiff: TiffFile, page: TiffPage) -> PixelSize | None:
    (unit_y, _, scale_y), (unit_x, _, scale_x) = DIGITAL_MICROGRAPH["y"], DIGITAL_MICROGRAPH["x"]
    stated = page.tags.valueof
    return pixel_size_from(stated(scale_y), stated(scale_x), stated(unit_y), stated(unit_x))


def _imagej(tiff: TiffFile, page: TiffPage) -> PixelSize | None:
    told = tiff.imagej_metadata or {}
    unit_x = told.get("unit")
    unit_y = told.get("yunit", unit_x)
    size = _per_pixel(page, unit_y, unit_x)
    # ImageJ takes over a scanner's dots per inch, and writes them as a calibration in inches.
    return believable(size) if {unit_y, unit_x} & {"inch", "cm"} else size


def _resolution(tiff: TiffFile, page: TiffPage) -> PixelSize | None:
    unit = _PER_INCH_OR_CM.get(page.tags.valueof("ResolutionUnit", default=2))
    return believable(_per_pixel(page, unit, unit))


def _per_pixel(page: TiffPage, unit_y: str | None, unit_x: str | None) -> PixelSize | None:
    """The tags state pixels per unit, as fractions."""
    (pixels_y, units_y), (pixels_x, units_x) = (
        page.tags.valueof(name, default=(0, 0)) for name in ("YResolution", "XResolution")
    )
    if not (pixels_y and pixels_x):
        return None
    return pixel_size_from(units_y / pixels_y, units_x / pixels_x, unit_y, unit_x)
