"""What does the Deep Image Prior add to classical methods, when does it stop, and what does a volume gain?

    python benchmarks/dip.py                              # simulated silica micro balls
    python benchmarks/dip.py --images FILE --images FILE  # micrographs of your own: their middle, at half resolution
    python benchmarks/dip.py --part volume --curves FILE  # slice after slice; PSNR against iteration as a PNG

PSNR [dB] / SSIM of random pixels, intensities in [0, 1], against the micrograph itself, noise included. The reference
is the hour-glass of the literature (16-32-64-128-128, bilinear, Adam at 0.01, 1000 iterations, running mean of 0.99)
in the same process. Trampert et al. 2018 published 23.95/.60, 31.11/.82 and 34.52/.87 at 1, 5 and 20 % of micro balls
of their own.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded, as semrt does

import click
import cv2
import numpy as np
import torch
from environment import describe_machine

import semrt
from semrt import scan
from semrt.deep_image_prior import fit
from semrt.deep_image_prior.networks import HourGlass
from semrt.kernels import natural_neighbour
from semrt.metrics import psnr, ssim
from semrt.simulate import detector, silica

COVERAGES = (0.01, 0.05, 0.2)
PUBLISHED = {0.01: "23.95/.60", 0.05: "31.11/.82", 0.2: "34.52/.87"}
SIDE = 256
SHOWN_SLICES = (1, 2, 5, 10)


def simulated(number: int, side: int) -> np.ndarray:
    rng = np.random.default_rng((20_261_121, number))
    balls = silica.micro_balls((side, side), rng=rng, radius=0.16 * side)  # as large in the field as in the real ones
    return np.clip(detector.expose(balls.intensity, rng, dose=2000.0), 0, 1).astype(np.float32)


def recorded(path: Path, side: int) -> np.ndarray:
    image = semrt.read(path).intensity
    low, high = np.quantile(image, (0.001, 0.999))
    y0, x0 = ((length - 2 * side) // 2 for length in image.shape)
    middle = np.clip((image - low) / (high - low), 0, 1)[y0 : y0 + 2 * side, x0 : x0 + 2 * side]
    return cv2.resize(middle.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)


@contextmanager
def watched(truth: np.ndarray):
    """Collect (seconds, iteration, PSNR) of the networks' mean, at every look that the fit takes at them."""
    curve: list[tuple[float, int, float]] = []
    started = time.perf_counter()
    look = fit._look

    def recording(members, iteration):
        seen = look(members, iteration)
        target = members[0].target.samples[0, 0].cpu().numpy()
        visited = members[0].target.of_samples[0, 0].cpu().numpy() > 0
        slope, offset = np.polyfit(target[visited], truth[visited], 1)  # the fit works in spreads of the samples
        curve.append((time.perf_counter() - started, iteration, psnr(slope * seen.mean + offset, truth)))
        return seen

    with mock.patch.object(fit, "_look", recording):
        yield curve


