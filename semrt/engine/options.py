"""Options by keyword: a task names them in the signatures of its functions, and no other passes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["check_options", "chosen_for"]

_THREADS = "n_threads"  # set by the engine, from the one number of threads that the user chose


def check_options(model: str, options: Mapping[str, Any], *functions: Callable[..., Any]) -> None:
    """Raise InvalidOption for an option that none of the functions takes; the message names those that they do take."""
    known = set().union(*map(_keywords, functions)) - {_THREADS}
    for name in options:
        if name not in known:
            if not known:
                raise InvalidOption(f"{model}: option {name!r} is unknown; {model} takes none")
            raise InvalidOption.unknown(f"{model}: option", name, known)


def chosen_for(function: Callable[..., Any], options: Mapping[str, Any], threads: int | None) -> dict[str, Any]:
    """Pick the options that the function takes, and its number of threads."""
    return {name: value for name, value in {**options, _THREADS: threads}.items() if name in _keywords(function)}


def _keywords(function: Callable[..., Any]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
