"""The stops of the road: prepare, run, finish; by way of a network, or of a solver that needs none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from semrt import provenance, tiling
from semrt.backends import Session
from semrt.engine.options import check_options, chosen_for
from semrt.errors import InvalidOption, InvalidValue, ModelDamaged, ModelUnsuitable
from semrt.tasks import TASKS, NetworkTask, Solver, find_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["FALLBACKS", "NetworkRoad", "Progress", "Road", "SolverRoad", "State", "choose_road"]

FALLBACKS = ("none", "classical")
PIXELS_AT_ONCE = {"cpu": 2**20, "accelerator": 2**23}
"""Of all tiles of a batch. On a CPU a larger one is no faster: eight tiles of 1024² took 1.3 times as long as one by
one, and 0.9 GB more."""

Progress = Callable[[int, int], None]
"""Called with the tiles done and the tiles there are; what it raises ends the inference."""


@dataclass(frozen=True, eq=False)
class State:
    """A measurement on its way.

    outside: why the network is not to be used for it, in a line.  stand_in: what is used instead.
    prepared: (c, ny, nx) float32, before the network.  predicted: (k, ny, nx) float32, after it.
    seconds: stop -> time [s].
    """

    measured: Any
    outside: str | None = None
    stand_in: SolverRoad | None = None
    prepared: Any = None
    predicted: Any = None
    result: Any = None
    seconds: dict[str, float] = field(default_factory=dict)


class Road(Protocol):
    """Three stops, each of which may run in a thread of its own."""

    def prepare(self, measured: Any) -> State:
        """Turn the measurement into what the model takes.  Raises InvalidValue, ModelUnsuitable."""
        ...

    def run(self, state: State, progress: Progress | None = None) -> State:
        """Do the heavy part.  Raises what the session or the solver raises."""
        ...

    def finish(self, state: State) -> Any:
        """Make the result and label it with its provenance."""
        ...


def choose_road(
    model: Session | Solver,
    *,
    tile: int | None = None,
    batch: int | None = None,
    fallback: str = "none",
    threads: int | None = None,
    **options: Any,
) -> Road:
    """Plan how to infer with a session or a solver, every setting checked before any work is done.

    Raises InvalidOption.
    """
    if fallback not in FALLBACKS:
        raise InvalidOption.unknown("fallback", fallback, FALLBACKS)
    if isinstance(model, Session):
        return NetworkRoad.of(model, tile, batch, fallback == "classical", threads, options)
    if tile is not None or batch is not None:
        raise InvalidOption(f"{_name(model)}: takes no tile or batch, because it is no network")
    return SolverRoad.of(model, threads, options)


@dataclass(frozen=True, eq=False)
class SolverRoad:
    """By way of a solver: nothing to prepare, all the work in one place."""

    solver: Solver
    name: str
    threads: int | None
    options: Mapping[str, Any]

    @classmethod
    def of(cls, solver: Solver, threads: int | None, options: Mapping[str, Any]) -> SolverRoad:
        """Plan the road of a solver.  Raises InvalidOption."""
        name = _name(solver)
        check_options(name, options, solver.solve)
        return cls(solver, name, threads, options)

    def prepare(self, measured: Any) -> State:
        """Check that the measurement is of the kind that the solver accepts."""
        _check_kind(self.name, measured, self.solver.accepts)
        return State(measured)

    def run(self, state: State, progress: Progress | None = None) -> State:
        """Solve."""
        with _clock(state, "run"):
            result = self.solver.solve(state.measured, **chosen_for(self.solver.solve, self.options, self.threads))
        return replace(state, result=result)

    def finish(self, state: State) -> Any:
        """Label the result."""
        record = {**provenance.of_solver(self.name, self.threads), "options": dict(self.options)}
        return _labelled(state.result, record, state)


@dataclass(frozen=True, eq=False)
class NetworkRoad:
    """By way of a network; where the measurement is unlike those it was trained on, by the solver that was allowed."""

    session: Session
    task: NetworkTask
    tile: int
    batch: int
    classical: SolverRoad | None
    threads: int | None
    options: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        session: Session,
        tile: int | None,
        batch: int | None,
        classical: bool,
        threads: int | None,
        options: Mapping[str, Any],
    ) -> NetworkRoad:
        """Plan the road of a session.  Raises InvalidOption, ModelDamaged."""
        manifest = session.manifest
        task = find_task(manifest.task)
        if not isinstance(task, NetworkTask):
            raise InvalidOption(f"{manifest.name}: its task {manifest.task!r} takes no network")
        if tuple(manifest.input_channels) != tuple(task.input_channels):
            why = f"trained on channels {', '.join(manifest.input_channels)}, not {', '.join(task.input_channels)}"
            raise ModelDamaged(f"{manifest.name}: semrt.json", why)
        tile = manifest.tile if tile is None else tile
        batch = _fitting_batch(session, tile) if batch is None else batch
        if batch < 1:
            raise InvalidOption(f"{manifest.name}: batch: expected 1 or more, got {batch}")
        check_options(manifest.name, options, task.prepare, task.finish)
        threads = threads or session.threads
        stand_in = _stand_in_for(task, options, threads) if classical else None
        road = cls(session, task, tile, batch, stand_in, threads, options)
        road._layout((tile, tile))  # raises now what it would raise later
        return road

    def prepare(self, measured: Any) -> State:
        """Prepare the network's input, or find out why the network must not be used.  Raises ModelDamaged too."""
        manifest = self.session.manifest
        _check_kind(manifest.name, measured, self.task.accepts)
        state = State(measured)
        with _clock(state, "prepare"):
            try:
                outside = self.task.outside_domain(measured, manifest.domain)
            except KeyError as error:
                raise ModelDamaged(f"{manifest.name}: semrt.json", f"its domain says nothing of {error}") from error
            if outside is None:
                prepared = self.task.prepare(measured, **chosen_for(self.task.prepare, self.options, self.threads))
                return replace(state, prepared=prepared)
        if self.classical is None:
            raise ModelUnsuitable(f"{manifest.name}: {outside}; allow --fallback classical, or choose another model")
        return replace(state, outside=outside, stand_in=self.classical)

    def run(self, state: State, progress: Progress | None = None) -> State:
        """Run the network tile by tile, or the solver in its place."""
        if state.stand_in is not None:
            return state.stand_in.run(state)
        manifest = self.session.manifest
        state.seconds["network"] = 0.0

        def timed(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
            started = time.perf_counter()
            predicted = self.session.run(tiles)
            state.seconds["network"] += time.perf_counter() - started
            return predicted

        with _clock(state, "run"):
            predicted = tiling.run(
                timed,
                state.prepared,
                tile=self.tile,
                halo=manifest.halo,
                multiple=manifest.multiple,
                batch=self.batch,
                progress=progress,
                n_threads=self.threads,
            )
            if not np.isfinite(predicted).all():  # half precision overflows without a word
                what = f"{self.session.precision} on {self.session.device}"
                raise ModelUnsuitable(f"{manifest.name}: gave NaN or infinity ({what}); try fp32, or the CPU")
        return replace(state, predicted=predicted)

    def finish(self, state: State) -> Any:
        """Make the result from what the network predicted, and label it with what made it."""
        if (solver := state.stand_in) is not None:
            instead_of = provenance.of_network(self.session)["model"]
            record = {
                **provenance.of_solver(solver.name, solver.threads),
                "fallback": {"instead_of": instead_of, "why": state.outside},
                "options": dict(solver.options),
            }
            return _labelled(state.result, record, state)
        with _clock(state, "finish"):
            keywords = chosen_for(self.task.finish, self.options, self.threads)
            result = self.task.finish(state.predicted, state.prepared, state.measured, **keywords)
        layout = self._layout(state.prepared.shape[1:])
        tiles = {"tile": list(layout.tile), "halo": list(layout.halo), "tiles": len(layout), "batch": self.batch}
        record = {**provenance.of_network(self.session), "tiling": tiles, "options": dict(self.options)}
        return _labelled(result, record, state)

    def _layout(self, shape: tuple[int, ...]) -> tiling.Plan:
        return tiling.plan(shape, self.tile, self.session.manifest.halo, self.session.manifest.multiple)


@contextmanager
def _clock(state: State, stop: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    state.seconds[stop] = time.perf_counter() - started


def _fitting_batch(session: Session, tile: int) -> int:
    """The largest batch of the manifest that stays within what the device is best given at once."""
    pixels = PIXELS_AT_ONCE["cpu" if session.device == "cpu" else "accelerator"]
    fitting = [size for size in session.manifest.batch if size * tile**2 <= pixels]
    return max(fitting, default=1)


def _stand_in_for(task: NetworkTask, options: Mapping[str, Any], threads: int | None) -> SolverRoad:
    solver = cast("Solver", find_task(task.classical))
    shared = set(options) & set(chosen_for(solver.solve, options, threads))
    return SolverRoad.of(solver, threads, {name: options[name] for name in shared})


def _name(solver: Solver) -> str:
    target = f"{type(solver).__module__}:{type(solver).__qualname__}"
    return next((name for name, entry in TASKS.items() if entry == target), type(solver).__name__)


def _check_kind(name: str, measured: Any, accepts: type) -> None:
    if not isinstance(measured, accepts):
        raise InvalidValue(f"{name}: input", f"a {accepts.__name__}", f"a {type(measured).__name__}")


def _labelled(result: Any, record: dict[str, Any], state: State) -> Any:
    details = {"details": dict(result.provenance)} if result.provenance else {}
    return replace(result, provenance={**record, "seconds": dict(state.seconds), **details})
