"""What a model says of itself: `semrt.json` beside its `.onnx`, written by the exporter, read by the runtime."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from semrt.errors import InvalidOption, InvalidValue, ModelDamaged, ModelUnsuitable, OutputNotWritable

__all__ = ["MANIFEST", "SCHEMA", "Manifest", "sha256_of"]

MANIFEST = "semrt.json"
SCHEMA = 1


@dataclass(frozen=True)
class Manifest:
    """The one truth about a model: its task and tensors, how to tile it, what it was trained on, its files and hashes.

    onnx, sha256: the file beside the manifest, by name alone, and its hash in hexadecimal digits.
    input, output: tensor names, (n, c, h, w) float32 each; input_channels and output_channels name the c axis.
    tile [px]: the side that the model was tuned for, a multiple of `multiple`; halo [px]: reach of its receptive field.
    batch: the numbers of tiles that one call may take, ascending from 1; each further shape costs a GPU a new search.
    domain: what it was trained on: coverage (low, high), largest_gap [px], patterns, and what else its task asks.
    variants: precision -> {onnx, sha256, relative_rms (gap to the reference), dtypes (share of each)}, and of int8 its
        calibration {samples, first_sample, method, activations, weight_bits, left_in_float32}.
    reference: {file, sha256} of the test tensors beside it; empty where there are none.

    Raises InvalidValue.
    """

    name: str
    version: str
    task: str
    onnx: str
    sha256: str
    input: str
    output: str
    input_channels: tuple[str, ...]
    output_channels: tuple[str, ...]
    tile: int
    multiple: int
    halo: int
    batch: tuple[int, ...] = (1, 2, 4, 8)
    opset: int = 18
    normalisation: str = ""
    domain: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reference: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""

    def __post_init__(self) -> None:
        for name in ("input_channels", "output_channels", "batch"):
            if isinstance(listed := getattr(self, name), list):  # JSON knows no tuples
                object.__setattr__(self, name, tuple(listed))
        _check(self)

    @classmethod
    def read(cls, folder: str | Path) -> Manifest:
        """Read the manifest of a model folder.

        Raises ModelDamaged (no such file, no JSON, a key that is unknown or missing, a value of the wrong kind),
        ModelUnsuitable (written for a newer semrt).
        """
        path = Path(folder) / MANIFEST
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelDamaged(path, getattr(error, "strerror", None) or error) from error
        try:
            entries = json.loads(text, parse_constant=_refuse_constant)
        except ValueError as error:
            raise ModelDamaged(path, error) from error
        if not isinstance(entries, dict):
            raise ModelDamaged(path, f"expected a JSON object, got {type(entries).__name__}")
        schema = entries.pop("schema", None)
        if not isinstance(schema, int) or schema < 1:
            raise ModelDamaged(path, f"schema: expected {SCHEMA}, got {schema!r}")
        if schema > SCHEMA:
            raise ModelUnsuitable(
                f"{path}: schema {schema} needs a newer semrt (this one reads {SCHEMA}); upgrade semrt"
            )
        try:
            _check_keys(entries)
            return cls(**entries)
        except (InvalidOption, InvalidValue, TypeError) as error:
            raise ModelDamaged(path, error) from error

    def write(self, folder: str | Path) -> Path:
        """Write semrt.json into the folder, whole or not at all; returns its path.

        Raises OutputNotWritable, InvalidValue (an entry that JSON cannot hold, such as NaN).
        """
        try:
            text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise InvalidValue(MANIFEST, "entries that JSON can hold", error) from error
        path = Path(folder) / MANIFEST
        partial = path.with_name(f".{MANIFEST}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(text, encoding="utf-8", newline="\n")
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputNotWritable(path, error) from error
        return path

    def verify(self, folder: str | Path) -> None:
        """Hash every file that the manifest names; raises ModelDamaged, naming the first one missing or different."""
        for name, wanted in _files(self):
            path = Path(folder) / name
            try:
                got = sha256_of(path)
            except OSError as error:
                raise ModelDamaged(path, error.strerror or error) from error
            _compare(path, wanted, got)

    def load(self, folder: str | Path, precision: str = "fp32") -> bytes:
        """Read the graph at a precision and check it: the bytes that were hashed are those that will run.

        precision: "fp32" or one of the variants.  Raises InvalidOption, ModelDamaged.
        """
        name, wanted = self.file(precision)
        path = Path(folder) / name
        try:
            graph = path.read_bytes()
        except OSError as error:
            raise ModelDamaged(path, error.strerror or error) from error
        _compare(path, wanted, hashlib.sha256(graph).hexdigest())
        return graph

    def file(self, precision: str = "fp32") -> tuple[str, str]:
        """Give file name and sha256 of the graph at a precision; raises InvalidOption."""
        if precision == "fp32":
            return self.onnx, self.sha256
        if precision == "int8" and precision not in self.variants:
            there = ", ".join(["fp32", *self.variants])
            cure = f"`semrt quantise {self.name} -o FOLDER` makes a model that has it"
            raise InvalidOption(f"{self.name}: has no precision 'int8', but {there}; {cure}")
        if precision not in self.variants:
            raise InvalidOption.unknown(f"{self.name}: precision", precision, ["fp32", *self.variants])
        variant = self.variants[precision]
        return variant["onnx"], variant["sha256"]


def sha256_of(path: Path) -> str:
    """Hash a file of any size; in hexadecimal digits.  Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for precision in ("fp32", *manifest.variants):
        yield manifest.file(precision)
    if manifest.reference:
        yield manifest.reference["file"], manifest.reference["sha256"]


