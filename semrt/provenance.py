"""What a result says of how it was made: by which model, on which device, with what settings, in what time."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt._version import __version__
from semrt.errors import UnreadableFile
from semrt.io.description import plain
from semrt.models.manifest import sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from semrt.backends import Session

__all__ = ["input_of", "notes_of", "of_network", "of_solver", "sidecar"]


def of_network(session: Session) -> dict[str, Any]:
    """Describe the model of a session, where it ran, and the software."""
    manifest = session.manifest
    return {
        "model": {
            "name": manifest.name,
            "version": manifest.version,
            "task": manifest.task,
            "precision": session.precision,
            "sha256": session.sha256,
        },
        "device": {"used": session.device, "why": session.reason, "threads": session.threads},
        "software": {**_software(), "runtime": session.runtime},
    }


def of_solver(name: str, threads: int | None, device: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Describe a solver, which needs no network.  device: where it says that it ran; on the CPU when None."""
    ran = device or {"used": "cpu", "why": "cpu, because this model is no network"}
    return {
        "model": {"name": name, "task": name},
        "device": {**ran, "threads": threads},
        "software": _software(),
    }


def notes_of(result: Any) -> list[str]:
    """What the reader of a result must know, each in a line: that of the result itself, and of how it was made."""
    return [*getattr(result, "notes", ()), *result.provenance.get("details", {}).get("notes", ())]


def input_of(source: str | Path) -> dict[str, str]:
    """Describe a file by path and hash, when it is read: later another may be in its place.  Raises UnreadableFile."""
    path = Path(source)
    try:
        return {"path": str(path.resolve()), "sha256": sha256_of(path)}
    except OSError as error:
        raise UnreadableFile(path, error.strerror or error) from error


def sidecar(result: Any, origin: Mapping[str, str]) -> dict[str, Any]:
    """Build the record that goes beside an output: its provenance, and what it was inferred from, ready for JSON.

    result: anything with a provenance.  origin: as `input_of` described the file when it was read.
    """
    record = {
        "input": dict(origin),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        **result.provenance,
    }
    return {key: plain(value) for key, value in record.items()}


def _software() -> dict[str, str]:
    return {"semrt": __version__, "numpy": np.__version__, "python": platform.python_version()}
