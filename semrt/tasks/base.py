"""The two shapes of a task: around a network, or without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from semrt.backends.gate import decibels_lost
from semrt.data import Micrograph
from semrt.tiling import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from semrt.backends.gate import Measure

__all__ = [
    "NetworkTask",
    "Progress",
    "Sliced",
    "Solver",
    "devices_of",
    "measure_of",
    "outputs_of",
    "package_of",
    "result_of",
    "solvers_of",
]


@runtime_checkable
class Solver(Protocol):
    """A task that needs no network: kriging, and whatever else computes its result from the measurement alone.

    Options are the keyword-only parameters of solve; the engine refuses others. Those of these names are no options,
    but given by the engine to a solver that names them:

    n_threads: int or None, CPU threads, one for each core when None.
    device: "auto", "cpu", "cuda" or "cuda:1", of the kinds in `devices`.
    progress: a Progress or None, to be called often; what it raises ends the inference. Interrupted (or, where the
        caller sits in the main thread, KeyboardInterrupt) may be caught to return the best result so far; from then on
        every call raises it.
    checkpoint: Path or None, a folder of this input's own, where neither it nor those above it need exist. What lies
        there from an earlier run may be of another input or of other options. The caller removes it when all is done.

    Two attributes say what a solver needs, where it needs more than a CPU and semrt itself:

    devices: kinds of device that it can run on, such as ("cpu", "cuda").
    requires: the package that solve imports, such as "torch"; the extra of the solver's own name brings it.

    One says what it gives, of solvers and of tasks around a network alike, where that is no Micrograph:

    gives: type of the result, such as AtomColumns.

    And one which others in TASKS do the same work without a network, in another way; read it with solvers_of:

    solvers: what a user calls them, such as "ml" -> their names.

    What the provenance of the result says goes on as its details. There `device` ({"used": "cuda:0", "why": ...})
    says where it really ran, and stopped="interrupted" that it was ended before its time, which marks the result as
    one to be done again.
    """

    accepts: type | tuple[type, ...]

    def solve(self, measured: Any) -> Any:
        """From what was measured to the result."""
        ...


@runtime_checkable
class NetworkTask(Protocol):
    """A task around a network: what goes in, what comes out; it knows no backend and no tiles.

    Options are the keyword-only parameters of prepare and finish; the engine refuses others. No options, but given by
    the engine to a function that names them, are n_threads, domain, that of the model's manifest, and told, a dict that
    prepare may write into what finish shall know. It may say what it `gives` and its `solvers`, as a Solver may.

    One attribute says what the network's output is for, where that is no image; read it with measure_of:

    lost: (estimate, reference) -> Lost, what other numbers than those of a model's test tensors change; where it says
        nothing, the error against the truth [dB].
    """

    accepts: type | tuple[type, ...]
    input_channels: tuple[str, ...]
    """What prepare gives, in order; the engine refuses a model that was trained on others. So it does for those of the
    output, where a task says them as its output_channels."""
    fallbacks: Mapping[str, str]
    """The solvers in TASKS that serve where the network was not trained for the input, by what a user calls them
    ("dip", "classical"), best first."""

    def prepare(self, measured: Any) -> NDArray[np.float32]:
        """From what was measured to the network's input, (c, h, w); or (n, c, h, w), of a stack of images."""
        ...

    def finish(self, predicted: NDArray[np.float32], prepared: NDArray[np.float32], measured: Any) -> Any:
        """From the network's output, (k, h, w) or (n, k, h, w), to the result."""
        ...

    def outside_domain(self, measured: Any, domain: Mapping[str, Any]) -> str | None:
        """Why the input lies outside what the network was trained on, in a line; None when it does not."""
        ...


@runtime_checkable
class Sliced(Protocol):
    """What a task of either shape offers besides, whose measurement is made of slices that are solved by themselves.

    Measurement and result know n_slices and slab(slice or indices), the part of them that is made of those slices, and
    a measurement planes(), all of its pixels piece by piece; a result names in SLICES those of its arrays that are
    (·, n_slices, ·). So the engine may work on some slices at a time, and keep what is finished.
    """

    neighbours: int
    """Slices to either side that the result of a slice depends on."""

    def shared(self, measured: Any) -> dict[str, Any]:
        """Options that all slices of a measurement share, from those that are given; some of the slices tell."""
        ...

    def memory(self, measured: Any) -> int:
        """Bytes that a slice of the measurement takes while it is worked on."""
        ...

    def notes_on(self, told: Mapping[str, Any]) -> tuple[str, ...]:
        """What the reader of a result must know.  told: its details; where slices differ, their mean."""
        ...


def measure_of(task: Solver | NetworkTask) -> Measure:
    """How a task judges other numbers than those of a model's test tensors."""
    measure: Measure = getattr(task, "lost", decibels_lost)
    return measure


def devices_of(solver: Solver) -> tuple[str, ...]:
    """Kinds of device that a solver can run on: the CPU, where it says nothing of them."""
    kinds: tuple[str, ...] = getattr(solver, "devices", ("cpu",))
    return kinds


def package_of(solver: Solver) -> str | None:
    """The package that a solver needs; None where it needs no more than semrt itself."""
    package: str | None = getattr(solver, "requires", None)
    return package


def outputs_of(task: NetworkTask) -> tuple[str, ...] | None:
    """The channels of the output that a task needs, in order; None where it says nothing of them."""
    outputs: tuple[str, ...] | None = getattr(task, "output_channels", None)
    return outputs


def solvers_of(task: Solver | NetworkTask) -> Mapping[str, str]:
    """The solvers that do the same work, by what a user calls them; none where it says nothing."""
    solvers: Mapping[str, str] = getattr(task, "solvers", {})
    return solvers


def result_of(task: Solver | NetworkTask) -> type:
    """Type of what a task gives: Micrograph, where it says nothing."""
    kind: type = getattr(task, "gives", Micrograph)
    return kind
