"""What a watch has done, line by line, so that the next one goes on where it stopped."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from semrt.errors import OutputNotWritable

if TYPE_CHECKING:
    from pathlib import Path

    from semrt.io.arrivals import State

__all__ = ["Entry", "How", "Journal"]

How = Literal["begun", "done", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a file.

    state: of the file, as it was then.  how: the last that was heard; what was begun, and no more, was cut short.
    ours: whether a result that is there may be replaced, as it was made from this file.
    """

    state: State
    how: How
    ours: bool


class Journal:
    """A file to which a line is added whenever a file is begun, and when it ends; safe to use from any thread.

    A line that was cut off, by a full disk or the plug, is passed over: what it told of is done again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._whole = True  # whether the last line has its end
        self._read()

    def of(self, source: Path) -> Entry | None:
        """What became of a file; None of one that is new."""
        return self._entries.get(_key(source))

    def note(self, source: Path, state: State, how: How) -> None:
        """Add a line.  Raises OutputNotWritable."""
        line = json.dumps({"source": _key(source), "state": list(state), "how": how}, ensure_ascii=False)
        with self._lock:
            self._take(_key(source), state, how)
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8", newline="\n") as file:
                    file.write(line + "\n" if self._whole else f"\n{line}\n")
                self._whole = True
            except OSError as why:
                self._whole = False
                raise OutputNotWritable(self.path, why.strerror or why) from why

    def _read(self) -> None:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        except OSError as why:
            raise OutputNotWritable(self.path, why.strerror or why) from why
        self._whole = text.endswith("\n") or not text
        for line in text.splitlines():
            try:
                told = json.loads(line)
                size, changed = map(int, told["state"])
                self._take(str(told["source"]), (size, changed), told["how"])
            except (ValueError, LookupError, TypeError):
                continue

    def _take(self, key: str, state: State, how: How) -> None:
        before = self._entries.get(key)
        ours = how != "failed" or (before is not None and before.ours)
        self._entries[key] = Entry(state, how, ours)


def _key(source: Path) -> str:
    return str(source.resolve())
