"""Failures, told in one line on stderr."""

from __future__ import annotations

import os
import traceback

import click

from semrt.errors import Interrupted, MissingDependency, OutOfMemory, SemrtError

__all__ = ["INTERRUPTED", "KEEPING", "exit_code", "log_traceback", "message", "tell"]

INTERRUPTED = Interrupted.exit_code
KEEPING = "use --skip-existing to keep it"  # a hint of OutputExists, where the command has that option
TRAINING = ("torch", "onnx", "onnxscript", "onnxconverter_common")  # what the runtime never imports


def tell(error: BaseException) -> int:
    """Say what went wrong, and return the exit code; SEMRT_DEBUG=1 adds where."""
    log_traceback(error)
    click.echo(f"semrt: {message(error)}", err=True)
    return exit_code(error)


def log_traceback(error: BaseException) -> None:
    """Print where an error came from, if SEMRT_DEBUG asks for it."""
    if os.environ.get("SEMRT_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)


def message(error: BaseException) -> str:
    """What went wrong, in one line."""
    error = _translated(error)
    if isinstance(error, click.ClickException):
        words = error.format_message()
    elif isinstance(error, SemrtError):
        words = str(error)
    elif isinstance(error, KeyboardInterrupt | click.Abort):
        words = "interrupted"
    else:
        words = f"unexpected {type(error).__name__}: {error}; set SEMRT_DEBUG=1 to see where"
    return " ".join(words.split())


def exit_code(error: BaseException) -> int:
    """Return the exit code that goes with an error."""
    error = _translated(error)
    if isinstance(error, click.ClickException | SemrtError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    return 1


def _translated(error: BaseException) -> BaseException:
    """Say in semrt's words what Python says in its own."""
    if isinstance(error, SemrtError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory("the host")
    if isinstance(error, ModuleNotFoundError) and (package := (error.name or "").partition(".")[0]) in TRAINING:
        return MissingDependency(package, "export", "training and export")
    return error
