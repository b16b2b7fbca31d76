"""Tilts as people and their files tell them, and the tilt series or tomogram that they belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli._values import file_named
from semrt.errors import InvalidOption, InvalidShape, InvalidValue, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from semrt.data import OnDisk, PixelSize, TiltSeries, Tomogram, Volume
    from semrt.tasks import NetworkTask, Solver

__all__ = ["Angles", "Tilts", "angles", "read_tilted", "takes_tilts"]

MOST = 1000  # tilts; more is a slip of the fingers
NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
LISTS = (".tlt", ".rawtlt")
"""Suffixes of lists of angles, the aligned ones first; one beside a stack, of its name, is taken for its own."""
SERIES = (".ali", ".st")
"""Suffixes of stacks that are hardly anything else than tilt series."""


@dataclass(frozen=True)
class Tilts:
    """What was typed: angles of a series or range of a tomogram [degrees], where the axis is [px], order of axes."""

    angles: Sequence[float] | None = None
    tilt_range: tuple[float, float] | None = None
    axis_offset: float | None = None
    axes: str | None = None

    def __post_init__(self) -> None:
        if self.angles is not None and self.tilt_range is not None:
            what = "one is for a tilt series, the other for a tomogram; give one of them"
            raise InvalidOption(f"--angles and --tilt-range: {what}")

    @property
    def given(self) -> list[str]:
        """The flags that were."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]


