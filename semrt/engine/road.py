"""What the roads of the engine share: the stops, and the state of a measurement on its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from semrt.data import Volume
from semrt.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from semrt.engine.fitting import Size
    from semrt.engine.solver_road import SolverRoad
    from semrt.tasks import Progress

__all__ = ["Checkpoint", "Road", "State", "check_kind", "clock", "labelled"]

Checkpoint = Callable[[], "Path | None"]
"""Asked for the folder of a checkpoint, by what keeps one."""


@dataclass(frozen=True, eq=False)
class State:
    """A measurement on its way.

    fallback: what the provenance will say of what runs instead of the network.  stand_in: that which does.
    prepared: (c, ny, nx) float32, or (n, c, ny, nx) of a stack, before the network.  predicted: (k, ny, nx) float32,
    or (n, k, ny, nx), after it.  told: what preparing has to say to finishing.
    size: of the tiles and batches that the network ran with.  notes: lines for the reader of the result.
    seconds: stop -> time [s].
    """

    measured: Any
    fallback: dict[str, Any] | None = None
    stand_in: SolverRoad | None = None
    prepared: Any = None
    predicted: Any = None
    size: Size | None = None
    notes: tuple[str, ...] = ()
    result: Any = None
    seconds: dict[str, float] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)


class Road(Protocol):
    """Three stops, each of which may run in a thread of its own."""

    @property
    def name(self) -> str:
        """The name of the model."""
        ...

    @property
    def resumes(self) -> bool:
        """Whether anything on the road keeps a checkpoint."""
        ...

    def prepare(self, measured: Any) -> State:
        """Turn the measurement into what the model takes.  Raises InvalidValue, ModelUnsuitable."""
        ...

    def run(self, state: State, progress: Progress | None = None, checkpoint: Checkpoint | None = None) -> State:
        """Do the heavy part.  Raises what the session or the solver raises."""
        ...

    def finish(self, state: State) -> Any:
        """Make the result and label it with its provenance."""
        ...


@contextmanager
def clock(state: State, stop: str) -> Iterator[None]:
    """Note the time that a stop takes, in all."""
    started = time.perf_counter()
    yield
    state.seconds[stop] = state.seconds.get(stop, 0.0) + time.perf_counter() - started


def check_kind(name: str, measured: Any, accepts: type | tuple[type, ...]) -> None:
    """Raise InvalidValue for a measurement that is of none of the kinds that the task accepts."""
    if not isinstance(measured, accepts):
        kinds = accepts if isinstance(accepts, tuple) else (accepts,)
        wanted = " or ".join(f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}" for kind in kinds)
        # A file of images alone is a Volume until somebody says at which energies or tilts they were recorded.
        made = [f"{kind.__name__}.from_volume" for kind in kinds if hasattr(kind, "from_volume")]
        hint = f"make one by {' or '.join(made)}" if made and type(measured) is Volume else ""
        raise InvalidValue(f"{name}: input", wanted, f"a {type(measured).__name__}", hint)


def labelled(result: Any, record: dict[str, Any], state: State) -> Any:
    """Put the record into the result, whose own provenance becomes the details of it, with the notes of the road."""
    own = dict(result.provenance)
    if state.notes:
        own["notes"] = [*own.get("notes", ()), *state.notes]
    return replace(result, provenance={**record, "seconds": dict(state.seconds), **({"details": own} if own else {})})