def reference(truth: np.ndarray, visited: np.ndarray, seed: int, iterations: int) -> tuple[np.ndarray, float]:
    """The hour-glass of the literature on the samples alone: its running mean, and the seconds it took."""
    torch.manual_seed(seed)
    network = HourGlass(truth.shape, 0.0)
    given = network.random_input(torch.Generator().manual_seed(seed))
    target, where = torch.from_numpy(truth * visited)[None, None], torch.from_numpy(visited)[None, None]
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    mean = None
    started = time.perf_counter()
    for iteration in range(iterations):
        output = network(given)
        loss = ((output - target)[where] ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        memory = min(0.99, iteration / (iteration + 10))
        mean = output.detach() if mean is None else memory * mean + (1 - memory) * output.detach()
    return mean[0, 0].numpy(), time.perf_counter() - started


def quality(name: str, truth: np.ndarray, coverage: float, seed: int, threads: int, iterations: int, json_rows: list):
    visited = scan.generate("random", truth.shape, coverage, seed=seed).visited
    sparse = semrt.SparseScan(truth, visited)
    images = {"natural neighbour": natural_neighbour(truth, visited)}
    images["kriging"] = semrt.infer("kriging", sparse, denoise=True, threads=threads).intensity
    started = time.perf_counter()
    images["wiener"] = semrt.infer("wiener", sparse, denoise=True, threads=threads).intensity
    wiener_seconds = time.perf_counter() - started
    with watched(truth) as curve:
        made = semrt.infer("dip", sparse, denoise=True, threads=threads, seed=seed)
    images["dip"] = made.intensity
    seconds = curve[-1][0]
    row: dict[str, object] = {"image": name, "coverage": coverage}
    if iterations:
        images["hour-glass"], row["hour-glass seconds"] = reference(truth, visited, seed, iterations)
    row |= {method: (psnr(image, truth), ssim(image, truth)) for method, image in images.items()}
    details = made.provenance["details"]
    unvisited = ~visited
    row |= {
        "stopped": details["stopped"],
        "iterations": details["iterations"],
        "weight": details["weight_of_networks"],
        "dip seconds": seconds,
        "best iterate": max(value for _, _, value in curve),
        "within 90 %": float(np.mean(np.abs(made.intensity - truth)[unvisited] < 1.645 * made.error[unvisited])),
    }
    cells = "".join(f"{f'{row[method][0]:.2f}/{row[method][1]:.3f}':>19}" for method in images)
    click.echo(
        f"{name:<18}{coverage:>5.0%}{cells}{PUBLISHED.get(coverage, ''):>12}  {details['iterations']:>4} it."
        f" {seconds:5.0f} s, weight {details['weight_of_networks']:.2f}, best iterate {row['best iterate']:.2f},"
        f" 90 % interval holds {row['within 90 %']:.0%}"
    )
    if iterations:
        goal = row["hour-glass"][0]
        if row["wiener"][0] >= goal:
            reached, by = wiener_seconds, "wiener, from which it starts"
        else:
            reached = next((spent for spent, _, value in curve if value >= goal), float("nan"))
            by = "the networks"
        ratio = reached / row["hour-glass seconds"]
        row["time to the hour-glass's PSNR, of its time"] = ratio
        took = row["hour-glass seconds"]
        click.echo(f"{'':<23}{goal:.2f} dB of the hour-glass ({took:.0f} s) in {ratio:.3f} of its time, by {by}")
    json_rows.append(row)


def volume(side: int, depth: int, coverage: float, threads: int, members: int, iterations: int, curves: Path | None):
    """Cold starts of every slice beside weights carried over, at equal budgets."""
    rng = np.random.default_rng(20_261_121)
    balls = silica.ball_volume((depth, side, side), rng=rng, radius=16.0, slice_thickness=2.0)
    truth = np.stack([np.clip(detector.expose(face, rng, dose=2000.0), 0, 1) for face in balls.intensity])
    truth = truth.astype(np.float32)
    visited = scan.generate("random", (side, side), coverage, seed=1).visited
    stack = semrt.SparseVolume(truth, visited)
    options = {"members": members, "threads": threads, "max_iterations": iterations}
    click.echo(f"\nVolume of {depth} slices of {side}², {coverage:.0%}: mean of the networks against the slice itself")
    warm = []
    faces = iter(truth)
    begin = fit.fit

    def each(*arguments, **keywords):
        with watched(next(faces)) as curve:
            warm.append(curve)
            return begin(*arguments, **keywords)

    with mock.patch("semrt.deep_image_prior.reconstruct.fit", each):
        semrt.infer("dip", stack, denoise=True, **options)
    cold = []
    for z in range(depth):
        with watched(truth[z]) as curve:
            semrt.infer("dip", semrt.SparseScan(truth[z], visited), denoise=True, **options)
        cold.append(curve)
    click.echo(
        "slice   cold end (iterations)   warm reaches it after   of the cold   least warm - cold at equal budget"
    )
    records = []
    for z in range(depth):
        goal, spent = cold[z][-1][2], cold[z][-1][1]
        after = next((iteration for _, iteration, value in warm[z] if value >= goal), None)
        pairs = zip(warm[z], cold[z], strict=False)
        least = min(ours - theirs for (_, _, ours), (_, _, theirs) in pairs)
        share = float("nan") if after is None else after / spent
        records.append({"slice": z + 1, "cold end": goal, "warm after": after, "share": share, "least lead": least})
        click.echo(f"{z + 1:>5}{goal:>12.2f} ({cold[z][-1][1]}){after or '-':>22}{share:>16.2f}{least:>+22.2f} dB")
    if curves:
        draw(curves, {"cold start": cold, "weights carried over": warm})
    return records


def draw(path: Path, runs: dict[str, list]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    shown = [z for z in SHOWN_SLICES if z <= len(next(iter(runs.values())))]
    figure, axes = pyplot.subplots(1, len(shown), figsize=(3.6 * len(shown), 3.2), sharey=True, layout="constrained")
    for axis, z in zip(np.atleast_1d(axes), shown, strict=True):
        for label, curves in runs.items():
            _, iterations, values = zip(*curves[z - 1], strict=True)
            axis.plot(iterations, values, label=label)
        axis.set(title=f"slice {z}", xlabel="iteration")
    np.atleast_1d(axes)[0].set_ylabel("PSNR, dB")
    np.atleast_1d(axes)[0].legend()
    figure.savefig(path, dpi=110)


@click.command(help=__doc__)
@click.option("--images", multiple=True, type=click.Path(exists=True, path_type=Path), help="a micrograph; repeatable")
@click.option("--coverages", default="0.01,0.05,0.2", show_default=True)
@click.option("--count", default=1, show_default=True, help="simulated images, where none are given")
@click.option("--part", default="quality,volume", show_default=True)
@click.option("--reference", "iterations", default=1000, show_default=True, help="of the hour-glass; 0 leaves it out")
@click.option("--threads", default=2, show_default=True)
@click.option("--side", default=SIDE, show_default=True, help="of the images [px]")
@click.option("--slices", default=10, show_default=True)
@click.option("--curves", type=click.Path(path_type=Path), help="PNG of PSNR against iteration in the volume")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="write all figures there")
def main(images, coverages, count, part, iterations, threads, side, slices, curves, json_path) -> None:
    """Print what each method reaches."""
    machine = describe_machine()
    click.echo(json.dumps(machine))
    torch.set_num_threads(threads)
    rows: list[dict[str, object]] = []
    record: dict[str, object] = {"machine": machine, "quality": rows}
    if "quality" in part:
        scenes = {path.stem: recorded(path, side) for path in images}
        scenes = scenes or {f"micro balls {k}": simulated(k, side) for k in range(count)}
        methods = ["natural neighbour", "kriging", "wiener", "dip", *(["hour-glass"] if iterations else [])]
        click.echo(f"{'image':<23}" + "".join(f"{method:>19}" for method in methods) + f"{'published':>12}")
        for coverage in map(float, coverages.split(",")):
            for name, truth in scenes.items():
                quality(name, truth, coverage, 0, threads, iterations, rows)
            for rival in ("kriging", "wiener"):
                margins = [row["dip"][0] - row[rival][0] for row in rows if row["coverage"] == coverage]
                least = f"least {min(margins):+.2f} dB"
                click.echo(f"dip - {rival} at {coverage:.0%}: median {np.median(margins):+.2f}, {least}")
    if "volume" in part:
        record["volume"] = volume(side // 2, slices, 0.1, threads, 2, 300, curves)
    if json_path:
        json_path.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
