"""Which road a measurement takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semrt.backends import Session
from semrt.engine.fallback import FALLBACKS
from semrt.engine.network_road import NetworkRoad
from semrt.engine.slabs import SlabRoad
from semrt.engine.solver_road import SolverRoad, name_of
from semrt.errors import InvalidOption
from semrt.tasks import Sliced

if TYPE_CHECKING:
    from semrt.engine.road import Road
    from semrt.tasks import Solver

__all__ = ["choose_road"]


def choose_road(
    model: Session | Solver,
    *,
    tile: int | None = None,
    batch: int | None = None,
    fallback: str = "auto",
    device: str | None = None,
    threads: int | None = None,
    **options: Any,
) -> Road:
    """Plan how to infer with a session or a solver, every setting checked before any work is done.

    Raises InvalidOption, MissingDependency.
    """
    if fallback not in FALLBACKS:
        raise InvalidOption.unknown("fallback", fallback, FALLBACKS)
    if isinstance(model, Session):
        network = NetworkRoad.of(model, tile, batch, fallback, device, threads, options)
        return SlabRoad(network) if isinstance(network.task, Sliced) else network
    if tile is not None or batch is not None:
        raise InvalidOption(f"{name_of(model)}: takes no tile or batch, because it is no network")
    solver = SolverRoad.of(model, device or "auto", threads, options)
    return SlabRoad(solver) if isinstance(model, Sliced) else solver
