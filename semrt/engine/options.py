"""Options by keyword: a task names them in the signatures of its functions, and no other passes."""

from __future__ import annotations

import inspect
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["GIVEN", "check_options", "chosen_for", "takes"]

GIVEN = frozenset({"n_threads", "device", "progress", "checkpoint", "domain", "told"})
"""Keywords that the engine gives to those functions that name them; no options."""
_KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a word", "None": "none"}


def check_options(model: str, options: Mapping[str, Any], *functions: Callable[..., Any]) -> None:
    """Raise InvalidOption for an option that none of the functions takes, or a value that is not what they expect.

    The message names what they do take. Values are checked where the annotation is made of bool, int, float, str, None.
    """
    known = set().union(*map(_keywords, functions)) - GIVEN
    for name, value in options.items():
        if name not in known:
            if not known:
                raise InvalidOption(f"{model}: option {name!r} is unknown; {model} takes none")
            raise InvalidOption.unknown(f"{model}: option", name, known)
        for function in functions:
            if takes(function, name) and (wanted := _unlike(value, _keywords(function)[name])):
                raise InvalidOption(f"{model}: option {name!r}: expected {wanted}, got {value!r}")


def chosen_for(function: Callable[..., Any], options: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """Pick the options that the function takes, and what it names of that which the engine gives."""
    return {name: value for name, value in {**options, **given}.items() if takes(function, name)}


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether the function names such a keyword."""
    return name in _keywords(function)


def _keywords(function: Callable[..., Any]) -> dict[str, Any]:
    """Keyword-only parameters and their annotations."""
    parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: parameter.annotation for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY
    }


def _unlike(value: Any, annotation: Any) -> str:
    """What the annotation wants, in words, where the value is none of it; else nothing."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    wanted = [kind.strip() for kind in text.split("|")]
    if not set(wanted) <= set(_KINDS) or _kinds_of(value) & set(wanted):
        return ""
    return " or ".join(_KINDS[kind] for kind in wanted)


def _kinds_of(value: Any) -> set[str]:
    if value is None:
        return {"None"}
    if isinstance(value, bool | np.bool_):
        return {"bool"}  # in Python True is a number too, but nobody means it
    if isinstance(value, Integral):
        return {"int", "float"}
    return {kind for kind, of in (("float", Real), ("str", str)) if isinstance(value, of)}
