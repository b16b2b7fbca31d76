"""The kinds of result: what lies beside each, what is told of it, how it is drawn.

To add one: a module with what Kind names, and its line in KINDS.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from semrt.data import AtomColumns, LayerMap, Micrograph, Tomogram, Volume
from semrt.errors import InvalidOption
from semrt.io import stem_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from semrt.report.sheet import Caption

__all__ = ["KINDS", "Kind", "beside", "checked_making", "checked_saves", "kind_of"]

KINDS: dict[type, str] = {
    Micrograph: "semrt.cli._completed",
    Volume: "semrt.cli._completed",
    AtomColumns: "semrt.cli._columns",
    LayerMap: "semrt.cli._layers",
    Tomogram: "semrt.cli._tomogram",
}


class Kind(Protocol):
    """What the module of a kind offers.

    INPUT: what it is inferred from, in a word.  FORMATS: suffixes that the result itself may have, the preferred first;
    none for those of images.  ROLES: what may lie beside the result, as the record calls it.
    SAVES: what --save may name, and whether it is saved unasked; empty where there is no choice.
    MAKING: flags that say how that is made, and what holds without them; keywords of companions.
    """

    INPUT: str
    FORMATS: tuple[str, ...]
    ROLES: tuple[str, ...]
    SAVES: Mapping[str, bool]
    MAKING: Mapping[str, Any]

    def require(self, saves: Collection[str]) -> None:
        """Raise MissingDependency, before any work, for what cannot be saved here."""

    def places(self, target: Path, saves: Collection[str]) -> list[Path]:
        """Every file that may be written beside the result for its sake."""

    def companions(
        self, target: Path, result: Any, saves: Collection[str], **making: Any
    ) -> dict[str, tuple[Path, Any]]:
        """Role -> where, and what io.write writes there."""

    def described(self, measured: Any, result: Any) -> dict[str, Any]:
        """What the record says of the input and of the result."""

    def headline(self, measured: Any, result: Any) -> Mapping[str, Any]:
        """Keywords of the preview's Caption: what its banner says of the result."""

    def preview(self, measured: Any, result: Any, caption: Caption, **more: Any) -> NDArray[np.uint8]:
        """Draw the preview, RGB (ny, nx, 3)."""


def kind_of(result: type) -> Kind:
    """The kind that results of a type are of."""
    return cast("Kind", import_module(KINDS[result]))


def checked_saves(name: str, kind: Kind, given: str | None) -> tuple[str, ...]:
    """What is to be saved, from csv,map; what is saved unasked when None.

    Raises InvalidOption, MissingDependency.
    """
    if given is None:
        return tuple(word for word, unasked in kind.SAVES.items() if unasked)
    if not kind.SAVES:
        raise InvalidOption(f"--save {given}: {name} leaves no choice; leave it out")
    saves = tuple(word.strip().lower() for word in given.split(",") if word.strip())
    for word in saves:
        if word not in kind.SAVES:
            raise InvalidOption.unknown("--save", word, kind.SAVES)
    kind.require(saves)
    return saves


def checked_making(name: str, kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """How what lies beside a result is made: what was given, and what holds for the rest.  Raises InvalidOption."""
    said = {flag: value for flag, value in given.items() if value is not None}
    for flag in said:
        if flag not in kind.MAKING:
            raise InvalidOption(f"--{flag}: {name} leaves no choice; leave it out")
    return {**kind.MAKING, **said}


def beside(target: Path, ending: str) -> Path:
    """The file beside a result whose name ends so instead of in the result's suffix, .ome.tif being one."""
    return target.with_name(stem_of(target) + ending)
