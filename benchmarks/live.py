"""How good an image does LiveInfill show within a frame's time, while a scan is under way?

    python benchmarks/live.py                          # about two minutes
    python benchmarks/live.py --side 1024 --limit 0.2 --limit 2

For each limit the same scan, of a simulated micrograph, comes in a number of frames. Told are the methods that were
taken, the time from asking to the image, how many images came within the limit, and the error of the last image against
the truth, as a percentage of its range.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np
from environment import describe_machine

import semrt
from semrt import metrics
from semrt.kernels.rasterise import record
from semrt.simulate import detector, micrographs


@click.command()
@click.option("--side", default=512, show_default=True, help="Of the field [px].")
@click.option("--coverage", default=0.05, show_default=True)
@click.option("--frames", default=20, show_default=True, help="In which the scan comes.")
@click.option("--limit", "limits", type=float, multiple=True, default=(0.05, 0.2, 0.5, 1.0, 2.0), show_default=True)
@click.option("--json", "target", type=click.Path(path_type=Path), help="Leave all figures here.")
def main(side: int, coverage: float, frames: int, limits: tuple[float, ...], target: Path | None) -> None:
    machine = describe_machine()
    click.echo(f"{json.dumps(machine, default=str)}\n{side}², clv over {coverage:.3g} of the pixels, {frames} frames")
    rng = np.random.default_rng(3)
    truth = micrographs.draw(rng, (side, side), "crystallites")
    noisy = detector.expose(truth, rng, read_noise=0.02)
    started = time.perf_counter()
    live = semrt.LiveInfill((side, side), "clv", coverage=coverage, device="cpu")
    click.echo(f"open and warm up: {time.perf_counter() - started:.2f} s")
    seen = record(noisy, live.path.positions)
    runs = [shown(live, truth, np.array_split(seen, frames), limit) for limit in (*limits, None)]
    adding = timed_adds(live)
    click.echo("add, microseconds a call: " + ", ".join(f"{n} samples {1e6 * s:.0f}" for n, s in adding.items()))
    if target is not None:
        target.write_text(json.dumps({"machine": machine, "runs": runs, "add_s": adding}, default=str, indent=2))


def shown(live: semrt.LiveInfill, truth: np.ndarray, parts: list[np.ndarray], limit: float | None) -> dict:
    live.restart()
    told = []
    for part in parts:
        live.add(part)
        image = live.image(limit)
        told.append(image.provenance["live"])
    seconds = np.array([one["seconds"] for one in told])
    methods = Counter(one["method"] for one in told)
    within = float(np.mean(seconds <= (np.inf if limit is None else limit)))
    rmse = 100 * metrics.rmse(image.intensity, truth) / float(np.ptp(truth))
    middle, slow = np.percentile(seconds, (50, 95))
    words = ", ".join(f"{name} {count}" for name, count in methods.items())
    asked = "none" if limit is None else f"{limit:g} s"
    took = f"p50 {1e3 * middle:7.0f} ms  p95 {1e3 * slow:7.0f} ms  within {within:4.0%}"
    click.echo(f"  limit {asked:<7} {took}  last image {rmse:5.2f} %  {words}")
    return {"limit": limit, "seconds": seconds.tolist(), "methods": methods, "within": within, "rmse_percent": rmse}


def timed_adds(live: semrt.LiveInfill) -> dict[int, float]:
    rng = np.random.default_rng(0)
    spent = {}
    for n in (1, 1000, 100_000):
        y, x = rng.uniform(0, live.shape[0] - 1, (2, n))
        calls = max(3, 2000 // n)
        started = time.perf_counter()
        for _ in range(calls):
            live.add(y, x, y)
        spent[n] = (time.perf_counter() - started) / calls
    return spent


if __name__ == "__main__":
    main()
