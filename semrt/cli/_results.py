"""What goes beside a result: what its kind has, how it was made, and a picture to look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from semrt import io, provenance
from semrt.cli._kinds import beside, kind_of
from semrt.data import Micrograph
from semrt.errors import OutputExists, OutputNotWritable
from semrt.report.sheet import Caption

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from semrt.cli._kinds import Kind

__all__ = [
    "caption_of",
    "fallback_text",
    "places",
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
    result: Any,
    measured: Any,
    origin: Mapping[str, str],
    *,
    overwrite: bool,
    picture: NDArray[np.uint8] | None = None,
    saves: Collection[str] = (),
    making: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Write a result and what belongs to it, each file whole; the result comes last, so that where it is, all is.

    origin: the file that was read, as provenance.input_of described it then.
    saves: of what the kind of result leaves to choose, what is to be saved.  making: how, where it leaves that too.
    Returns role -> path; roles are output, provenance, preview, and those of the kind.
    Raises OutputExists, OutputNotWritable.
    """
    kind = kind_of(type(result))
    written: dict[str, Path] = {}
    # What an interrupted run left beside a result that it never wrote is nobody's: replace it.
    for role, (path, data) in kind.companions(target, result, saves, **(making or {})).items():
        io.write(path, data, overwrite=True)
        written[role] = path
    if picture is not None:
        written["preview"] = beside(target, "_preview.png")
        write_preview(written["preview"], picture, overwrite=True)
    written["provenance"] = beside(target, ".semrt.json")
    record = provenance.sidecar(result, origin) | kind.described(measured, result)
    io.write_json(written["provenance"], record, overwrite=True)
    io.write(target, result, overwrite=overwrite)
    return {"output": target, **written}


def refuse_existing(
    targets: Iterable[Path], *, preview: bool, kind: Kind | None = None, saves: Collection[str] = (), hint: str = ""
) -> None:
    """Raise OutputExists, with a hint, where a file to be written is already there.  kind: of an image when None."""
    for target in targets:
        for path in places(target, preview=preview, kind=kind or kind_of(Micrograph), saves=saves):
            if path.exists():
                raise OutputExists(path, hint)


def places(target: Path, *, preview: bool, kind: Kind, saves: Collection[str]) -> list[Path]:
    """Every file that may be written for a result, itself the first."""
    endings = [".semrt.json", *(["_preview.png"] if preview else [])]
    return [target, *(beside(target, ending) for ending in endings), *kind.places(target, saves)]


def was_interrupted(target: Path) -> bool:
    """Whether a result that is there says beside it that it was ended before its time."""
    try:
        made = json.loads(beside(target, ".semrt.json").read_text(encoding="utf-8"))
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


def preview_of(measured: Any, result: Any, source: str, **more: Any) -> NDArray[np.uint8]:
    """Draw the preview of a result, captioned by its own provenance.

    more: keywords of the preview of its kind, such as spectra=True.
    """
    return kind_of(type(result)).preview(measured, result, caption_of(measured, result, source), **more)


def caption_of(measured: Any, result: Any, source: str) -> Caption:
    """Say in the banner what the provenance says."""
    made = result.provenance
    model = " ".join(str(made["model"][key]) for key in ("name", "version") if key in made["model"])
    return Caption(
        source=source,
        model=model,
        device=made["device"]["used"],
        seconds=seconds_of(made),
        warning=_warning(result),
        **kind_of(type(result)).headline(measured, result),
    )


def record_of(result: Any, measured: Any) -> dict[str, Any]:
    """Gather what --json says of one result."""
    made = result.provenance
    return {
        "model": made["model"],
        "device": made["device"],
        "fallback": made.get("fallback"),
        "interrupted": made.get("interrupted", False),
        "notes": provenance.notes_of(result),
        "seconds": made["seconds"],
        **kind_of(type(result)).described(measured, result),
    }


def seconds_of(made: Mapping[str, Any]) -> float:
    """Time from the scan to its result [s]; the network's own time is part of `run`."""
    return float(sum(made["seconds"].get(stop, 0.0) for stop in ("prepare", "run", "finish")))


def fallback_text(fallback: Mapping[str, Any] | None) -> str:
    """Say that another method ran, and why; empty where none did."""
    if fallback is None:
        return ""
    return f"{fallback['solver']} ran instead of {fallback['instead_of']['name']}: {fallback['why']}"


def _warning(result: Any) -> str:
    made = result.provenance
    interrupted = "interrupted: the best so far" if made.get("interrupted") else ""
    return "; ".join(filter(None, [fallback_text(made.get("fallback")), interrupted, *provenance.notes_of(result)]))
