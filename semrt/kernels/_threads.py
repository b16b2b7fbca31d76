"""How many threads a kernel gets when nobody says."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cpu_quota", "opencv_threads", "thread_count"]

_SYSTEM = Path("/")


def thread_count(n_threads: int | None = None) -> int:
    """The number asked for, or one for each core this process may run on, as far as its quota reaches."""
    if n_threads is not None and n_threads > 0:
        return n_threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return max(1, cores if quota is None else min(cores, quota))


class _Borrowed:
    """OpenCV's number of threads, which is one for the process, and how many are using another one just now."""

    lock = Lock()
    users = 0
    before = 0


@contextmanager
def opencv_threads(n_threads: int | None = None) -> Iterator[None]:
    """OpenCV with so many threads, as thread_count has it; where several ask at once, the last one decides.

    Its own number comes back with the last of them, in whatever order they end.
    """
    import cv2

    with _Borrowed.lock:
        if _Borrowed.users == 0:
            _Borrowed.before = cv2.getNumThreads()
        _Borrowed.users += 1
        cv2.setNumThreads(thread_count(n_threads))
    try:
        yield
    finally:
        with _Borrowed.lock:
            _Borrowed.users -= 1
            if _Borrowed.users == 0:
                cv2.setNumThreads(_Borrowed.before)


@cache
def cpu_quota(system: Path = _SYSTEM) -> int | None:
    """Cores whose time a container may use, a part of one counting as one; None where nothing is limited.

    A container with a quota still sees all cores of its host, and is stopped for the rest of each period once its
    threads have used up the time together.  system: where /proc and /sys are; read once.
    """
    lowest: float = math.inf
    try:
        lines = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux, or hidden
        return None
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            root, read = system / "sys/fs/cgroup", _second_version
        elif "cpu" in controllers.split(","):
            root, read = system / "sys/fs/cgroup/cpu", _first_version
        else:
            continue
        inner = root / group.lstrip("/")
        # Each group above limits as well; where the container sees its own group as the root, only that is there.
        for folder in (inner, *inner.parents):
            lowest = min(lowest, read(folder))
            if folder == root:
                break
    return None if math.isinf(lowest) else max(1, math.ceil(lowest))


def _second_version(folder: Path) -> float:
    """Cores by cpu.max, which says "quota period" in microseconds, or "max period"."""
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _first_version(folder: Path) -> float:
    """Cores by the two files of the older kind; a quota of -1 is none."""
    try:
        quota, period = (int((folder / f"cpu.cfs_{of}_us").read_text(encoding="utf-8")) for of in ("quota", "period"))
        return quota / period if quota > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
