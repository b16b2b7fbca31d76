"""Options by keyword: a task names them in the signatures of its functions, and no other passes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["GIVEN", "check_options", "chosen_for", "takes"]

GIVEN = frozenset({"n_threads", "device", "progress", "checkpoint"})
"""Keywords that the engine gives to those functions that name them; no options."""


def check_options(model: str, options: Mapping[str, Any], *functions: Callable[..., Any]) -> None:
    """Raise InvalidOption for an option that none of the functions takes; the message names those that they do take."""
    known = set().union(*map(_keywords, functions)) - GIVEN
    for name in options:
        if name not in known:
            if not known:
                raise InvalidOption(f"{model}: option {name!r} is unknown; {model} takes none")
            raise InvalidOption.unknown(f"{model}: option", name, known)


def chosen_for(function: Callable[..., Any], options: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """Pick the options that the function takes, and what it names of that which the engine gives."""
    return {name: value for name, value in {**options, **given}.items() if takes(function, name)}


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether the function names such a keyword."""
    return name in _keywords(function)


def _keywords(function: Callable[..., Any]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
