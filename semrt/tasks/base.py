"""The two shapes of a task: around a network, or without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NetworkTask", "Solver"]


@runtime_checkable
class Solver(Protocol):
    """A task that needs no network: kriging, and whatever else computes its result from the measurement alone.

    Options are the keyword-only parameters of solve; the engine refuses others.
    """

    accepts: type

    def solve(self, measured: Any) -> Any:
        """From what was measured to the result.  n_threads and further options by keyword."""
        ...


@runtime_checkable
class NetworkTask(Protocol):
    """A task around a network: what goes in, what comes out; it knows no backend and no tiles.

    Options are the keyword-only parameters of prepare and finish; the engine refuses others.
    """

    accepts: type
    input_channels: tuple[str, ...]
    """What prepare gives, in order; the engine refuses a model that was trained on others."""
    classical: str
    """The solver in TASKS that serves where the network was not trained for the input."""

    def prepare(self, measured: Any) -> NDArray[np.float32]:
        """From what was measured to the network's input, (c, h, w)."""
        ...

    def finish(self, predicted: NDArray[np.float32], prepared: NDArray[np.float32], measured: Any) -> Any:
        """From the network's output, (k, h, w), to the result."""
        ...

    def outside_domain(self, measured: Any, domain: Mapping[str, Any]) -> str | None:
        """Why the input lies outside what the network was trained on, in a line; None when it does not."""
        ...
