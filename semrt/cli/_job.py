"""A model, and all that was said of how to run it: what semrt infer and semrt watch share."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semrt.cli._tilts import Tilts
from semrt.cli._values import settings_of
from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from semrt.backends import Session
    from semrt.cli._batch import Batch, Summary
    from semrt.cli._kinds import Kind
    from semrt.tasks import Solver

__all__ = ["Job", "leave", "where_text"]

FLAGS = ("denoise", "variant", "network", "max_iterations", "max_seconds", "seed", "thickness")
"""Options of a model that have a flag of their own."""


@dataclass(frozen=True)
class Job:
    """What is to be done with each file, checked before any work.

    given: the options of semrt infer.  name: what results are named after.  kind: of the results.
    saves: what else is saved.  making: how.  settings: keywords of engine.infer_many.
    """

    model: str
    given: Mapping[str, Any]
    name: str
    kind: Kind
    saves: tuple[str, ...]
    making: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: str, given: Mapping[str, Any]) -> Job:
        """Check what was given.  Raises InvalidOption, MissingDependency, and what finding the model raises."""
        from semrt.cli._kinds import checked_making, checked_saves

        if given["skip_existing"] and given["overwrite"]:
            raise InvalidOption("--skip-existing and --overwrite contradict each other; give one of them")
        settings = {name: given[name] for name in ("tile", "batch", "fallback", "device", "threads")}
        settings |= _task_options(given)
        name, kind = _name_and_kind(model, *(given[name] for name in ("device", "precision", "solver", "gpu_memory")))
        saves = checked_saves(name, kind, given["saves"])
        making = checked_making(name, kind, {"voxel": given["voxel"]})
        return cls(model, given, name, kind, saves, making, settings)

    @property
    def preview(self) -> bool:
        """Whether a picture is drawn beside each result."""
        return bool(self.given["preview"] or self.given["spectra"])

    @property
    def read_with(self) -> tuple[Path, ...]:
        """Files that are read with each input."""
        return tuple(self.given[name] for name in ("mask", "exposure") if self.given[name] is not None)

    def targets(self, sources: Sequence[Path]) -> dict[Path, Path]:
        """Source -> where its result goes.  Raises InvalidOption."""
        from semrt import io
        from semrt.cli import _results

        suffix = self.given["suffix"]
        ending = None if suffix is None else f".{suffix.removeprefix('.').lower()}"
        return io.output_paths(
            sources,
            self.name,
            self.given["output"],
            ending,
            self.kind.FORMATS,
            read_with=self.read_with,
            places=lambda target: _results.places(target, preview=self.preview, kind=self.kind, saves=self.saves),
        )

    def refuse_existing(self, targets: Iterable[Path]) -> None:
        """Raise OutputExists where a file that would be written is already there."""
        from semrt.cli import _results
        from semrt.cli._failures import KEEPING

        _results.refuse_existing(targets, preview=self.preview, kind=self.kind, saves=self.saves, hint=KEEPING)

    @contextmanager
    def batch(self, header: Callable[[Session | Solver], str], redone: Collection[Path]) -> Iterator[Batch]:
        """Open the model, once for all files.  redone: results that are replaced in any case."""
        from semrt import engine
        from semrt.cli._batch import Batch

        given = self.given
        how = {name: given[name] for name in ("threads", "precision", "solver", "tile", "gpu_memory")}
        with engine.open_model(self.model, given["device"], **how) as opened:
            yield Batch(
                opened,
                header=header(opened),
                reading={key: given[key] for key in ("mask", "exposure", "unvisited", "pixel_size")},
                energies=given["energies"],
                tilts=Tilts(*(given[name] for name in ("angles", "tilt_range", "axis_offset", "axes"))),
                settings=self.settings,
                overwrite=given["overwrite"],
                preview=self.preview,
                spectra=given["spectra"],
                saves=self.saves,
                making=self.making,
                redone=redone,
            )


def where_text(opened: Session | Solver) -> str:
    """Say where a model runs; nothing of a solver for several devices, as only its results know that."""
    from semrt.backends import Session
    from semrt.tasks import devices_of

    if isinstance(opened, Session):
        return f" on {opened.reason}"
    return " on the cpu" if devices_of(opened) == ("cpu",) else ""


def leave(summary: Summary) -> int:
    """The exit code of a batch; one that was abandoned ends here and now."""
    if summary.abandoned:
        sys.stdout.flush()
        os._exit(summary.exit_code)  # Python would wait for the stages, or fall over those that are in C++
    return summary.exit_code


def _task_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Take the options that the model's task knows; the engine refuses others."""
    import inspect

    from semrt import engine

    options = settings_of(given["pairs"])
    ours = {*inspect.signature(engine.infer).parameters, *inspect.signature(engine.infer_many).parameters, *FLAGS}
    for name in options:
        if name in ours:
            raise InvalidOption(f"--set {name}: is for further options of a model alone; see semrt infer --help")
    return options | {name: given[name] for name in FLAGS if given[name] is not None and given[name] is not False}


def _name_and_kind(
    model: str, device: str, precision: str, solver: str | None, gpu_memory: int | None
) -> tuple[str, Kind]:
    """Find the model before any work: what results are named after it, and of which kind they are."""
    from semrt import engine
    from semrt.cli._kinds import kind_of
    from semrt.engine.solver_road import name_of
    from semrt.models import Manifest
    from semrt.tasks import find_task, result_of

    found = engine.find_model(model, device, precision, solver, gpu_memory)
    if not isinstance(found, Path):
        return name_of(found), kind_of(result_of(found))
    manifest = Manifest.read(found)
    return manifest.name, kind_of(result_of(find_task(manifest.task)))
