"""How large a voxel is and where the axes start, in each dialect of TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from semrt.io.calibration import believable, nanometres, pixel_size_from

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

    from semrt.data import PixelSize

__all__ = ["DIGITAL_MICROGRAPH", "axes", "ome_image", "pixel_size", "slice_thickness"]

# Gatan's tags as (unit, origin, scale); also where rosettasciio and HyperSpy look for the units of ImageJ's files.
DIGITAL_MICROGRAPH = {"x": (65003, 65006, 65009), "y": (65004, 65007, 65010), "z": (65005, 65008, 65011)}

_OME_UNIT = "µm"  # the schema's default
_PER_INCH_OR_CM = {2: "inch", 3: "cm"}  # values of the ResolutionUnit tag


def pixel_size(tiff: TiffFile, page: TiffPage) -> PixelSize | None:
    """(dy, dx) [nm] from the most trustworthy place that states it, or None."""
    for dialect in (_ome, _fei, _zeiss, _digital_micrograph, _imagej, _resolution):
        found = dialect(tiff, page)
        if found is not None:
            return found
    return None


def slice_thickness(tiff: TiffFile, page: TiffPage) -> float | None:
    """From slice to slice [nm], from the most trustworthy place that states it, or None."""
    for dialect in (_ome_thickness, _digital_micrograph_thickness, _imagej_thickness):
        found = dialect(tiff, page)
        if found is not None:
            return found
    return None


def axes(tiff: TiffFile, page: TiffPage, names: str) -> dict[str, dict[str, Any]]:
    """Unit and origin of the named axes as the file words them; empty where it does not.  names: "xy" or "xyz"."""
    imagej = tiff.imagej_metadata or {}
    told: dict[str, dict[str, Any]] = {}
    for axis in names:
        unit_tag, origin_tag, _ = DIGITAL_MICROGRAPH[axis]
        stated = {
            "unit": page.tags.valueof(unit_tag) or imagej.get(f"{axis}unit", imagej.get("unit")),
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
    told = _ome_pixels(tiff)
    unit_y, unit_x = (told.get(f"PhysicalSize{axis}Unit", _OME_UNIT) for axis in "YX")
    return pixel_size_from(told.get("PhysicalSizeY"), told.get("PhysicalSizeX"), unit_y, unit_x)


def _ome_thickness(tiff: TiffFile, page: TiffPage) -> float | None:
    told = _ome_pixels(tiff)
    return nanometres(told.get("PhysicalSizeZ"), told.get("PhysicalSizeZUnit", _OME_UNIT))


def _ome_pixels(tiff: TiffFile) -> dict[str, str]:
    image = ome_image(tiff)
    pixels = None if image is None else image.find("{*}Pixels")
    return {} if pixels is None else pixels.attrib


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


def _digital_micrograph_thickness(tiff: TiffFile, page: TiffPage) -> float | None:
    unit, _, scale = DIGITAL_MICROGRAPH["z"]
    return nanometres(page.tags.valueof(scale), page.tags.valueof(unit))


def _imagej(tiff: TiffFile, page: TiffPage) -> PixelSize | None:
    told = tiff.imagej_metadata or {}
    unit_x = told.get("unit")
    unit_y = told.get("yunit", unit_x)
    size = _per_pixel(page, unit_y, unit_x)
    # ImageJ takes over a scanner's dots per inch, and writes them as a calibration in inches.
    return believable(size) if {unit_y, unit_x} & {"inch", "cm"} else size


def _imagej_thickness(tiff: TiffFile, page: TiffPage) -> float | None:
    told = tiff.imagej_metadata or {}
    spacing = told.get("spacing")
    if isinstance(spacing, float | int):
        spacing = abs(spacing)  # as ImageJ takes it
    thickness = nanometres(spacing, told.get("zunit", told.get("unit")))
    return None if thickness is None or believable((thickness, thickness)) is None else thickness


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
