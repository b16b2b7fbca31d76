"""Which files a command reads, and what it calls those it writes."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from semrt.errors import InputNotFound, InvalidOption, UnreadableFile
from semrt.io.formats import FORMATS, LOSSLESS, SCAN_PATHS, suffix_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["expand_inputs", "output_path", "output_paths", "stem_of"]

_SIDECAR = ".semrt.json"
_WRITTEN_WITH = (
    "",
    "_error",
    "_preview",
    "_map",
    "_denoised",
    "_sigma",
    "_voxels",
    "_residual",
    "_inferred",
)  # what the names of a result and of those beside it end in


_OTHER_FILES = {
    *(".jpg", ".jpeg", ".jp2", ".bmp", ".gif", ".webp", ".svg", ".pdf"),
    *(".h5", ".hdf5", ".hspy", ".zarr", ".nxs", ".emd", ".emi", ".ser", ".dm3", ".dm4", ".bcf", ".mat"),
    *(".zip", ".gz", ".txt", ".json", ".xml", ".xlsx"),
}  # suffixes of files that hold no result; who gives such a name to the output means no folder

_TRUTH = "_truth"  # beside an image that was simulated


def expand_inputs(inputs: Sequence[str | Path], *, recursive: bool = False, without: Iterable[Path] = ()) -> list[Path]:
    """The files that the arguments of a command stand for, each once, folders and patterns in natural order.

    inputs: files, as they are; folders, for the files in them (below them too if `recursive`) of known formats, without
        semrt's own outputs; patterns with * ? [ ] or **, for those shells that leave them alone. A file whose name
        holds brackets is that file.
    without: files that are not meant where there are others, such as a mask that lies among its images.
    Raises InputNotFound for any that stands for nothing, UnreadableFile.
    """
    found: dict[str, Path] = {}
    for given in inputs:
        try:
            paths = _expanded(Path(given), recursive)
        except InputNotFound:
            raise
        except OSError as why:  # a folder without permission, a name too long
            raise UnreadableFile(given, why.strerror or why) from why
        for path in paths:
            found.setdefault(_identity(path), path)
    if not found:
        raise InputNotFound("no input")
    unmeant = {_identity(path) for path in without}
    return [path for identity, path in found.items() if identity not in unmeant] or list(found.values())


def output_path(
    source: str | Path, model: str, out: str | Path, suffix: str | None = None, formats: Sequence[str] = ()
) -> Path:
    """`out/{stem}_{model}{suffix}`, or `out` itself where that is a file name of a known format.

    suffix: the format; without one, that of the source if it loses nothing, else .tif.
    formats: suffixes to choose from, the first being that without one, where the output is no image.
    Raises InvalidOption, also where the output would be the input.
    """
    source, out = Path(source), Path(out)
    if _names_a_file(out):
        target = out
        if suffix is not None and suffix.lower() != suffix_of(out):
            raise InvalidOption(f"output {out}: is not of the format {suffix}; name a folder or leave one of them out")
    else:
        kept = formats[0] if formats else suffix_of(source) if suffix_of(source) in LOSSLESS else ".tif"
        target = out / f"{stem_of(source)}_{model}{suffix or kept}"
    allowed = formats or set(FORMATS) - SCAN_PATHS
    named = target if out.is_dir() or suffix_of(out) not in _OTHER_FILES else out
    if suffix_of(named) not in allowed:
        raise InvalidOption.unknown("output format", named.suffix, allowed)
    if _same(target, source):
        raise InvalidOption(f"output {target}: is the input; choose another with -o")
    return target


def output_paths(
    sources: Sequence[str | Path],
    model: str,
    out: str | Path,
    suffix: str | None = None,
    formats: Sequence[str] = (),
    *,
    read_with: Iterable[Path] = (),
    places: Callable[[Path], Iterable[Path]] | None = None,
) -> dict[Path, Path]:
    """Source -> output_path of each, for one batch.

    read_with: other files that are read, such as a mask.  places: all that is written for an output; itself when None.
    Raises InvalidOption where two would share an output, where anything written is one of the files that are read, and
    where `out` names a single file for several inputs.
    """
    if len(sources) > 1 and _names_a_file(Path(out)):
        raise InvalidOption(f"output {out}: names one file for {len(sources)} inputs; name a folder")
    targets = {Path(source): output_path(source, model, out, suffix, formats) for source in sources}
    taken: dict[str, Path] = {}
    read = {_identity(path) for path in (*targets, *read_with)}
    for source, target in targets.items():
        # Compared without suffix, as the sidecars of a.tif and a.png would collide; without case, as on Windows.
        other = taken.setdefault(target.stem.casefold(), source)
        if other is not source:
            raise InvalidOption(f"inputs {other} and {source}: would both become {target.stem}; run them separately")
        for path in [target] if places is None else places(target):
            if _identity(path) in read:
                raise InvalidOption(f"output {path}: is one of the inputs; choose another with -o")
    return targets


def _expanded(given: Path, recursive: bool) -> list[Path]:
    if given.is_dir():
        inside = sorted(_readable(given.rglob("*") if recursive else given.iterdir()), key=_natural)
        if not inside:
            raise InputNotFound(f"any of {', '.join(FORMATS)} in {given}")
        return inside
    if given.exists():
        return [given]
    root, pattern = _split_pattern(given)
    files = sorted((match for match in root.glob(pattern) if _is_plain_file(match)), key=_natural) if pattern else []
    if not files:
        raise InputNotFound(given)
    # Sidecars beside the images are not meant; where nothing else matches, reading says which formats are known.
    return [path for path in files if suffix_of(path) in FORMATS] or files


def _readable(entries: Iterable[Path]) -> Iterator[Path]:
    """Files of known formats, but neither hidden ones nor what semrt wrote, which what lies beside gives away."""
    entries = list(entries)
    written = {(path.parent, path.name.removesuffix(_SIDECAR)) for path in entries if path.name.endswith(_SIDECAR)}
    for path in entries:
        stem = stem_of(path)
        ours = written and {(path.parent, stem.removesuffix(ending)) for ending in _WRITTEN_WITH} & written
        truth = stem.endswith(_TRUTH) and path.with_name(path.name.replace(_TRUTH, "")).exists()
        if suffix_of(path) in FORMATS and not (ours or truth) and _is_plain_file(path):
            yield path


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _split_pattern(given: Path) -> tuple[Path, str]:
    """The folders that exist as they are written (brackets and all), and the pattern below them."""
    root = Path()
    for at, part in enumerate(given.parts):
        if glob.has_magic(part) and not (root / part).exists():
            return root, str(Path(*given.parts[at:]))
        root /= part
    return root, ""


def _natural(path: Path) -> list[list[str | int]]:
    """A key that sorts slice_2 before slice_10."""
    # Splitting at a group alternates text and digits, so that only like is compared with like.
    return [
        [int(piece) if piece.isdecimal() else piece.casefold() for piece in re.split(r"(\d+)", part)]
        for part in path.parts
    ]


def stem_of(path: Path) -> str:
    """The name without its suffix, .ome.tif being one."""
    return path.stem.removesuffix(".ome") if suffix_of(path) in {".tif", ".tiff"} else path.stem


def _names_a_file(out: Path) -> bool:
    return suffix_of(out) in FORMATS and not out.is_dir()


def _same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return _identity(one) == _identity(other)


def _identity(path: Path) -> str:
    return os.path.normcase(path.resolve())
