"""How far TensorRT is with a build, from the phases that it tells, which lie within each other."""

from __future__ import annotations

import threading
from dataclasses import dataclass

__all__ = ["PERCENT", "Phases"]

PERCENT = 100


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """The phases under way; from any thread.

    The share that is done never falls, and reaches 1 only when TensorRT has returned: nobody knows how many of the
    outermost phases will follow.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, _Phase] = {}
        self._furthest = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        with self._lock:
            self._open[name] = _Phase(parent, max(steps, 1))

    def step(self, name: str, step: int) -> None:
        """A step of a phase is complete; they count from 0."""
        with self._lock:
            if name in self._open:
                self._open[name].done = step + 1

    def finish(self, name: str) -> None:
        """A phase ends, perhaps before its last step."""
        with self._lock:
            self._open.pop(name, None)

    def told(self) -> tuple[int, str]:
        """Percent done, from 0 to 99, and the innermost phase."""
        with self._lock:
            outermost = [name for name, phase in self._open.items() if phase.parent not in self._open]
            self._furthest = max([self._furthest, *map(self._share, outermost)])
            innermost = next(reversed(self._open), "")
            return min(int(PERCENT * self._furthest), PERCENT - 1), " ".join(innermost.split()).lower()

    def _share(self, name: str) -> float:
        phase = self._open[name]
        within = max((self._share(child) for child, other in self._open.items() if other.parent == name), default=0.0)
        return min((phase.done + within) / phase.steps, 1.0)
