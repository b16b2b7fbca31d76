"""Outputs that are either whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from semrt.errors import OutputExists, OutputNotWritable, SemrtError
from semrt.io.description import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_writable", "replacing", "write_json"]


@contextmanager
def replacing(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Lend a temporary path in the same folder; on success it becomes `path`, on any failure it vanishes.

    Missing parent folders are created. The temporary name starts with a dot and ends as `path` does.
    Raises OutputExists (before the work, and again after it), OutputNotWritable.
    """
    path = Path(path)
    try:
        _refuse_existing(path, overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_beside(path) as temporary:
            yield temporary
            _refuse_existing(path, overwrite)
            temporary.replace(path)
    except SemrtError:
        raise
    except OSError as why:
        # NumPy's short writes name no cause: "65536 requested and 4880 written".
        raise OutputNotWritable(path, why.strerror or f"{why}: is the disk full?") from why


def check_writable(folder: str | Path) -> None:
    """Raise OutputNotWritable where no file can be made in a folder, or in that in which it would have to be made."""
    folder = Path(folder)
    try:
        # Where it is missing nothing is made of it: other runs may be about to write into what would be removed again.
        there = next(filter(_is_there, (folder.absolute(), *folder.absolute().parents)), folder)
        with _temporary_beside(there / "probe"):
            pass
    except OSError as why:
        raise OutputNotWritable(folder, why.strerror or why) from why


def write_json(path: str | Path, content: Any, *, overwrite: bool = False) -> None:
    """Write JSON atomically: UTF-8, keys sorted, NumPy's types unwrapped, NaN as null.

    Raises InvalidValue, OutputExists, OutputNotWritable.
    """
    text = json.dumps(plain(content), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputNotWritable(path, "it is a folder")
    if path.exists() and not overwrite:
        raise OutputExists(path)


def _is_there(path: Path) -> bool:
    """Whether there is anything of that name, a broken link too.  Raises OSError for a name that nothing can have."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    # The end of the name tells the format (.ome.tif); only the end, so that a long name stays within the limit.
    temporary = path.with_name(f".semrt-{token_hex(4)}-{path.name[-40:]}")
    try:
        temporary.touch(exist_ok=False)  # finds out before the work whether the folder can be written
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