class Angles(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.3 on
    """Tilts as `angles` reads them; what is wrong with a file of them is no misuse of the flag."""

    name = "angles"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Read them, once."""
        return value if isinstance(value, tuple) else angles(value)


def angles(typed: str) -> tuple[float, ...]:
    """Tilts [degrees] from -60:60:2 (both ends are meant), from -60,-57.5,… or from a file with one a line.

    Raises BadParameter, InvalidValue, UnreadableFile.
    """
    words = typed.strip()
    if (path := file_named(words)) is not None:
        return _listed(path)
    if re.fullmatch(rf"{NUMBER}:{NUMBER}:{NUMBER}", words):
        first, last, step = map(float, words.split(":"))
        if step == 0 or (last - first) / step < 0 or (last - first) / step > MOST:
            raise click.BadParameter(f"{typed!r}: expected FIRST:LAST:STEP in degrees, such as -60:60:2")
        return tuple(round(first + k * step, 9) for k in range(int((last - first) / step + 1e-9) + 1))
    pieces = [piece for piece in re.split(r"[,;\s]+", words) if piece]
    if Path(words).suffix.lower() in LISTS:
        raise click.BadParameter(f"{typed!r}: no such file; check the path")
    if not pieces or not all(re.fullmatch(NUMBER, piece) for piece in pieces):
        wanted = "expected degrees as -60:60:2 or -60,-57.5,-55, or a text file with one a line, such as a .tlt"
        raise click.BadParameter(f"{typed!r}: {wanted}")
    return tuple(map(float, pieces))


def takes_tilts(task: NetworkTask | Solver) -> bool:
    """Whether a task is for tilt series."""
    from semrt.data import TiltSeries

    return TiltSeries in (task.accepts if isinstance(task.accepts, tuple) else (task.accepts,))


def read_tilted(source: Path, given: Tilts, reading: Mapping[str, Any]) -> Any:
    """Read a tilt series or a tomogram, large ones so that they need not fit into memory.

    reading: keywords of io.read.  What is neither comes back as it is.
    Raises what reading does, and InvalidShape, InvalidValue, InvalidOption, which name the file.
    """
    from semrt import io
    from semrt.data import SparseVolume, TiltSeries, Tomogram, Volume

    pixel_size = reading.get("pixel_size")
    whole = reading.get("mask") is None and reading.get("unvisited") is None
    if whole and (large := io.mapped(source)) is not None:
        return _on_disk(source, *large, given, pixel_size)
    held = io.read(source, **reading)
    if isinstance(held, SparseVolume):  # NaN in the file, unless a mask was given
        gaps = int(held.visited.size - held.visited.sum())
        what = f"NaN or gaps at {gaps} of {held.visited.size} pixels"
        raise InvalidValue(f"{source}: intensity", "finite values", what, "crop or fill them")
    try:
        if isinstance(held, Volume):
            return _measurement(source, held, given, pixel_size)
        if isinstance(held, TiltSeries | Tomogram):
            return _as_told(held, given)
    except (InvalidShape, InvalidValue, InvalidOption) as why:
        _name(source, why)
        raise
    return held


def _on_disk(source: Path, pixels: Any, volume_of: Any, given: Tilts, pixel_size: PixelSize | None) -> OnDisk:
    import numpy as np

    from semrt.data import OnDisk, Tomogram

    if pixels.dtype.kind == "f":
        for plane in pixels:  # all of it now, not after an hour of work
            if not np.isfinite(plane).all():
                raise InvalidValue(f"{source}: intensity", "finite values", "NaN or infinite ones", "crop or fill them")

    def made(part: Any) -> TiltSeries | Tomogram:
        return _measurement(source, volume_of(part), given, pixel_size)

    try:
        first = made(np.ascontiguousarray(pixels[:, :1], np.float32))
    except (InvalidShape, InvalidValue, InvalidOption) as why:
        _name(source, why)
        raise
    turned = isinstance(first, Tomogram) and first.metadata.get("axis_order", "zyx") != "zyx"
    return OnDisk(pixels, 0 if turned else 1, made)


def _measurement(source: Path, volume: Volume, given: Tilts, pixel_size: PixelSize | None) -> TiltSeries | Tomogram:
    """What a stack is, by what was typed, by what it says itself, or by a list of angles beside it."""
    from semrt.data import TiltSeries, Tomogram

    told = volume.metadata
    tilts: Sequence[float] | None = given.angles
    if tilts is None and given.tilt_range is None and told.get("tilt_range") is None:
        tilts = told.get("tilt_angles") or _beside(source)
        if tilts is None:
            raise InvalidValue("tilts", "degrees, as one needs to know what was measured", "none", _hint(source))
    if tilts is None:
        if given.axis_offset is not None:
            raise InvalidOption("--axis-offset: is for a tilt series, and this is a tomogram; leave it out")
        found = Tomogram.from_volume(volume, given.tilt_range, given.axes)
        if pixel_size is None and found.voxel_size is None:
            pixel_size = volume.pixel_size  # files that know no third length: of voxels as high as wide
        if pixel_size is not None:
            found = replace(found, voxel_size=(pixel_size[1], *pixel_size))
        return found
    series = TiltSeries.from_volume(volume, tilts, given.axis_offset)
    if pixel_size is not None:
        series = replace(series, pixel_size=pixel_size)
    return series if given.axes is None else replace(series, metadata={**series.metadata, "axis_order": given.axes})


def _as_told(held: TiltSeries | Tomogram, given: Tilts) -> TiltSeries | Tomogram:
    """What says itself what it is, with what was typed in the place of what it says."""
    import numpy as np

    from semrt.data import TiltSeries

    if isinstance(held, TiltSeries):
        if given.tilt_range is not None:
            raise InvalidOption("--tilt-range: is for a tomogram, and this is a tilt series; leave it out")
        changes: dict[str, Any] = {} if given.angles is None else {"angles": np.array(given.angles)}
        changes |= {} if given.axis_offset is None else {"axis_offset": given.axis_offset}
    else:
        for flag in ("--angles", "--axis-offset"):
            if flag in given.given:
                raise InvalidOption(f"{flag}: is for a tilt series, and this is a tomogram; leave it out")
        changes = {} if given.tilt_range is None else {"tilt_range": given.tilt_range}
    if given.axes is not None:
        changes["metadata"] = {**held.metadata, "axis_order": given.axes}
    return replace(held, **changes)


def _beside(source: Path) -> tuple[float, ...] | None:
    """The angles of a list of the stack's own name beside it."""
    for suffix in LISTS:
        if (path := source.with_suffix(suffix)).is_file():
            return _listed(path)
    return None


def _listed(path: Path) -> tuple[float, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as why:
        raise UnreadableFile(path, why) from why
    found = []
    for number, line in enumerate(lines, 1):
        for word in line.partition("#")[0].replace(",", " ").split():
            if not re.fullmatch(NUMBER, word):
                raise InvalidValue(f"{path}", "one tilt a line [degrees]", f"{word!r} in line {number}")
            found.append(float(word))
    if not found:
        raise InvalidValue(f"{path}", "one tilt a line [degrees]", "none", "is it the right file?")
    return tuple(found)


def _hint(source: Path) -> str:
    of_series = "--angles tilts.tlt or --angles -60:60:2 of a tilt series"
    if source.suffix.lower() in SERIES:
        return f"give {of_series}"
    return f"give --tilt-range -60 60 of a tomogram, or {of_series}"


def _name(source: Path, why: Exception) -> None:
    """Put the file's name before what is wrong with its contents."""
    if str(source) not in str(why):
        why.args = (f"{source}: {why}",)
