"""The folder of a training run: what was asked (config.json), how far it is (checkpoint.pt), and its curves."""

from __future__ import annotations

import csv
import json
import platform
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import torch

from semrt.errors import InputNotFound, InvalidOption, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["RunFolder", "environment", "load", "save"]


@dataclass(frozen=True)
class RunFolder:
    """Names the files of a run, and reads and writes them whole or not at all."""

    path: Path

    @property
    def config(self) -> Path:
        """The recipe with its options, the seed, and where it ran."""
        return self.path / "config.json"

    @property
    def checkpoint(self) -> Path:
        """All that is needed to go on: weights, their average, optimiser, step, seconds."""
        return self.path / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """The averaged weights that did best on the held-out data."""
        return self.path / "best.pt"

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write config.json; raises InvalidOption when the folder holds another run, so that two are never mixed."""
        asked = json.loads(json.dumps(config))
        if self.config.exists():
            self.check_recipe(asked["recipe"])
        self.path.mkdir(parents=True, exist_ok=True)
        _write_text(self.config, json.dumps(asked, indent=2) + "\n")

    def check_recipe(self, options: Mapping[str, Any]) -> None:
        """Raise InvalidOption when the run in this folder was made with other options than these."""
        found = self.read_config()["recipe"]
        if found != json.loads(json.dumps(dict(options))):
            raise InvalidOption(f"{self.path}: holds a run with other options ({found}); choose another --out")

    def read_config(self) -> dict[str, Any]:
        """What config.json says.  Raises InputNotFound, UnreadableFile."""
        if not self.config.is_file():
            raise InputNotFound(self.config)
        try:
            return json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as why:
            raise UnreadableFile(self.config, why) from why

    def append(self, table: str, row: Mapping[str, float]) -> None:
        """Add a row to `table`.csv."""
        path = self.path / f"{table}.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(row))
            if new:
                writer.writeheader()
            writer.writerow(_printed(row))

    def rows(self, table: str) -> list[dict[str, float]]:
        """The rows of `table`.csv; none when it was never written, and not the one that a kill broke off."""
        path = self.path / f"{table}.csv"
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as stream:
            whole = [line for line in stream if line.endswith("\n")]
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(whole)]

    def drop_rows_after(self, table: str, step: int) -> None:
        """Forget what was logged after the checkpoint from which a run goes on: those steps are taken again."""
        kept = [row for row in self.rows(table) if row["step"] <= step]
        path = self.path / f"{table}.csv"
        if not kept:
            path.unlink(missing_ok=True)
            return
        text = StringIO(newline="")
        writer = csv.DictWriter(text, list(kept[0]))
        writer.writeheader()
        writer.writerows(_printed(row) for row in kept)
        _write_text(path, text.getvalue())

    def plot(self, score: str) -> None:
        """Draw curve.png: the loss, and the column `score` of the held-out table."""
        import matplotlib

        matplotlib.use("Agg")  # no display on the machines that train
        from matplotlib import pyplot

        figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
        for axes, table, column in ((left, "curve", "loss"), (right, "held_out", score)):
            rows = self.rows(table)
            axes.plot(
                [row["step"] for row in rows], [row[column] for row in rows], marker="." if len(rows) < 50 else ""
            )
            axes.set(xlabel="step", ylabel=column, title=table.replace("_", " "))
            axes.grid(alpha=0.3)
        partial = self.path / "curve.partial.png"
        figure.savefig(partial, dpi=100)
        pyplot.close(figure)
        partial.replace(self.path / "curve.png")


def save(path: Path, state: Mapping[str, Any]) -> None:
    """torch.save, whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save(dict(state), partial)
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """torch.load of tensors and numbers alone, onto the CPU.  Raises InputNotFound, UnreadableFile."""
    if not path.is_file():
        raise InputNotFound(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as why:  # a damaged file makes torch raise whatever its unpickler meets first
        raise UnreadableFile(path, why) from why


def environment(device: str) -> dict[str, Any]:
    """Where a run ran: versions, machine and device."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": torch.cuda.get_device_name() if device == "cuda" else (platform.processor() or platform.machine()),
        "device": device,
        "threads": torch.get_num_threads(),
    }


def _printed(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.6g}" for name, value in row.items()}


def _write_text(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)
