"""OpenCV's decoders, which speak to stderr by themselves, kept quiet."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["decoded"]

_LOG = threading.Lock()  # its level is one for all threads


def decoded(content: NDArray[Any]) -> NDArray[Any] | None:
    """The image in a file's bytes, (ny, nx) or (ny, nx, channels), dtype and depth as they are; None if it has none."""
    import cv2

    with _LOG:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            return cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        finally:
            cv2.utils.logging.setLogLevel(level)
