"""Failures, told in one line on stderr."""

from __future__ import annotations

import os
import traceback

import click

from semrt.errors import OutOfMemory, SemrtError

__all__ = ["INTERRUPTED", "exit_code", "log_traceback", "message", "tell"]

INTERRUPTED = 130


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
    if isinstance(error, click.ClickException):
        words = error.format_message()
    elif isinstance(error, SemrtError):
        words = str(error)
    elif isinstance(error, MemoryError):
        words = str(OutOfMemory("the host"))
    elif isinstance(error, KeyboardInterrupt | click.Abort):
        words = "interrupted"
    else:
        words = f"unexpected {type(error).__name__}: {error}; set SEMRT_DEBUG=1 to see where"
    return " ".join(words.split())


def exit_code(error: BaseException) -> int:
    """Return the exit code that goes with an error."""
    if isinstance(error, click.ClickException | SemrtError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    return OutOfMemory.exit_code if isinstance(error, MemoryError) else 1
