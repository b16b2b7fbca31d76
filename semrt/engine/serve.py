"""Open a model; infer one measurement, or many."""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from semrt import models, pipeline
from semrt.backends import BACKENDS, Session, parse_device
from semrt.engine.choice import choose_road
from semrt.engine.fallback import fallback_line
from semrt.engine.judged import open_session
from semrt.engine.solver_road import check_solver
from semrt.errors import Interrupted, InvalidOption, ModelNotFound
from semrt.models import Manifest
from semrt.provenance import notes_of
from semrt.tasks import TASKS, NetworkTask, Solver, find_task, solvers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from semrt.engine.road import State
    from semrt.tasks import Progress

__all__ = ["accepted_by", "find_model", "find_solver", "infer", "infer_many", "open_model"]

NETWORK, AUTO = "network", "auto"
"""What the network of a model is called among its solvers, and what the model does by itself."""


@contextmanager
def open_model(
    model: str | Path,
    device: str = "auto",
    *,
    threads: int | None = None,
    precision: str = "fp32",
    solver: str | None = None,
    tile: int | None = None,
    gpu_memory: int | None = None,
) -> Iterator[Session | Solver]:
    """Open a model by name or folder: a session on a device, or a solver, which needs neither file nor device.

    tile: that infer will be called with.  gpu_memory: bytes of a card that a network may take at most.
    Raises what find_model and open_session raise.
    """
    found = find_model(model, device, precision, solver, gpu_memory)
    if isinstance(found, Solver):
        yield found
    else:
        how: dict[str, Any] = {"tile": tile, "gpu_memory": gpu_memory}
        with open_session(found, device, threads=threads, precision=precision, **how) as session:
            yield session


def find_model(
    model: str | Path,
    device: str = "auto",
    precision: str = "fp32",
    solver: str | None = None,
    gpu_memory: int | None = None,
) -> Path | Solver:
    """Find what is called so: a solver, or the folder of a trained model.

    solver: what a model calls the method that is to do its work; "network" for its network, "auto" or None for what it
        does by itself.
    Raises ModelNotFound; InvalidOption for a device that nobody knows, and for what a solver cannot have;
    MissingDependency for a solver that lacks the package it needs.
    """
    if device != "auto":
        parse_device(device, BACKENDS)
    if solver == AUTO:
        solver = None
    if (found := find_solver(model)) is None:
        try:
            folder = models.find(model)
        except ModelNotFound:
            raise ModelNotFound(model, {*models.available(), *filter(find_solver, TASKS)}) from None
        if solver is None or solver == NETWORK:
            return folder
        manifest = Manifest.read(folder)
        model, found = _in_its_place(manifest.name, find_task(manifest.task), solver, NETWORK)
    elif solver is not None:
        model, found = _in_its_place(str(model), found, solver)
    check_solver(str(model), found, device)
    if precision != "fp32":
        raise InvalidOption(f"precision {precision!r}: {model} is no network; leave the precision out")
    if gpu_memory is not None:
        raise InvalidOption(f"gpu memory: {model} is no network, and knows no limit of it; leave it out")
    return found


def _in_its_place(model: str, task: Solver | NetworkTask, solver: str, *more: str) -> tuple[str, Solver]:
    """The solver that a model calls so, and its name in TASKS.  Raises InvalidOption."""
    choices = solvers_of(task)
    if not choices:
        raise InvalidOption(f"solver {solver!r}: {model} works in one way alone; leave it out")
    if solver == NETWORK and not more:
        ways = ", ".join(choices)
        raise InvalidOption(
            f"{model}: solver {solver!r}: no network for it ships, as none did better than its solvers ({ways}); "
            "give the folder of a network of your own as the model"
        )
    if solver not in choices:
        raise InvalidOption.unknown(f"{model}: solver", solver, [*choices, *more])
    return choices[solver], cast("Solver", find_task(choices[solver]))


def find_solver(model: str | Path) -> Solver | None:
    """Find the solver called so; None when the name is that of a network, or of nothing.

    A trained model of a solver's name takes its place.
    """
    known = isinstance(model, str) and model in TASKS and model not in models.available()
    task = find_task(str(model)) if known else None
    return task if isinstance(task, Solver) else None


