"""One call for scripts and notebooks: open the model, keep it open, infer."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from semrt import engine
from semrt.backends import tensorrt
from semrt.engine import open_session
from semrt.models import Manifest
from semrt.tasks import Solver

if TYPE_CHECKING:
    from pathlib import Path

    from semrt.backends import Session
    from semrt.tasks import Progress

__all__ = ["infer"]

_KEPT_OPEN = 4
_sessions: OrderedDict[tuple[Any, ...], Session] = OrderedDict()
_lock = threading.Lock()


def infer(
    model: str | Path,
    measured: Any,
    *,
    device: str = "auto",
    threads: int | None = None,
    precision: str = "fp32",
    solver: str | None = None,
    tile: int | None = None,
    gpu_memory: int | None = None,
    batch: int | None = None,
    fallback: str = "auto",
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    **options: Any,
) -> Any:
    """Infer what was not measured, with a model by name or folder, such as semrt.infer("infill", scan).

    The last few models stay open, so that a loop over images opens its model once.  Parameters are those of
    open_session and engine.infer; raises what they raise.
    solver: what does the work of a model's network, such as "mrf" of layers; "network" for the network itself;
        None or "auto" for what the model does by itself.
    """
    found = engine.find_model(model, device, precision, solver, gpu_memory)
    opened = found if isinstance(found, Solver) else _session(found, device, threads, precision, tile, gpu_memory)
    return engine.infer(
        measured,
        opened,
        tile=tile,
        batch=batch,
        fallback=fallback,
        device=device,
        threads=threads,
        progress=progress,
        checkpoint=checkpoint,
        **options,
    )


def _session(
    folder: Path, device: str, threads: int | None, precision: str, tile: int | None, gpu_memory: int | None
) -> Session:
    manifest = Manifest.read(folder)
    if not tensorrt.has_engine(manifest, precision):
        tile = None  # all else takes any: no reason to open the model again
    # A forked process has none of its parent's threads.
    key = folder, device, threads, precision, tile, gpu_memory, os.getpid()
    with _lock:
        session = _sessions.pop(key, None)
        if session is None or session.manifest != manifest:  # the folder may hold a newer model by now
            how: dict[str, Any] = {"tile": tile, "gpu_memory": gpu_memory}
            session = open_session(folder, device, threads=threads, precision=precision, **how)
        _sessions[key] = session
        while len(_sessions) > _KEPT_OPEN:
            _sessions.popitem(last=False)  # not closed: another thread may be running it
    return session
