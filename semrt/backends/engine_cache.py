"""Engines that this installation built, kept in a folder of the user's own.

An engine is native code: it is loaded from nowhere else, never from a folder into which others may write, and never
when its bytes are not those that were written. What is damaged is removed, and counts as not there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from semrt.errors import CacheUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FOLDER", "SCHEMA", "Busy", "EngineCache", "Entry", "Kept", "default_folder", "key_of"]

FOLDER = "SEMRT_CACHE"  # the environment variable
SCHEMA = 1  # of the files, and of how semrt builds: raise it, and what was built before is not found

_KEY = re.compile("[0-9a-f]{64}")
_CONTENT, _SIDECAR, _LOCK = ".engine", ".json", ".lock"
_TRY_AGAIN = 0.05  # seconds
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # what the systems say of a lock that another holds


class Busy(Exception):
    """Another process holds the key."""


@dataclass(frozen=True)
class Entry:
    """What is said of something kept, and its size [bytes]."""

    key: str
    meta: Mapping[str, Any]
    size: int


@dataclass(frozen=True)
class Kept:
    """Something kept: its bytes, the same that were written, and what is said of them."""

    key: str
    content: bytes
    meta: Mapping[str, Any]


def default_folder() -> Path:
    """The folder of engines: in $SEMRT_CACHE, or where the system keeps what can be made again."""
    if asked := os.environ.get(FOLDER):
        return Path(asked).expanduser().absolute() / "engines"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise CacheUnusable("~", error) from error
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = home / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME", ""))
        root = root if root.is_absolute() else home / ".cache"
    return root / "semrt" / "engines"


def key_of(ingredients: Mapping[str, Any]) -> str:
    """The key of what is made of these: another value of any of them is another key."""
    told = json.dumps({"schema": SCHEMA, **ingredients}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True)
class EngineCache:
    """A folder of engines; several processes may use it at once.

    Each key has its bytes, and beside them a sidecar: their hash, and what is said of them.
    Every method raises CacheUnusable for a folder that another user owns, or into which others may write.
    """

    folder: Path = field(default_factory=default_folder)

    def load(self, key: str) -> Kept | None:
        """What is kept under the key; None where nothing is, or where it is damaged, which removes it."""
        if not self._is_trusted():
            return None
        kept = self._read(key)
        if kept is None and self._remains(key):
            with suppress(Busy, CacheUnusable), self.lock(key):  # one who writes it just now holds the lock
                kept = self._read(key)
                if kept is None:
                    self.remove(key)
        return kept

    def store(self, key: str, content: bytes, meta: Mapping[str, Any]) -> Path:
        """Keep bytes under a key, whole or not at all, whoever reads it meanwhile; within lock(key).

        Returns the file's path.  Raises CacheUnusable where it cannot be written.
        """
        self._prepare()
        told = {"schema": SCHEMA, "key": key, "sha256": hashlib.sha256(content).hexdigest(), "meta": dict(meta)}
        sidecar = json.dumps(told, indent=2, sort_keys=True) + "\n"
        try:
            self._path(key, _SIDECAR).unlink(missing_ok=True)  # never that of other bytes beside these
            self._write(self.path(key), content)
            self._write(self._path(key, _SIDECAR), sidecar.encode())
        except OSError as error:
            self.remove(key)
            raise CacheUnusable(self.folder, error.strerror or error) from error
        return self.path(key)

    def path(self, key: str) -> Path:
        """The file of the bytes under a key, there or not."""
        return self._path(key, _CONTENT)

    def entries(self) -> list[Entry]:
        """List what is kept, by what its sidecars say; the bytes are not read."""
        found = []
        for path in sorted(self.folder.glob(f"*{_SIDECAR}")) if self._is_trusted() else []:
            with suppress(OSError):
                if _KEY.fullmatch(path.stem) and (told := _told(path)) is not None:
                    found.append(Entry(path.stem, told["meta"], self._path(path.stem, _CONTENT).stat().st_size))
        return found

    def remove(self, key: str) -> None:
        """Remove what is kept under the key, if anything is."""
        for suffix in (_SIDECAR, _CONTENT):  # without its sidecar it is nothing any more
            with suppress(OSError):
                self._path(key, suffix).unlink()

    def clear(self) -> tuple[int, int]:
        """Remove all that is kept, and what an interruption left; what another process is building stays.

        Returns how many there were, and how many are held by others.
        """
        if not self._is_trusted():
            return 0, 0
        removed = held = 0
        files = [path for path in self.folder.iterdir() if _KEY.fullmatch(path.name.lstrip(".").partition(".")[0])]
        for key in sorted({path.name.lstrip(".").partition(".")[0] for path in files}):
            try:
                with self.lock(key):
                    removed += self.path(key).exists()
                    self.remove(key)
                    for path in files:
                        if path.name.startswith(f".{key}."):
                            path.unlink(missing_ok=True)
                    with suppress(OSError):  # Windows removes no file that is open
                        self._path(key, _LOCK).unlink()
            except Busy:
                held += 1
        return removed, held

    @contextmanager
    def lock(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a key against other processes and threads; one that dies lets go of it.

        waiting: called again and again while another holds it, and raises to give up; where it is None, raises Busy.
        """
        self._prepare()
        path = self._path(key, _LOCK)
        try:
            while (descriptor := _grabbed(path)) is None:
                if waiting is None:
                    raise Busy(key)
                waiting()
                time.sleep(_TRY_AGAIN)
        except OSError as error:
            raise CacheUnusable(self.folder, error.strerror or error) from error
        try:
            yield
        finally:
            os.close(descriptor)

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / f"{key}{suffix}"

    def _remains(self, key: str) -> bool:
        return any(self._path(key, suffix).exists() for suffix in (_CONTENT, _SIDECAR))

    def _read(self, key: str) -> Kept | None:
        try:
            told = _told(self._path(key, _SIDECAR))
            content = self.path(key).read_bytes()
        except OSError:
            return None
        if told is None or told["key"] != key or told["sha256"] != hashlib.sha256(content).hexdigest():
            return None
        return Kept(key, content, told["meta"])

    def _prepare(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CacheUnusable(self.folder, error.strerror or error) from error
        self._is_trusted()

    def _is_trusted(self) -> bool:
        """Whether the folder is there; raises CacheUnusable for one that is not the user's alone."""
        try:
            status = self.folder.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CacheUnusable(self.folder, error.strerror or error) from error
        if sys.platform != "win32":  # there, what lies below a profile is closed to other users by its access list
            if status.st_uid != os.geteuid():
                raise CacheUnusable(self.folder, f"it belongs to another user, number {status.st_uid}")
            if status.st_mode & 0o022:
                raise CacheUnusable(self.folder, f"other users may write into it; run: chmod 700 {self.folder}")
        return True

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        partial = path.with_name(f".{path.name}.{token_hex(4)}")
        try:
            with partial.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())  # else a power cut may leave the name without the bytes
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _told(sidecar: Path) -> dict[str, Any] | None:
    """What a sidecar says; None where it is damaged, or of another semrt.  Raises OSError."""
    try:
        told = json.loads(sidecar.read_bytes())
    except (ValueError, RecursionError):
        return None
    wanted = {"schema": int, "key": str, "sha256": str, "meta": dict}
    if not isinstance(told, dict) or not all(isinstance(told.get(name), kind) for name, kind in wanted.items()):
        return None
    return told if told["schema"] == SCHEMA else None


def _grabbed(path: Path) -> int | None:
    """A descriptor that holds the lock of the file, until it is closed; None where another holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if sys.platform == "win32":
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # cleared since it was opened: the lock of a name that is gone, which nobody else would meet
        except OSError as error:
            if error.errno in _HELD:
                os.close(descriptor)
                return None
            os.close(descriptor)
            raise
        os.close(descriptor)
