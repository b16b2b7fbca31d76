"""The road by way of a solver, which needs no network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from semrt import provenance
from semrt.backends import BACKENDS, parse_device
from semrt.engine.options import check_options, chosen_for, takes
from semrt.engine.road import State, check_kind, clock, labelled
from semrt.errors import InvalidOption, MissingDependency
from semrt.tasks import TASKS, devices_of, package_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from semrt.engine.road import Checkpoint
    from semrt.tasks import Progress, Solver

__all__ = ["SolverRoad", "check_solver", "missing_package", "name_of"]


@dataclass(frozen=True, eq=False)
class SolverRoad:
    """By way of a solver: nothing to prepare, all the work in one place.

    device: where it is to run, "auto", "cpu", "cuda" or "cuda:1"; where it ran, the result says.
    """

    solver: Solver
    name: str
    device: str
    threads: int | None
    options: Mapping[str, Any]

    @classmethod
    def of(cls, solver: Solver, device: str, threads: int | None, options: Mapping[str, Any]) -> SolverRoad:
        """Plan the road of a solver.  Raises InvalidOption, MissingDependency."""
        name = name_of(solver)
        check_solver(name, solver, device)
        check_options(name, options, solver.solve)
        return cls(solver, name, device, threads, options)

    def admit(self, measured: Any) -> State:
        """Check that the measurement is of the kind that the solver accepts."""
        check_kind(self.name, measured, self.solver.accepts)
        return State(measured)

    def prepare(self, measured: Any) -> State:
        """Nothing is prepared."""
        return self.admit(measured)

    @property
    def resumes(self) -> bool:
        """Whether the solver keeps a checkpoint."""
        return takes(self.solver.solve, "checkpoint")

    def run(self, state: State, progress: Progress | None = None, checkpoint: Checkpoint | None = None) -> State:
        """Solve."""
        solve = self.solver.solve
        folder = checkpoint() if self.resumes and checkpoint is not None else None
        given = {"n_threads": self.threads, "device": self.device, "progress": progress, "checkpoint": folder}
        with clock(state, "run"):
            result = solve(state.measured, **chosen_for(solve, self.options, **given))
        return replace(state, result=result)

    def finish(self, state: State) -> Any:
        """Label the result."""
        return self.label(state)

    def label(self, state: State, **more: Any) -> Any:
        """Label the result with what made it, where it says that it ran, and what else there is to say."""
        details = dict(state.result.provenance)
        made = provenance.of_solver(self.name, self.threads, details.pop("device", None))
        if details.get("stopped") == "interrupted":
            made["interrupted"] = True
        result = replace(state.result, provenance=details)
        return labelled(result, {**made, **more, "options": dict(self.options)}, state)


def check_solver(name: str, solver: Solver, device: str) -> None:
    """Raise InvalidOption for a device that the solver cannot run on, MissingDependency where it lacks its package."""
    kinds = devices_of(solver)
    if device != "auto" and parse_device(device, BACKENDS).kind not in kinds:
        where = " or ".join(kinds)
        raise InvalidOption(f"device {device!r}: {name} is no network and runs on the {where}; leave the device out")
    if (package := missing_package(solver)) is not None:
        raise MissingDependency(package, name, name)


def missing_package(solver: Solver) -> str | None:
    """The package that the solver needs and that is not installed; it is looked for, not imported."""
    package = package_of(solver)
    return package if package is not None and find_spec(package) is None else None


def name_of(solver: Solver) -> str:
    """Its name in TASKS."""
    target = f"{type(solver).__module__}:{type(solver).__qualname__}"
    return next((name for name, entry in TASKS.items() if entry == target), type(solver).__name__)
