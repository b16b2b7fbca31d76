"""Is the plan made from a noisy image like the one that the truth would have given?

    python benchmarks/scan_plan.py                     # about two minutes on one core

Told for each kind of simulated micrograph: how alike both plans order patterns and coverages (rank correlation), the
expected error over the true one (median and range), and how much worse than the best the scan is that the plan names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from environment import describe_machine

import semrt
from semrt import engine
from semrt.report.scan_plan import Dose, candidates, forecast, stand_in
from semrt.simulate import detector, micrographs

if TYPE_CHECKING:
    from semrt.backends import Session

PATTERNS = ("clv", "random", "jittered-grid", "line-hop", "raster", "hilbert")
COVERAGES = (1.0, 1 / 4, 1 / 10, 1 / 20, 1 / 40)
LEVEL = 0.2  # of the darkest pixel, the brightest being 1: an image has a background
NOISE_DOSE = 40  # electrons where the image is brightest


@click.command()
@click.option("--kind", "kinds", multiple=True, default=("crystallites", "nanoparticles", "tissue", "grains"))
@click.option("--side", default=256, show_default=True)
@click.option("--dose", default=20.0, show_default=True, help="Of the scan, electrons per pixel of a frame.")
@click.option("--model", default="infill", show_default=True)
@click.option("--json", "target", type=click.Path(path_type=Path), help="Leave all figures here.")
def main(kinds: tuple[str, ...], side: int, dose: float, model: str, target: Path | None) -> None:
    machine = describe_machine()
    click.echo(json.dumps(machine, default=str))
    found = {}
    with engine.open_model(model, "cpu", threads=1) as opened:
        for seed, kind in enumerate(kinds, start=1):
            drawn = micrographs.draw(np.random.default_rng(seed), (side, side), kind)
            truth = semrt.Micrograph(LEVEL + (1 - LEVEL) * drawn)
            seen = detector.expose(truth.intensity, np.random.default_rng(9), dose=NOISE_DOSE)
            real = errors(truth, dose, opened, seed=5)
            planned = errors(stand_in(semrt.Micrograph(seen), threads=1), dose, opened, seed=0)
            found[kind] = compared(real, planned)
            told = "  ".join(f"{name} {value:.3f}" for name, value in found[kind].items())
            click.echo(f"{kind:<16}{told}")
    if target is not None:
        target.write_text(json.dumps({"machine": machine, "kinds": found}, default=str, indent=2))


def errors(truth: semrt.Micrograph, dose: float, opened: Session, seed: int) -> np.ndarray:
    lit = Dose.of(truth, dose)
    wanted = candidates(PATTERNS, COVERAGES)
    return np.array([forecast(truth, lit, one, opened, seed=seed, threads=1).forecast.rmse for one in wanted])


def compared(real: np.ndarray, planned: np.ndarray) -> dict[str, float]:
    ratio = planned / real
    ranks = [np.argsort(np.argsort(one)) for one in (real, planned)]
    return {
        "rank correlation": float(np.corrcoef(*ranks)[0, 1]),
        "expected/true": float(np.median(ratio)),
        "least": float(ratio.min()),
        "most": float(ratio.max()),
        "chosen/best": float(real[planned.argmin()] / real.min()),
    }


if __name__ == "__main__":
    main()