def accepted_by(model: Session | Solver) -> tuple[type, ...]:
    """The types of measurement that a model takes."""
    task = find_task(model.manifest.task) if isinstance(model, Session) else model
    return task.accepts if isinstance(task.accepts, tuple) else (task.accepts,)


def infer(
    measured: Any,
    model: Session | Solver,
    *,
    tile: int | None = None,
    batch: int | None = None,
    fallback: str = "auto",
    device: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    **options: Any,
) -> Any:
    """Infer what was not measured; the result says in its provenance what made it.

    tile [px]: that of the model's manifest when None.  batch: as many tiles as suit the device when None.
    fallback: what runs for a measurement unlike those that the model was trained on: "dip", a Deep Image Prior;
        "classical", the task's best method that learns nothing; "auto", the first of them that is installed, which is
        said in a warning; "none", so that it is refused.
    device: where a solver runs, "auto" when None, and one that stands in for a network: where its session does when
        None. A session itself runs where it was opened.
    threads: of the kernels around the network; those of the session when None.
    progress: called with how many are done, how many there are, and what is counted, such as "tile" or "iteration,
        loss 0.0123"; what it raises ends the inference, or lets a slow solver return the best result so far, as
        Ctrl-C does too: the provenance of such a one says interrupted=True.
    checkpoint: folder, which need not exist, where a slow solver keeps what it needs to go on after an interruption. A
        volume of several slabs stays there, mapped into memory, so that it may be larger than that.
    options: the keywords of the task, such as denoise=True.
    Raises InvalidOption, InvalidValue, MissingDependency, ModelUnsuitable, and what the session raises.
    """
    road = choose_road(model, tile=tile, batch=batch, fallback=fallback, device=device, threads=threads, **options)
    if checkpoint is not None and not road.resumes:
        raise InvalidOption(f"{road.name}: takes no checkpoint, because nothing of it goes on from one; leave it out")
    folder = None if checkpoint is None else Path(checkpoint)
    state = road.prepare(measured)
    if state.fallback is not None and fallback == "auto":
        line = fallback_line(state.fallback, 'fallback="{}"')
        warnings.warn(line, stacklevel=3)  # told of the line that called semrt.infer
    result = road.finish(road.run(state, progress, lambda: folder))
    for note in notes_of(result):
        warnings.warn(note, stacklevel=3)
    return result


def infer_many(
    items: Iterable[Any],
    model: Session | Solver,
    read: Callable[[Any], Any],
    write: Callable[[Any, Any], Any],
    *,
    progress: Callable[[Any, int, int, str], None] | None = None,
    fell_back: Callable[[Any, Mapping[str, Any]], None] | None = None,
    checkpoint: Callable[[Any], Path] | None = None,
    stop: threading.Event | None = None,
    depth: int = 2,
    **settings: Any,
) -> Iterator[pipeline.Outcome]:
    """Infer from many inputs, reading the next and writing the last while the network is busy with this one.

    read(item) -> measured.  write(item, result) -> what the item's Outcome holds, such as the path.
    progress(item, done, total, what is counted).  fell_back(item, what the provenance will say of the fallback) is
        called before a solver runs in the place of a network.
    checkpoint(item) -> folder, asked for a solver that keeps one.
    stop: set it, and no further item is begun; the progress call of the one that runs raises Interrupted, over which a
        solver may return the best result so far. Results that are there are still finished and written.
    settings: as infer takes them.
    Outcomes come in the order of the items; one that fails does not stop the others.
    Raises InvalidOption, MissingDependency.
    """
    road = choose_road(model, **settings)
    stop = stop or threading.Event()

    def go_on() -> None:
        if stop.is_set():
            raise Interrupted

    def prepare(item: Any, _: None) -> State:
        go_on()
        measured = read(item)
        go_on()
        return road.prepare(measured)

    def run(item: Any, state: State) -> State:
        def watch(done: int, total: int, what: str) -> None:
            if done < total:  # else all is done
                go_on()
            if progress is not None:
                progress(item, done, total, what)

        go_on()
        if fell_back is not None and state.fallback is not None:
            fell_back(item, state.fallback)
        return road.run(state, watch, None if checkpoint is None else lambda: checkpoint(item))

    stages: dict[str, pipeline.Stage] = {
        "read": prepare,
        "run": run,
        "write": lambda item, state: write(item, road.finish(state)),
    }
    return pipeline.run(items, stages, depth=depth, stop=stop)
