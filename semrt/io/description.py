"""What is known of an image, as the JSON text that travels inside its file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from semrt.data import EnergyStack, LabelVolume, LayerMap, Micrograph, TiltSeries, Tomogram, Volume
from semrt.errors import InvalidValue

if TYPE_CHECKING:
    from semrt.io.formats import Image

__all__ = ["acquisition", "describe", "plain", "understand"]

_LAYOUT = 1  # of the JSON text; raised when its keys change meaning


def plain(value: Any) -> Any:
    """The same value in JSON's types: NumPy's scalars and arrays unwrapped, NaN and infinity as None.

    Raises InvalidValue for what JSON has no word for.
    """
    match value:
        case None | bool() | str():
            return value
        case np.generic() | np.ndarray():
            return plain(value.tolist())
        case int():
            return int(value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(entry) for key, entry in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(entry) for entry in value]
        case PurePath():
            return str(value)
        case date():
            return value.isoformat()
        case bytes():
            return value.decode("latin-1")
    raise InvalidValue("JSON", "numbers, text, lists and mappings", type(value).__name__)


def describe(data: Image | EnergyStack | LayerMap | LabelVolume | TiltSeries | Tomogram, **more: Any) -> str:
    """Metadata, provenance and `more` in one line of ASCII, which every format can hold."""
    known = {"semrt": _LAYOUT, "metadata": data.metadata, **more}
    if isinstance(data, Micrograph | Volume | EnergyStack | LayerMap | LabelVolume | TiltSeries | Tomogram):
        known["provenance"] = data.provenance
    return json.dumps(plain(known), sort_keys=True, allow_nan=False)


def understand(text: object) -> dict[str, Any] | None:
    """What `describe` wrote; None for any other text, which is then somebody else's description."""
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return None
    try:
        known = json.loads(text)
    except json.JSONDecodeError:
        return None
    if not (isinstance(known, dict) and known.get("semrt") == _LAYOUT):
        return None
    return {"metadata": {}, "provenance": {}, **known}


def acquisition(facts: Mapping[str, Any], known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata and provenance of an image: those that semrt wrote into the file, else what the file itself says.

    facts: what the reader found out, `format` and `dtype` among it.  known: what `understand` gave.
    """
    if known is None:
        return {"metadata": dict(facts), "provenance": {}}
    ours = {"format": facts["format"], "dtype": facts["dtype"]}
    return {"metadata": ours | known["metadata"], "provenance": known["provenance"]}
