"""What does the engine cost beside the network, and the command line beside the engine, in time and memory?

    python benchmarks/engine.py            # some minutes
    python benchmarks/engine.py --quick    # small fields, few runs

Medians of runs that alternate within one process; ratios are from one run. Memory is the largest resident set of a
child process.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import psutil
from environment import describe_machine

import semrt
from semrt import io, scan
from semrt.simulate import micrographs

BARE = """
import sys, time
import numpy, tifffile, onnxruntime
from pathlib import Path
folder = Path(sys.argv[1])
scan = numpy.load(sys.argv[2])
session = onnxruntime.InferenceSession(folder / "infill.onnx", providers=["CPUExecutionProvider"])
session.run(None, {"channels": numpy.zeros((1, 8, *scan["intensity"].shape), numpy.float32)})
"""
LOOP = """
import sys, semrt
for path in sys.argv[1:]:
    semrt.write(path + ".tif", semrt.infer("infill", semrt.read(path), device="cpu"))
"""
CLI = [sys.executable, "-m", "semrt.cli"]


def simulated(side: int) -> semrt.SparseScan:
    """A scan of one pixel in twenty, along a spiral, of an image made of pieces of 512 x 512."""
    tiles = -(-side // 512)
    piece = micrographs.draw(np.random.default_rng(1), (min(side, 512), min(side, 512)), "grains")
    image = np.tile(piece, (tiles, tiles))[:side, :side]
    return semrt.SparseScan(image, scan.generate("clv", image.shape, 1 / 20).visited)


def overhead(side: int, runs: int) -> dict[str, float]:
    """Where the time of semrt.infer goes [s], medians; `first guess` is kriging and its company, in C++."""
    sparse = simulated(side)
    semrt.infer("infill", sparse, device="cpu")
    parts: dict[str, list[float]] = {"total": [], "network": [], "first guess": []}
    for _ in range(runs):
        started = time.perf_counter()
        seconds = semrt.infer("infill", sparse, device="cpu").provenance["seconds"]
        parts["total"].append(time.perf_counter() - started)
        parts["network"].append(seconds["network"])
        parts["first guess"].append(seconds["prepare"])
    return {name: statistics.median(values) for name, values in parts.items()}


def child(command: list[str]) -> tuple[float, float]:
    """Seconds and largest resident set [GB] of a process and its children's."""
    started = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    largest = 0
    while process.poll() is None:
        try:
            memory = process.memory_info()
        except psutil.Error:
            break
        largest = max(largest, getattr(memory, "peak_wset", memory.rss))
        time.sleep(0.005)
    _, complaint = process.communicate()
    if process.returncode:
        raise click.ClickException(complaint.decode(errors="replace"))
    return time.perf_counter() - started, largest / 1e9


def alternating(commands: dict[str, list[str]], runs: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            seconds[name].append(child(command)[0])
    return {name: statistics.median(values) for name, values in seconds.items()}


def show_overhead(side: int, runs: int) -> dict[str, float]:
    parts = overhead(side, runs)
    rest = parts["total"] - parts["network"] - parts["first guess"]
    share = rest / parts["total"]
    with_guess = (rest + parts["first guess"]) / parts["total"]
    click.echo(
        f"{side}²: total {parts['total']:.3f} s = first guess {parts['first guess']:.3f} "
        f"+ network {parts['network']:.3f} + all else {rest:.3f} "
        f"({share:.1%} of the total; with the first guess {with_guess:.0%})"
    )
    return parts | {"all else": rest, "share": share}


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Small fields and few runs.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures there.")
def main(quick: bool, json_path: Path | None) -> None:
    """Print overhead, start-up, memory, and what the pipeline saves."""
    machine = describe_machine()
    click.echo(json.dumps(machine))
    runs = 3 if quick else 7
    figures: dict[str, object] = {"machine": machine}

    click.echo("\nsemrt.infer: where the time goes")
    figures["overhead"] = {side: show_overhead(side, runs) for side in ((256, 512) if quick else (512, 2048))}

    click.echo("\nstart-up")
    start = alternating(
        {"semrt --help": [*CLI, "--help"], "import click, numpy": [sys.executable, "-c", "import click, numpy"]}, runs
    )
    click.echo(ratio(start, "semrt --help", "import click, numpy"))

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        one = folder / "one.npz"
        io.write(one, simulated(512))
        bare = folder / "bare.py"
        bare.write_text(BARE)
        infer = [*CLI, "infer", "infill", "--device", "cpu", "--overwrite", "-o", str(folder / "out")]
        models = Path(semrt.__file__).parent / "models" / "infill"
        commands = {
            "semrt infer, file to file": [*infer, str(one)],
            "bare script: import, load, run": [sys.executable, str(bare), str(models), str(one)],
        }
        whole = alternating(commands, runs)
        click.echo(ratio(whole, *commands))
        figures["start-up"] = start | whole

        click.echo("\nlargest memory of semrt infer")
        memory = {}
        for side in (256, 512) if quick else (512, 2048, 4096):
            io.write(path := folder / f"scan{side}.npz", simulated(side))
            seconds, memory[side] = child([*infer, str(path)])
            click.echo(f"{side}²: {memory[side]:.2f} GB, {seconds:.1f} s")
        figures["memory"] = memory

        click.echo("\neight scans")
        scans = [folder / f"batch{number}.npz" for number in range(8)]
        for path in scans:
            io.write(path, simulated(256 if quick else 1024))
        together, _ = child([*infer, *map(str, scans)])
        loop = folder / "loop.py"
        loop.write_text(LOOP)
        alone, _ = child([sys.executable, str(loop), *map(str, scans)])
        click.echo(f"a loop in Python {alone:.2f} s, semrt infer {together:.2f} s: {alone / together:.2f} x")
        figures["eight scans"] = {"in turn": alone, "pipeline": together}
    if json_path:
        json_path.write_text(json.dumps(figures, indent=2))


def ratio(seconds: dict[str, float], ours: str, theirs: str) -> str:
    return f"{ours} {seconds[ours]:.3f} s, {theirs} {seconds[theirs]:.3f} s: {seconds[ours] / seconds[theirs]:.2f} x"


if __name__ == "__main__":
    main()
