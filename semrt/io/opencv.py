"""OpenCV's decoders, which speak to stderr by themselves, kept quiet."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["decoded", "decoded_pages"]

_LOG = threading.Lock()  # its level is one for all threads


def decoded(content: NDArray[Any]) -> NDArray[Any] | None:
    """The image in a file's bytes, (ny, nx) or (ny, nx, channels), dtype and depth as they are; None if it has none."""
    import cv2

    with _quiet():
        return cv2.imdecode(content, cv2.IMREAD_UNCHANGED)


def decoded_pages(content: NDArray[Any]) -> list[NDArray[Any]]:
    """Every image in the bytes of a file of several, in its order, as `decoded` gives one; those before the damage."""
    import cv2

    with _quiet():
        return list(cv2.imdecodemulti(content, cv2.IMREAD_UNCHANGED)[1])


@contextmanager
def _quiet() -> Iterator[None]:
    import cv2

    with _LOG:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            cv2.utils.logging.setLogLevel(level)
