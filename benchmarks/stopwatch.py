"""Contenders side by side: in the same process or as processes, turn by turn, so that what slows one slows all."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest import mock

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import ModuleType

__all__ = ["Race", "memory_of", "process", "race", "show", "spans"]

SHORTEST = 0.02  # [s]; quicker calls are timed several at a time
SLOW = 5.0  # [s]; a contender that takes longer, and ten times as long as the first, runs once: no luck can turn that


@dataclass(frozen=True, eq=False)
class Race:
    """How long each contender took; the first is the one that the others are compared to.

    seconds: name -> one time for each round [s].  results: name -> what the last call returned.
    processor: name -> time of all cores that this process had meanwhile [s], which others' work hardly makes longer.
    """

    title: str
    seconds: dict[str, list[float]]
    results: dict[str, Any]
    processor: dict[str, list[float]]

    def ratio(self, name: str) -> float:
        """Times as long as the first contender: the median over the rounds, each of which both ran in."""
        first, other = next(iter(self.seconds.values())), self.seconds[name]
        if len(other) == len(first):
            return median(theirs / ours for theirs, ours in zip(other, first, strict=True))
        return median(other) / median(first)

    def record(self) -> dict[str, Any]:
        """All of it but the results, for JSON."""
        return {
            "title": self.title,
            "contenders": {
                name: {
                    "median_s": median(times),
                    "ratio": self.ratio(name),
                    "rounds_s": times,
                    "processor_s": median(self.processor[name]),
                }
                for name, times in self.seconds.items()
            },
        }


def race(
    title: str,
    contenders: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 7,
    at_most: float = 20.0,
) -> Race:
    """Time every contender in turn, round after round; fewer of them, but at least three, after `at_most` [s].

    Each runs once before the first round, which tells how often a quick one has to run to be timed at all. The one that
    begins changes from round to round: whoever comes after a pause may find a cooler or a less busy processor.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    processor: dict[str, list[float]] = {name: [] for name in contenders}
    results: dict[str, Any] = {}
    calls = dict.fromkeys(contenders, 1)
    running = dict(contenders)
    first = 0.0
    for name, call in contenders.items():
        once, busy = _timed(call, 1, results, name)
        first = first or once
        if once > max(SLOW, 10 * first):
            seconds[name].append(once)
            processor[name].append(busy)
            del running[name]
        elif once < SHORTEST:
            calls[name] = round(SHORTEST / _timed(call, 1, results, name)[0]) + 1
    end = time.perf_counter() + at_most
    for done in range(rounds):
        if done >= 3 and time.perf_counter() > end:
            break
        names = list(running)
        begins = done % len(names)
        for name in names[begins:] + names[:begins]:
            once, busy = _timed(running[name], calls[name], results, name)
            seconds[name].append(once)
            processor[name].append(busy)
    return Race(title, seconds, results, processor)


def show(run: Race, remark: Callable[[str], str] = lambda name: "") -> None:
    """Print a race: median, spread and number of rounds of each contender, and how many times the first one's time."""
    first = next(iter(run.seconds))
    click.echo(f"\n{run.title}")
    for name, times in run.seconds.items():
        spread = f"({_text(min(times))} to {_text(max(times))}, n = {len(times)})" if len(times) > 1 else "(n = 1)"
        ratio = "" if name == first else f"{run.ratio(name):8.2f} ×"
        click.echo(f"  {name:<44}{_text(median(times)):>10}  {spread:<34}{ratio:>10}  {remark(name)}".rstrip())


def process(*arguments: str) -> Callable[[], str]:
    """Make a contender of a process of its own, Python with these arguments; it returns what that printed."""

    def run() -> str:
        return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout

    return run


def memory_of(arguments: Sequence[str]) -> int:
    """Peak resident memory [bytes] of Python with these arguments.

    A small process in between starts it, because a child's peak begins with that of the process it was forked from.
    """
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    unit = 1 if sys.platform == "darwin" else 1024
    return int(process("-c", script, sys.executable, *arguments)()) * unit


@contextmanager
def spans(functions: Mapping[str, tuple[ModuleType, str]]) -> Iterator[dict[str, float]]:
    """Add up how long functions run where their modules call them: label -> seconds, zero at the start."""
    spent = dict.fromkeys(functions, 0.0)
    with ExitStack() as stack:
        for label, (module, name) in functions.items():
            stack.enter_context(mock.patch.object(module, name, _watched(getattr(module, name), spent, label)))
        yield spent


def _watched(function: Callable[..., Any], spent: dict[str, float], label: str) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **keywords: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            spent[label] += time.perf_counter() - started

    return timed


def _timed(call: Callable[[], Any], times: int, results: dict[str, Any], name: str) -> tuple[float, float]:
    """Time [s] of a call by the clock, and of the cores that it kept busy."""
    started, busy = time.perf_counter(), time.process_time()
    for _ in range(times):
        results[name] = call()
    return (time.perf_counter() - started) / times, (time.process_time() - busy) / times


def _text(seconds: float) -> str:
    size, unit = next((size, unit) for size, unit in ((1, "s"), (1e-3, "ms"), (0, "µs")) if seconds >= size)
    scaled = seconds / (size or 1e-6)
    return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {unit}"
