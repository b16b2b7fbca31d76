"""What can go wrong, in words for the person at the microscope.

Each class makes its own message (what, wanted, got, what to do), is also the builtin that fits, and carries the
exit code of the command line: 2 usage, 3 input or format, 4 model, 5 device, 6 out of memory, 130 interrupted.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "CacheUnusable",
    "DeviceUnavailable",
    "EmptyScan",
    "EngineUnusable",
    "InputNotFound",
    "Interrupted",
    "InvalidOption",
    "InvalidShape",
    "InvalidValue",
    "MissingDependency",
    "ModelDamaged",
    "ModelNotFound",
    "ModelUnsuitable",
    "OutOfMemory",
    "OutputExists",
    "OutputNotWritable",
    "SemrtError",
    "UnreadableFile",
    "UnsupportedFormat",
]


class SemrtError(Exception):
    """Any failure that semrt foresees; its message is one line."""

    exit_code = 1


class InvalidOption(SemrtError, ValueError):
    """An option or keyword that the called thing does not take, or a value outside its range."""

    exit_code = 2

    @classmethod
    def unknown(cls, kind: str, name: str, known: Iterable[str]) -> InvalidOption:
        """`name` is none of the `known` ones; the nearest is proposed."""
        known = sorted(known)
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        return cls(f"{kind} {name!r} is unknown; {hint}choose from: {', '.join(known)}")


class InvalidShape(SemrtError, ValueError):
    """An array whose shape does not fit: `tile: expected shape (ny, nx), got (3,)`."""

    exit_code = 3

    def __init__(self, what: str, wanted: str, got: tuple[int, ...], hint: str = "") -> None:
        super().__init__(f"{what}: expected shape {wanted}, got {got}" + (f"; {hint}" if hint else ""))


class InvalidValue(SemrtError, ValueError):
    """Values that cannot be used: NaN where something was measured, a negative pixel size."""

    exit_code = 3

    def __init__(self, what: str, wanted: str, got: object, hint: str = "") -> None:
        super().__init__(f"{what}: expected {wanted}, got {got}" + (f"; {hint}" if hint else ""))


class EmptyScan(InvalidValue):
    """A scan in which no pixel was visited."""

    def __init__(self, what: str = "scan") -> None:
        super().__init__(what, "at least one visited pixel", "none", "check the mask (non-zero = visited)")


class InputNotFound(SemrtError, FileNotFoundError):
    """A path that does not exist, or a pattern that matches nothing."""

    exit_code = 3

    def __init__(self, path: str | Path) -> None:
        super().__init__(f"{path}: no such file; check the path or quote the pattern")


class UnreadableFile(SemrtError, OSError):
    """A file that exists but cannot be read: truncated, empty, damaged, or forbidden."""

    exit_code = 3

    def __init__(self, path: str | Path, why: object) -> None:
        super().__init__(f"{path}: cannot be read ({_one_line(why)}); is the file complete?")


class UnsupportedFormat(SemrtError, ValueError):
    """A file format, or contents of one, that semrt does not know."""

    exit_code = 3

    def __init__(self, path: str | Path, why: str) -> None:
        super().__init__(f"{path}: {why}")


class OutputExists(SemrtError, FileExistsError):
    """The output is already there; semrt never overwrites unasked.

    hint: what else may be done, where a command has an option for it.
    """

    exit_code = 3

    def __init__(self, path: str | Path, hint: str = "") -> None:
        instead = hint or "choose another output with -o"
        super().__init__(f"{path}: already exists; use --overwrite to replace it, or {instead}")


class OutputNotWritable(SemrtError, OSError):
    """The output cannot be written: no permission, no space, or a file where a folder is wanted."""

    exit_code = 3

    def __init__(self, path: str | Path, why: object) -> None:
        super().__init__(f"{path}: cannot be written ({_one_line(why)}); choose another output with -o")


class ModelNotFound(SemrtError, FileNotFoundError):
    """Neither a shipped model nor a folder with a semrt.json."""

    exit_code = 4

    def __init__(self, name: str | Path, known: Iterable[str]) -> None:
        known = sorted(known)
        nearest = get_close_matches(str(name), known, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        super().__init__(
            f"model {str(name)!r} not found; {hint}known: {', '.join(known)}, or a folder with a semrt.json"
        )


class ModelDamaged(SemrtError, ValueError):
    """A model whose files are not those that its manifest describes."""

    exit_code = 4

    def __init__(self, path: str | Path, why: object) -> None:
        super().__init__(f"{path}: the model is damaged ({_one_line(why)}); reinstall semrt or copy the model again")


class ModelUnsuitable(SemrtError, ValueError):
    """An input outside what the model was trained on, and no fallback allowed."""

    exit_code = 4


class DeviceUnavailable(SemrtError, RuntimeError):
    """The device asked for cannot be used; the message names cause and cure."""

    exit_code = 5

    def __init__(self, device: str, why: object, cure: str) -> None:
        self.cause = f"device {device!r} cannot be used: {_one_line(why)}"
        self.cure = cure
        super().__init__(f"{self.cause}; {cure}")


class EngineUnusable(DeviceUnavailable):
    """The device works, and does not load the engine that was kept for it; another build mends that."""


class CacheUnusable(SemrtError, OSError):
    """The folder that keeps engines cannot be used: others may write into it, or nobody may."""

    exit_code = 5

    def __init__(self, folder: str | Path, why: object) -> None:
        super().__init__(
            f"{folder}: engines cannot be kept here ({_one_line(why)}); set SEMRT_CACHE to a folder of your own"
        )


class MissingDependency(SemrtError, ImportError):
    """An optional package that this call needs is not installed."""

    exit_code = 5

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs {package}, which is not installed; run: pip install "semrt[{extra}]"')


class OutOfMemory(SemrtError, MemoryError):
    """Not enough memory on the host or the device."""

    exit_code = 6

    def __init__(self, where: str, cure: str = "use a smaller --tile or --batch") -> None:
        self.cause = f"out of memory on {where}"
        super().__init__(f"{self.cause}; {cure}")


class Interrupted(SemrtError, KeyboardInterrupt):
    """Ctrl-C, told to an inference by its progress call; a solver may catch it and return the best result so far."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted")


def _one_line(text: object) -> str:
    return " ".join(str(text).split()) or type(text).__name__
