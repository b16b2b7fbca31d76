"""What goes beside a result: its error map, how it was made, and a picture to look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from semrt import io, provenance
from semrt.data import SparseVolume, Volume
from semrt.errors import OutputExists, OutputNotWritable
from semrt.report.preview import infill_preview
from semrt.report.sheet import Caption
from semrt.report.volume_preview import volume_preview

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from semrt.data import Micrograph, SparseScan

    Sparse: TypeAlias = SparseScan | SparseVolume
    Whole: TypeAlias = Micrograph | Volume

__all__ = [
    "caption_of",
    "fallback_text",
    "preview_of",
    "record_of",
    "refuse_existing",
    "save",
    "seconds_of",
    "was_interrupted",
    "write_preview",
]


def save(
    target: Path,
    result: Whole,
    measured: Sparse,
    source: Path,
    *,
    overwrite: bool,
    picture: NDArray[np.uint8] | None = None,
) -> dict[str, Path]:
    """Write a result and what belongs to it, each file whole; the result comes last, so that where it is, all is.

    Returns role -> path; roles are output, error_map, provenance, preview.  Raises OutputExists, OutputNotWritable.
    """
    written: dict[str, Path] = {}
    # What an interrupted run left beside a result that it never wrote is nobody's: replace it.
    for path, image in io.companions(target, result).items():
        io.write(path, image, overwrite=True)
        written["error_map"] = path
    if picture is not None:
        written["preview"] = _beside(target, "_preview.png")
        write_preview(written["preview"], picture, overwrite=True)
    written["provenance"] = _beside(target, ".semrt.json")
    record = provenance.sidecar(result, source) | {"scan": _described(measured)}
    io.write_json(written["provenance"], record, overwrite=True)
    io.write(target, result, overwrite=overwrite)
    return {"output": target, **written}


def refuse_existing(targets: Iterable[Path], *, preview: bool) -> None:
    """Raise OutputExists where a file that would be written is already there."""
    for target in targets:
        beside = [".semrt.json", f"_error{target.suffix}", *(["_preview.png"] if preview else [])]
        for path in (target, *(_beside(target, ending) for ending in beside)):
            if path.exists():
                raise OutputExists(path)


def was_interrupted(target: Path) -> bool:
    """Whether a result that is there says beside it that it was ended before its time."""
    try:
        made = json.loads(_beside(target, ".semrt.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # nothing says so
    return isinstance(made, dict) and made.get("interrupted") is True


def write_preview(path: Path, picture: NDArray[np.uint8], *, overwrite: bool = False) -> None:
    """Write a picture, RGB (ny, nx, 3), as PNG.  Raises OutputExists, OutputNotWritable."""
    import cv2

    encoded, png = cv2.imencode(".png", picture[..., ::-1])
    if not encoded:
        raise OutputNotWritable(path, f"OpenCV cannot encode a picture of shape {picture.shape}")
    with io.replacing(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(png.tobytes())


def preview_of(measured: Sparse, result: Whole, source: str, **more: Any) -> NDArray[np.uint8]:
    """Draw the preview of an image or a stack, captioned by the result's own provenance.

    more: keywords of infill_preview, or of volume_preview.
    """
    caption = caption_of(measured, result, source)
    if isinstance(measured, SparseVolume) and isinstance(result, Volume):
        return volume_preview(measured, result, caption, **more)
    return infill_preview(cast("SparseScan", measured), cast("Micrograph", result), caption, **more)


def caption_of(measured: Sparse, result: Whole, source: str) -> Caption:
    """Say in the banner what the provenance says."""
    made = result.provenance
    model = " ".join(str(made["model"][key]) for key in ("name", "version") if key in made["model"])
    return Caption(source, model, measured.coverage, made["device"]["used"], seconds_of(made), _warning(made))


def record_of(result: Whole, measured: Sparse) -> dict[str, Any]:
    """Gather what --json says of one result."""
    made = result.provenance
    return {
        "model": made["model"],
        "device": made["device"],
        "fallback": made.get("fallback"),
        "interrupted": made.get("interrupted", False),
        "scan": _described(measured),
        "seconds": made["seconds"],
    }


def seconds_of(made: Mapping[str, Any]) -> float:
    """Time from the scan to its result [s]; the network's own time is part of `run`."""
    return float(sum(made["seconds"].get(stop, 0.0) for stop in ("prepare", "run", "finish")))


def fallback_text(fallback: Mapping[str, Any] | None) -> str:
    """Say that another method ran, and why; empty where none did."""
    if fallback is None:
        return ""
    return f"{fallback['solver']} ran instead of {fallback['instead_of']['name']}: {fallback['why']}"


def _warning(made: Mapping[str, Any]) -> str:
    said = [fallback_text(made.get("fallback")), "interrupted: the best so far" if made.get("interrupted") else ""]
    return "; ".join(filter(None, said))


def _described(measured: Sparse) -> dict[str, Any]:
    told = {"shape": list(measured.shape), "coverage": measured.coverage, "pixel_size_nm": measured.pixel_size}
    if isinstance(measured, SparseVolume):
        of_slices = measured.coverage_of_slices
        told["coverage_of_slices"] = {"min": float(of_slices.min()), "max": float(of_slices.max())}
        told["slice_thickness_nm"] = measured.slice_thickness
    return told


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(target.stem + ending)
