"""Files of a folder in which others are still writing: which of them are whole, as far as one can tell from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from semrt.errors import InputNotFound, UnreadableFile
from semrt.io.paths import expand_inputs, stem_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Arrivals", "Found", "State"]

READ_WITH = (".json", ".tlt", ".rawtlt")
"""Suffixes of what is read with a file of the same stem: of scan paths, of tilt series."""

State = tuple[int, int]
"""Size [bytes] of a file and of those that belong to it, and when any of them was last changed [ns]."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at the folder showed.

    settled: the files that have not changed for long enough.  changing: how many others there are.
    """

    settled: dict[Path, State]
    changing: int


@dataclass
class Arrivals:
    """A folder that is looked at again and again.

    settle: how long [s] size and time of a file must stay before it counts as whole; those that belong to it, such as
        the .json of a scan or the .tlt of a tilt series, count with it.
    recursive: folders below it too.  without: files, and folders below it, that are never meant.
    """

    folder: Path
    settle: float
    recursive: bool = False
    without: tuple[Path, ...] = ()
    _seen: dict[Path, tuple[State, float]] = field(default_factory=dict)

    def look(self, now: float) -> Found:
        """What there is, in natural order.  now: of a clock that never goes back [s].

        Raises InputNotFound where the folder is gone, UnreadableFile.
        """
        states = self._states()
        seen, settled = {}, {}
        for path, state in states.items():
            before, since = self._seen.get(path, (None, now))
            seen[path] = (state, since if state == before else now)
            if now - seen[path][1] >= self.settle:
                settled[path] = state
        self._seen = seen
        return Found(settled, len(states) - len(settled))

    def _states(self) -> dict[Path, State]:
        if not self.folder.is_dir():
            raise InputNotFound(self.folder)
        try:
            paths = expand_inputs([self.folder], recursive=self.recursive)
        except InputNotFound:
            return {}
        try:
            here = self.folder.resolve()
            without = {path for one in self.without if (path := one.resolve()) != here and path.is_relative_to(here)}
            whole = {folder: folder.resolve() for folder in {path.parent for path in paths}}
            folders = {folder for folder, path in whole.items() if without.isdisjoint((path, *path.parents))}
            meant = [path for path in paths if path.parent in folders and whole[path.parent] / path.name not in without]
            belonging = _belonging(folders)
            states = {path: _state(path, belonging.get((path.parent, stem_of(path)), ())) for path in meant}
        except OSError as why:
            raise UnreadableFile(self.folder, why.strerror or why) from why
        return {path: state for path, state in states.items() if state is not None}


def _state(path: Path, belonging: Iterable[Path]) -> State | None:
    """None of what is gone since."""
    try:
        stats = [one.stat() for one in (path, *belonging)]
    except FileNotFoundError:
        return None
    return sum(one.st_size for one in stats), max(one.st_mtime_ns for one in stats)


def _belonging(folders: Iterable[Path]) -> dict[tuple[Path, str], list[Path]]:
    """Files that are read with others, by folder and stem."""
    found: dict[tuple[Path, str], list[Path]] = {}
    for folder in folders:
        for path in folder.iterdir():
            if path.suffix.lower() in READ_WITH:
                found.setdefault((folder, path.stem), []).append(path)
    return found
