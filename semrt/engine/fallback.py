"""What runs where a network was not trained for the measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from semrt.engine.options import chosen_for
from semrt.engine.solver_road import SolverRoad, missing_package
from semrt.errors import InvalidOption
from semrt.tasks import Solver, devices_of, find_task, package_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from semrt.tasks import NetworkTask

__all__ = ["FALLBACKS", "Fallback", "choose_fallback", "fallback_line"]

FALLBACKS = ("auto", "dip", "classical", "none")
AS_ASKED = "as asked"
TITLES = {"dip": "the Deep Image Prior"}


@dataclass(frozen=True, eq=False)
class Fallback:
    """A solver that stands in for a network.  chosen: why this one.  choices: what else could be asked for."""

    road: SolverRoad
    chosen: str
    choices: tuple[str, ...]

    def record(self, model: Mapping[str, Any], why: str) -> dict[str, Any]:
        """What the provenance says of it.  model: that it runs instead of.  why: the network must not be used."""
        return {
            "instead_of": dict(model),
            "solver": self.road.name,
            "why": why,
            "chosen": self.chosen,
            "choices": list(self.choices),
        }


def choose_fallback(
    name: str, task: NetworkTask, wanted: str, device: str, threads: int | None, options: Mapping[str, Any]
) -> Fallback | None:
    """Choose the solver that may stand in for a network, every setting checked.

    name: of the model.  wanted: one of FALLBACKS; "auto" is the first of the task's whose package is installed.
    device: where it is to run; elsewhere, where it cannot.  options: those of the network that it takes are its too.
    Raises InvalidOption, MissingDependency.
    """
    if wanted == "none" or (wanted == "auto" and not task.fallbacks):
        return None
    if wanted != "auto" and wanted not in task.fallbacks:
        raise InvalidOption.unknown(f"{name}: fallback", wanted, [*task.fallbacks, "auto", "none"])
    choices = {way: cast("Solver", find_task(solver)) for way, solver in task.fallbacks.items()}
    if wanted == "auto":
        solver, chosen = _first_installed(choices.values())
    else:
        solver, chosen = choices[wanted], AS_ASKED
    if device.partition(":")[0] not in devices_of(solver):
        device = "auto"  # what was asked for was asked of the network
    return Fallback(
        SolverRoad.of(solver, device, threads, chosen_for(solver.solve, options)), chosen, (*task.fallbacks, "none")
    )


def fallback_line(fallback: Mapping[str, Any], ask: str) -> str:
    """Say in a line what runs instead of which model, why, and how to choose.

    fallback: as the provenance has it.  ask: how to ask for one, such as "--fallback {}"; said where nobody did.
    """
    solver, chosen = fallback["solver"], fallback["chosen"]
    hint = "" if chosen == AS_ASKED else "; choose with " + ask.format("|".join(fallback["choices"]))
    runs = f"{TITLES.get(solver, solver)} runs instead ({chosen})"
    return f"{fallback['instead_of']['name']}: {fallback['why']}; {runs}{hint}"


def _first_installed(choices: Iterable[Solver]) -> tuple[Solver, str]:
    """The first solver whose package is there, and why it is this one; the last, where none is."""
    why = "the best there is"
    for solver in choices:
        package = package_of(solver)
        if missing_package(solver) is None:
            return solver, why if package is None else f"{package} is installed"
        why = f"{package} is not installed"
    return solver, why