def _compare(path: Path, wanted: str, got: str) -> None:
    if got != wanted:
        raise ModelDamaged(path, f"expected sha256 {wanted[:12]}…, got {got[:12]}…")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_keys(entries: Mapping[str, Any]) -> None:
    known = [entry.name for entry in fields(Manifest)]
    for key in entries:
        if key not in known:
            raise InvalidOption.unknown("key", key, known)
    needed = [entry.name for entry in fields(Manifest) if entry.default is MISSING and entry.default_factory is MISSING]
    if missing := [key for key in needed if key not in entries]:
        raise InvalidValue("keys", ", ".join(needed), f"none for {', '.join(missing)}")


def _check(manifest: Manifest) -> None:
    for name in ("name", "version", "task", "input", "output"):
        _expect(name, "a text", getattr(manifest, name), _is_text)
    for name in ("normalisation", "licence"):
        _expect(name, "a text", getattr(manifest, name), lambda value: isinstance(value, str))
    for name in ("input_channels", "output_channels"):
        _expect(name, "distinct names, one for each channel", getattr(manifest, name), _are_names)
    for name, least in (("tile", 1), ("multiple", 1), ("halo", 0), ("opset", 1)):
        _expect(
            name, f"a whole number from {least}", getattr(manifest, name), lambda n, least=least: _is_count(n, least)
        )
    for name in ("domain", "variants", "reference", "training", "figures"):
        _expect(name, "an object", getattr(manifest, name), lambda value: isinstance(value, Mapping))
    _expect("tile", f"a multiple of {manifest.multiple}", manifest.tile, lambda tile: tile % manifest.multiple == 0)
    room = (manifest.tile - manifest.multiple) // 2  # what a tile may lose on each side and still show something
    _expect("halo", f"at most {room} for tiles of {manifest.tile}", manifest.halo, lambda halo: halo <= room)
    _expect("batch", "ascending numbers of tiles from 1", manifest.batch, _are_buckets)
    _check_file("", manifest.onnx, manifest.sha256)
    for precision, variant in manifest.variants.items():
        _expect(f"variants.{precision}", "an object", variant, lambda value: isinstance(value, Mapping))
        _check_file(f"variants.{precision}.", variant.get("onnx"), variant.get("sha256"))
    if manifest.reference:
        _check_file("reference.", manifest.reference.get("file"), manifest.reference.get("sha256"), key="file")
    domain = manifest.domain
    if "coverage" in domain:
        _expect("domain.coverage", "[low, high], fractions of the pixels", domain["coverage"], _is_range)
    if "largest_gap" in domain:
        _expect("domain.largest_gap", "a length [px]", domain["largest_gap"], lambda gap: _is_number(gap) and gap > 0)
    if "patterns" in domain:
        _expect("domain.patterns", "distinct names", domain["patterns"], lambda names: _are_names(_as_tuple(names)))


def _check_file(prefix: str, name: object, sha256: object, key: str = "onnx") -> None:
    _expect(f"{prefix}{key}", "the name of a file beside it", name, _is_file_name)
    _expect(f"{prefix}sha256", "64 hexadecimal digits", sha256, lambda digits: _is_hash(digits))


def _expect(name: str, wanted: str, got: Any, holds: Any) -> None:
    if not holds(got):
        raise InvalidValue(name, wanted, repr(got))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_file_name(value: object) -> bool:
    # One plain name on any system: no folder, no drive, no stream, nothing that climbs out of the model's folder.
    return isinstance(value, str) and re.fullmatch(r"[^\\/:\0]+", value) is not None and value not in (".", "..")


def _are_names(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _are_buckets(value: object) -> bool:
    if not (isinstance(value, tuple) and all(_is_count(n, 1) for n in value)):
        return False
    return value[:1] == (1,) and all(a < b for a, b in pairwise(value))


def _is_range(value: object) -> bool:
    return (pair := _as_tuple(value)) is not None and len(pair) == 2 and all(map(_is_number, pair)) and _ordered(*pair)


def _ordered(low: float, high: float) -> bool:
    return 0 <= low <= high <= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_tuple(value: object) -> tuple[Any, ...] | None:
    return tuple(value) if isinstance(value, list | tuple) else None
