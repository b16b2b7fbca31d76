"""How long do the networks take on each device of this computer, and how much of the device do they use?

    python benchmarks/devices.py                          # every shipped model on every device that opens here
    python benchmarks/devices.py --model infill --side 512 --device cpu --device cuda
    semrt build infill && python benchmarks/devices.py --model infill --device cuda --device tensorrt

Latency: one call of so many tiles, in memory, on the model's own test tensors, mirrored to their size. Throughput: a
call of eight times as many, whose copies overlap with computing where the device can do both. Contenders take turns;
the ratio is the median over the rounds of how many times as long as the first one it took. Then, beside each: tiles
a second; the share of the time that went to the device, to computing and back, each step waited for; the share of the
arithmetic that the device is capable of, as measured by a product of two matrices of 4096² in the same precision (on a
processor in float32, which fp16 is computed in there); and how far the result is from the first one's, relative root
mean square. Torch counts multiplications and has the product: without it there are no shares. "torch eager" launches
each operation by itself, as a script would.

A TensorRT engine has tiles of one size, by default the model's own: --side that, or build one for the size asked for.
"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from environment import describe_machine
from model_tiles import tiles_of
from stopwatch import race, show

from semrt import models
from semrt.backends import BACKENDS, open_session
from semrt.backends.spans import SPANS, device_spans
from semrt.errors import SemrtError
from semrt.models import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Tensor = NDArray[np.float32]
    Run = Callable[[Tensor], Tensor]

EAGER = "torch eager"
DEVICES = (*BACKENDS, EAGER)
SIDES = (512, 2048)
BATCHES = (1, 8)
SATURATING = 8  # times the batch
MATRIX = 4096


def opened(name: str, device: str, precision: str, threads: int | None) -> tuple[Run, Any]:
    """What runs a model there, and its session, where it has one.  Raises SemrtError."""
    if device == EAGER:
        return eager(name, precision), None
    session = open_session(name, device, precision=precision, threads=threads)
    return session.run, session


def eager(name: str, precision: str) -> Run:
    """The graph by torch, one operation after another, on a card where there is one.  Raises SemrtError."""
    try:
        import torch

        from semrt.backends.torch_graph import TorchGraph
    except ImportError as error:
        raise SemrtError(f"{EAGER}: {error}") from error
    folder = models.find(name)
    manifest = Manifest.read(folder)
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = folder / manifest.file(precision)[0]
    network = TorchGraph.read(manifest.load(folder, precision), manifest, path, place)

    def run(tiles: Tensor) -> Tensor:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return network(torch.from_numpy(tiles).to(place)).float().cpu().numpy()

    return run


def contenders(name: str, devices: tuple[str, ...], threads: int | None) -> Iterator[tuple[str, str, Run, Any]]:
    """Device, precision, what runs the model there, and its session; says what does not open, and why."""
    variants = sorted(Manifest.read(models.find(name)).variants)
    for device in devices:
        for precision in ("fp32", *variants):
            try:
                yield device, precision, *opened(name, device, precision, threads)
            except SemrtError as error:
                click.echo(f"  {device} {precision}: left out: {error}", err=True)
                if precision == "fp32":
                    break  # nor will the others


def multiplications(name: str) -> float | None:
    """Of a pixel; None without torch."""
    try:
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        from semrt.backends.torch_graph import TorchGraph
    except ImportError:
        return None
    folder = models.find(name)
    manifest = Manifest.read(folder)
    network = TorchGraph.read(manifest.load(folder), manifest, folder, torch.device("cpu"))
    tiles = tiles_of(name, 1, 256)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.from_numpy(tiles))
    return counter.get_total_flops() / 2 / 256**2


def peak(device: str, precision: str, threads: int | None) -> float | None:
    """Multiplications a second of a large matrix product there; None where torch cannot do it."""
    try:
        import torch
    except ImportError:
        return None
    on_card = device.startswith(("cuda", "tensorrt", "torch:cuda")) or (device == EAGER and torch.cuda.is_available())
    if precision == "int8" or (on_card and not torch.cuda.is_available()):
        return None
    place = torch.device("cuda" if on_card else "cpu")
    before, tf32 = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
    torch.set_num_threads(threads or before)
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        kind = torch.float16 if precision == "fp16" and on_card else torch.float32
        one, other = (torch.rand(MATRIX, MATRIX, device=place, dtype=kind) for _ in range(2))
        taken = []
        for _ in range(4):
            begun = time.perf_counter()
            (one @ other)[0, 0].item()  # waits for the card
            taken.append(time.perf_counter() - begun)
    finally:
        torch.set_num_threads(before)
        torch.backends.cuda.matmul.allow_tf32 = tf32
    return MATRIX**3 / min(taken)


def measured(
    name: str,
    side: int,
    batch: int,
    racing: dict[str, tuple[Run, Any]],
    work: float | None,
    peaks: dict[str, float | None],
    quick: bool,
) -> dict[str, Any]:
    """A race of all contenders at one size, printed.  work: multiplications of a pixel."""
    tiles = tiles_of(name, batch, side)
    fit = {}
    for title, (run, session) in racing.items():
        try:
            run(tiles)
            fit[title] = run, session
        except SemrtError as error:
            click.echo(f"  {title}, {batch} x {side}²: left out: {error}", err=True)
    if not fit:
        return {}
    limits = {"rounds": 5 if quick else 15, "at_most": 10 if quick else 60}
    label = f"{name} {Manifest.read(models.find(name)).version}, {batch} of {side}² a call"
    run = race(label, {title: partial(call, tiles) for title, (call, _) in fit.items()}, **limits)
    exact = next(iter(run.results.values()))
    told: dict[str, dict[str, Any]] = {}
    for title, (call, session) in fit.items():
        seconds = median(run.seconds[title])
        shares = {}
        with device_spans(session) as spans:
            call(tiles)
        if spans:
            shares = {span: spans[span] / sum(spans.values()) for span in SPANS}
        used = work * batch * side**2 / seconds / peaks[title] if work and peaks[title] else None
        apart = np.sqrt(np.mean(np.square(run.results[title] - exact, dtype=np.float64)))
        told[title] = {
            "tiles_per_second": batch / seconds,
            "spans": shares,
            "share_of_peak": used,
            "relative_rms": float(apart / np.sqrt(np.mean(np.square(exact, dtype=np.float64)))),
        }

    def remark(title: str) -> str:
        found = told[title]
        words = [f"{found['tiles_per_second']:8.1f} tiles/s"]
        if found["spans"]:
            words.append(", ".join(f"{span} {100 * share:.0f} %" for span, share in found["spans"].items()))
        if found["share_of_peak"] is not None:
            words.append(f"{100 * found['share_of_peak']:.0f} % of the peak")
        return "; ".join([*words, f"differs by {found['relative_rms']:.1e}"])

    show(run, remark)
    flow = throughput(fit, tiles_of(name, SATURATING * batch, side), limits)
    return run.record() | {"model": name, "side": side, "batch": batch, "told": told, "throughput": flow}


def throughput(fit: dict[str, tuple[Run, Any]], tiles: Tensor, limits: dict[str, int]) -> dict[str, float]:
    """Tiles a second of one long call."""
    title = f"... and {len(tiles)} of them in one call"
    run = race(title, {name: partial(call, tiles) for name, (call, _) in fit.items()}, **limits)
    rates = {name: len(tiles) / median(seconds) for name, seconds in run.seconds.items()}
    show(run, lambda name: f"{rates[name]:8.1f} tiles/s")
    return rates


@click.command(help=__doc__)
@click.option("--model", "names", multiple=True, help="all that are shipped by default")
@click.option("--device", "devices", multiple=True, type=click.Choice(DEVICES), help="by default all that open")
@click.option("--side", "sides", multiple=True, type=click.IntRange(min=32), default=SIDES, show_default=True)
@click.option("--batch", "batches", multiple=True, type=click.IntRange(min=1), default=BATCHES, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="of the processor; one for each core by default")
@click.option("--quick", is_flag=True, help="few rounds")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(
    names: tuple[str, ...],
    devices: tuple[str, ...],
    sides: tuple[int, ...],
    batches: tuple[int, ...],
    threads: int | None,
    quick: bool,
    json_path: Path | None,
) -> None:
    """Race the devices on each model, side and batch, and print the figures as they come."""
    for name in names:
        try:
            models.find(name)
        except SemrtError as error:
            raise click.ClickException(str(error)) from error
    machine = describe_machine()
    click.echo(json.dumps(machine))
    figures = []
    for name in names or models.available():
        found = list(contenders(name, devices or DEVICES, threads))
        racing = {f"{device} {precision}": (run, session) for device, precision, run, session in found}
        peaks = {f"{device} {precision}": peak(device, precision, threads) for device, precision, *_ in found}
        work = multiplications(name)
        figures += [
            measured(name, side, batch, racing, work, peaks, quick) for side in sides for batch in batches if racing
        ]
        for _, session in racing.values():
            if session is not None:
                session.close()
    if json_path:
        json_path.write_text(json.dumps({"machine": machine, "figures": figures}))


if __name__ == "__main__":
    main()
