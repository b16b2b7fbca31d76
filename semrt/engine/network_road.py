"""The road by way of a network, tile by tile."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt import provenance, tiling
from semrt.engine.fallback import choose_fallback
from semrt.engine.fitting import Size, run_fitting
from semrt.engine.options import check_options, chosen_for
from semrt.engine.road import State, check_kind, clock, labelled
from semrt.errors import InvalidOption, ModelDamaged, ModelUnsuitable
from semrt.tasks import NetworkTask, find_task, outputs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from semrt.backends import Session
    from semrt.engine.fallback import Fallback
    from semrt.engine.road import Checkpoint
    from semrt.tasks import Progress

__all__ = ["NetworkRoad"]

PIXELS_AT_ONCE = {"cpu": 2**16, "accelerator": 2**23}
"""Of all tiles of a batch. On a CPU eight tiles of 64² px took up to a quarter less time at once than one by one, those
of 128² as much, and from 256² on 0 to 20 % more: benchmarks/runtimes.py. Those of 1024² took 0.9 GB more as well."""


@dataclass(frozen=True, eq=False)
class NetworkRoad:
    """By way of a network; where the measurement is unlike those it was trained on, by the solver that was allowed."""

    session: Session
    task: NetworkTask
    tile: int
    batch: int
    fallback: Fallback | None
    threads: int | None
    options: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        session: Session,
        tile: int | None,
        batch: int | None,
        fallback: str,
        device: str | None,
        threads: int | None,
        options: Mapping[str, Any],
    ) -> NetworkRoad:
        """Plan the road of a session.  Raises InvalidOption, MissingDependency, ModelDamaged."""
        manifest = session.manifest
        task = find_task(manifest.task)
        if not isinstance(task, NetworkTask):
            raise InvalidOption(f"{manifest.name}: its task {manifest.task!r} takes no network")
        if tuple(manifest.input_channels) != tuple(task.input_channels):
            why = f"trained on channels {', '.join(manifest.input_channels)}, not {', '.join(task.input_channels)}"
            raise ModelDamaged(f"{manifest.name}: semrt.json", why)
        if (wanted := outputs_of(task)) is not None and tuple(manifest.output_channels) != wanted:
            why = f"gives {', '.join(manifest.output_channels)}, not {', '.join(wanted)}"
            raise ModelDamaged(f"{manifest.name}: semrt.json", why)
        tile = manifest.tile if tile is None else tile
        batch = _fitting_batch(session, tile) if batch is None else batch
        if batch < 1:
            raise InvalidOption(f"{manifest.name}: batch: expected 1 or more, got {batch}")
        threads = threads or session.threads
        stand_in = choose_fallback(manifest.name, task, fallback, device or session.device, threads, options)
        # What the stand-in alone takes is for the case that it runs: of one that was asked for, or of a slow one, whose
        # budget must be named before. Else an option that only --solver takes would be accepted and do nothing.
        counts = stand_in is not None and (fallback != "auto" or stand_in.road.resumes)
        of_stand_in = (stand_in.road.solver.solve,) if stand_in is not None and counts else ()
        check_options(manifest.name, options, task.prepare, task.finish, *of_stand_in)
        road = cls(session, task, tile, batch, stand_in, threads, options)
        road._layout((tile, tile), tile)  # raises now what it would raise later
        return road

    def admit(self, measured: Any) -> State:
        """Find out whether the network may be used, and what runs in its place.  Raises ModelUnsuitable."""
        manifest = self.session.manifest
        check_kind(manifest.name, measured, self.task.accepts)
        state = State(measured)
        with clock(state, "prepare"):
            try:
                keywords = chosen_for(self.task.outside_domain, self.options, n_threads=self.threads)
                outside = self.task.outside_domain(measured, manifest.domain, **keywords)
            except KeyError as error:
                raise ModelDamaged(f"{manifest.name}: semrt.json", f"its domain says nothing of {error}") from error
        if outside is None:
            return state
        if self.fallback is None:
            allow = f"allow --fallback {'|'.join(self.task.fallbacks)}, or " if self.task.fallbacks else ""
            raise ModelUnsuitable(f"{manifest.name}: {outside}; {allow}choose another model")
        self.fallback.road.prepare(measured)  # which checks its kind
        record = self.fallback.record(provenance.of_network(self.session)["model"], outside)
        return replace(state, fallback=record, stand_in=self.fallback.road)

    def prepare(self, measured: Any, progress: Progress | None = None) -> State:
        """Prepare the network's input, or find out why the network must not be used.  Raises ModelDamaged too."""
        state = self.admit(measured)
        if state.stand_in is not None:
            return state
        with clock(state, "prepare"):
            keywords = chosen_for(
                self.task.prepare, self.options, n_threads=self.threads, progress=progress, told=state.told
            )
            return replace(state, prepared=self.task.prepare(measured, **keywords))

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.session.manifest.name

    @property
    def resumes(self) -> bool:
        """Whether what may run in the network's place keeps a checkpoint."""
        return self.fallback is not None and self.fallback.road.resumes

    def run(self, state: State, progress: Progress | None = None, checkpoint: Checkpoint | None = None) -> State:
        """Run the network tile by tile, in smaller ones where memory is short; or the solver in its place."""
        if state.stand_in is not None:
            return state.stand_in.run(state, progress, checkpoint)
        manifest = self.session.manifest

        busy = _Busy()

        def timed(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
            with busy:
                return self.session.run(tiles)

        # Networks are two-dimensional: what has four axes is a stack of images.
        run = tiling.run if np.ndim(state.prepared) == 3 else tiling.run_stack

        def tiled(tile: int, batch: int) -> NDArray[np.float32]:
            return run(
                timed,
                state.prepared,
                tile=tile,
                halo=manifest.halo,
                multiple=manifest.multiple,
                batch=batch,
                progress=progress,
                n_threads=self.threads,
                lanes=getattr(self.session, "lanes", 1),  # most devices are best given one batch after the other
            )

        with clock(state, "run"):
            asked, shape = Size(self.tile, self.batch), state.prepared.shape
            predicted, size, note = run_fitting(tiled, self.session, asked, shape[-2:], math.prod(shape[:-3]))
            state.seconds["network"] = busy.seconds
            if not np.isfinite(predicted).all():  # half precision overflows without a word
                what = f"{self.session.precision} on {self.session.device}"
                raise ModelUnsuitable(f"{manifest.name}: gave NaN or infinity ({what}); try fp32, or the CPU")
        return replace(state, predicted=predicted, size=size, notes=(f"{manifest.name}: {note}",) if note else ())

    def finish(self, state: State) -> Any:
        """Make the result from what the network predicted, and label it with what made it."""
        if state.stand_in is not None:
            return state.stand_in.label(state, fallback=state.fallback)
        with clock(state, "finish"):
            given = {"n_threads": self.threads, "domain": self.session.manifest.domain, "told": state.told}
            keywords = chosen_for(self.task.finish, self.options, **given)
            result = self.task.finish(state.predicted, state.prepared, state.measured, **keywords)
        assert state.size is not None  # it has been run
        layout = self._layout(state.prepared.shape[-2:], state.size.tile)
        tiles = {
            "tile": list(layout.tile),
            "halo": list(layout.halo),
            "tiles": len(layout) * math.prod(state.prepared.shape[:-3]),
            "batch": state.size.batch,
            **state.size.record,
        }
        made = provenance.of_network(self.session)
        return labelled(result, {**made, "tiling": tiles, "options": dict(self.options)}, state)

    def _layout(self, shape: tuple[int, ...], tile: int) -> tiling.Plan:
        return tiling.plan(shape, tile, self.session.manifest.halo, self.session.manifest.multiple)


class _Busy:
    """Seconds in which at least one thread was within."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._within = 0
        self._since = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if self._within == 0:
                self._since = time.perf_counter()
            self._within += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                self.seconds += time.perf_counter() - self._since


def _fitting_batch(session: Session, tile: int) -> int:
    """The largest batch of the manifest that stays within what the device is best given at once."""
    pixels = PIXELS_AT_ONCE["cpu" if session.device.endswith("cpu") else "accelerator"]  # torch:cpu too
    fitting = [size for size in session.manifest.batch if size * tile**2 <= pixels]
    return max(fitting, default=1)
