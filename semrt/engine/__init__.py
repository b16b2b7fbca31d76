"""The one road: prepare, run the network tile by tile, finish.

`infer` takes one measurement the whole way; `infer_many` sends many down the same stops, overlapping.
"""

from semrt.engine.fallback import FALLBACKS, fallback_line
from semrt.engine.judged import build_engine, check_tile, open_session
from semrt.engine.serve import accepted_by, find_model, find_solver, infer, infer_many, open_model

__all__ = [
    "FALLBACKS",
    "accepted_by",
    "build_engine",
    "check_tile",
    "fallback_line",
    "find_model",
    "find_solver",
    "infer",
    "infer_many",
    "open_model",
    "open_session",
]
