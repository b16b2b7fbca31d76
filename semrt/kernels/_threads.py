"""How many threads a kernel gets when nobody says."""

from __future__ import annotations

import os

__all__ = ["thread_count"]


def thread_count(n_threads: int | None = None) -> int:
    """The number asked for, or one for each core this process may run on."""
    if n_threads is not None and n_threads > 0:
        return n_threads
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
