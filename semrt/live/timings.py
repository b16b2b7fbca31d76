"""How long methods take here, as far as it is known."""

from __future__ import annotations

import threading

__all__ = ["Timings"]

FORGETTING = 0.3  # of what was expected, when a call is faster: one slow call is soon forgiven
FADING = 0.01  # at each call that passed a method over: load may have gone, and only a call can tell
BEST_CASE = 0.5  # of a guess: how much faster the real thing may be


class Timings:
    """What each method is expected to take [s]: it rises at once, and falls slowly; safe to use from any thread."""

    def __init__(self) -> None:
        self._expected: dict[str, float] = {}
        self._fastest: dict[str, float] = {}
        self._guessed: set[str] = set()
        self._lock = threading.Lock()

    def guess(self, method: str, seconds: float) -> None:
        """Expect a time that was measured on something else; the first real one replaces it."""
        with self._lock:
            self._expected[method], self._fastest[method] = seconds, BEST_CASE * seconds
            self._guessed.add(method)

    def note(self, method: str, seconds: float) -> None:
        """Learn from a call."""
        with self._lock:
            known = method in self._expected and method not in self._guessed
            before = self._expected[method] if known else seconds
            self._expected[method] = max(seconds, before + FORGETTING * (seconds - before))
            self._fastest[method] = min(seconds, self._fastest[method]) if known else seconds
            self._guessed.discard(method)

    def passed_over(self, method: str) -> None:
        """Expect a little less of what was thought too slow, but never less than it is known to take at best."""
        with self._lock:
            if method in self._expected:
                self._expected[method] = max(self._fastest[method], (1 - FADING) * self._expected[method])

    def expected(self, method: str) -> float | None:
        """[s]; None where nothing is known."""
        with self._lock:
            return self._expected.get(method)
