"""What do files add to the computing, and does memory grow?

    python benchmarks/endurance.py                                       # 100 images of 2048², then 1,000 inferences
    python benchmarks/endurance.py --part files --count 12 --side 512
    python benchmarks/endurance.py --part memory --model columns --count 200

files: semrt infer, from file to file, against the same images in memory, one after another, of which only what its
model takes counts: preparing, and the network. In turns of a few images; the ratio is the median over the turns.
Wanted on a graphics card: at most 1.15. Where the network has the processor, finishing has to share it. A solver, and
what goes slab by slab, has no such parts: all its work counts. Each turn opens the model anew, which few or small
images do not make up for.

memory: inferences of fields of mixed sizes, drawn from a seed, in a process of its own. Resident memory is the median
of a tenth of the inferences, the first tenth after each size was seen twice and the last; its peak is what the system
noted. Wanted: at most 5 % more.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from shutil import copyfile
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from environment import describe_machine
from stopwatch import process

from semrt import engine, io
from semrt.cli import main as command_line
from semrt.cli._simulated import simulated_input
from semrt.data import TiltSeries

DRAWN = 4  # images that differ; simulating takes longer than inferring
TURNS = 4
SIDES = (96, 128, 160, 200, 256, 320, 384, 448, 512)
SHARES = {"read": ("read", "prepare"), "run": ("run",), "write": ("finish", "write")}
"""What each of the three stages of semrt infer does."""


def files(model: str, device: str, threads: int | None, count: int, side: int, seed: int) -> dict[str, Any]:
    """Turn by turn: some images in memory, the same number from file to file."""
    each = max(2, -(-count // TURNS))
    click.echo(f"\n{model} on {device}, {TURNS} turns of {each} images of {side}²")
    turns = []
    with TemporaryDirectory() as name, engine.open_model(model, device, threads=threads) as opened:
        accepts, folder = engine.accepted_by(opened), Path(name)
        images = [simulated_input(accepts, model, shape=(side, side), seed=seed + k) for k in range(min(DRAWN, each))]
        suffix = ".mrc" if isinstance(images[0], TiltSeries) else ".tif"
        sources = [folder / f"image{k}{suffix}" for k in range(each)]
        for k, source in enumerate(sources):
            if k < len(images):
                io.write(source, images[k])
            else:
                copyfile(sources[k % len(images)], source)
        given = ["--device", device, "--overwrite", "--json", "-o", str(folder / "results")]
        given += ["--threads", str(threads)] if threads else []
        (folder / "results").mkdir()
        how = {"device": device, "threads": threads, "fallback": "none"}
        engine.infer(images[0], opened, **how)  # which pays for what only the first one does
        for _ in range(TURNS):
            made = [engine.infer(images[k % len(images)], opened, **how).provenance["seconds"] for k in range(each)]
            told, spent = by_command_line("infer", model, *map(str, sources), *given)
            turns.append(compared(made, told["results"], spent))
    figures = {key: median(turn[key] for turn in turns) for key in turns[0]}
    click.echo(f"  prepare and network, in memory            {1e3 * figures['pure'] / each:10.1f} ms an image")
    click.echo(f"  prepare, network, tiles, finish           {1e3 * figures['all'] / each:10.1f} ms an image")
    click.echo(f"  semrt infer, file to file                 {1e3 * figures['wall'] / each:10.1f} ms an image")
    ratios = sorted(turn["ratio"] for turn in turns)
    click.echo(
        f"  file to file against prepare and network  {figures['ratio']:10.2f} x ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )
    click.echo(f"  file to file against all that computes    {figures['ratio_all']:10.2f} x")
    for stage in SHARES:
        click.echo(f"  stage {stage:<36}{figures[f'busy_{stage}']:10.0%} of the time")
    click.echo(f"  at work at the same time, on average      {figures['overlap']:10.2f} stages")
    return {"model": model, "device": device, "side": side, "images": each, "median": figures, "turns": turns}


def by_command_line(*words: str) -> tuple[dict[str, Any], float]:
    """What semrt prints with --json, and the seconds that it took, with opening the model."""
    said, aside = StringIO(), StringIO()
    started = time.perf_counter()
    with redirect_stdout(said), redirect_stderr(aside):
        code = command_line(words, standalone_mode=False)
    spent = time.perf_counter() - started
    if code:
        raise click.ClickException(aside.getvalue())
    return json.loads(said.getvalue()), spent


def compared(in_memory: list[dict[str, float]], results: list[dict[str, Any]], wall: float) -> dict[str, float]:
    """One turn: seconds of all its images, ratios, and how busy each stage was."""
    # What has no stop to finish does all its work in one: a solver, and whatever goes slab by slab.
    pure = sum(made.get("prepare", 0.0) + made["network" if "finish" in made else "run"] for made in in_memory)
    everything = sum(made[stop] for made in in_memory for stop in ("prepare", "run", "finish") if stop in made)
    busy = {
        f"busy_{stage}": sum(result["seconds"].get(stop, 0.0) for result in results for stop in stops) / wall
        for stage, stops in SHARES.items()
    }
    totals = {"pure": pure, "all": everything, "wall": wall, "ratio": wall / pure, "ratio_all": wall / everything}
    return totals | busy | {"overlap": sum(busy.values())}


def memory(model: str, device: str, threads: int | None, count: int, side: int, seed: int) -> dict[str, Any]:
    """In a process of its own, which prints JSON."""
    sides = [each for each in SIDES if each <= side]
    click.echo(f"\n{model} on {device}, {count} inferences of fields of {sides[0]} to {sides[-1]} px")
    arguments = ["--inner", "--model", model, "--device", device, "--count", str(count), "--side", str(side)]
    arguments += ["--seed", str(seed), *(["--threads", str(threads)] if threads else [])]
    told: dict[str, Any] = json.loads(process(__file__, *arguments)())
    for what in ("resident", "peak"):
        first, last = told[f"{what}_first"], told[f"{what}_last"]
        click.echo(f"  {what:<10}{first / 1e6:9.1f} MB at first, {last / 1e6:9.1f} MB at last: {last / first - 1:+.1%}")
    return {"model": model, "device": device, **told}


def inferences(model: str, device: str, threads: int | None, count: int, side: int, seed: int) -> dict[str, Any]:
    """What memory() runs elsewhere: resident memory [bytes] after each inference, and its peak."""
    import psutil

    rng, here = np.random.default_rng(seed), psutil.Process()
    sides = [each for each in SIDES if each <= side]
    resident, peaks = [], []
    with engine.open_model(model, device, threads=threads) as opened:
        accepts = engine.accepted_by(opened)
        fields = [
            simulated_input(accepts, model, shape=(a, b), seed=seed) for a, b in zip(sides, sides[::-1], strict=True)
        ]
        how = {"device": device, "threads": threads, "fallback": "none"}
        for field in 2 * fields:
            engine.infer(field, opened, **how)
        for _ in range(count):
            engine.infer(fields[rng.integers(len(fields))], opened, **how)
            resident.append(here.memory_info().rss)
            peaks.append(max(peak_memory(), resident[-1]))  # the system notes it a little late
    tenth = max(1, count // 10)
    return {
        "inferences": count,
        "resident_first": median(resident[:tenth]),
        "resident_last": median(resident[-tenth:]),
        "peak_first": peaks[tenth - 1],
        "peak_last": peaks[-1],
        "resident": resident[::tenth],
    }


def peak_memory() -> int:
    """The most that this process ever had in RAM [bytes]."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


PARTS = {"files": (files, 100, 2048), "memory": (memory, 1000, 512)}
"""Part -> function, number of images, side of the field."""


@click.command(help=__doc__)
@click.option("--part", "names", multiple=True, type=click.Choice(list(PARTS)), help="both by default")
@click.option("--model", default="infill", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--count", type=click.IntRange(min=1), help="100 images, 1,000 inferences by default")
@click.option("--side", type=click.IntRange(min=SIDES[0]), help="2048 of images, up to 512 of mixed sizes by default")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--inner", is_flag=True, hidden=True)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(
    names: tuple[str, ...],
    model: str,
    device: str,
    threads: int | None,
    count: int | None,
    side: int | None,
    seed: int,
    inner: bool,
    json_path: Path | None,
) -> None:
    """Run each part, and print its figures as they come."""
    if inner:
        assert count is not None
        assert side is not None
        click.echo(json.dumps(inferences(model, device, threads, count, side, seed)))
        return
    machine = describe_machine()
    click.echo(json.dumps(machine))
    figures = {}
    for name in names or PARTS:
        part, usual_count, usual_side = PARTS[name]
        figures[name] = part(model, device, threads, count or usual_count, side or usual_side, seed)
    if json_path:
        json_path.write_text(json.dumps({"machine": machine, "figures": figures}))


if __name__ == "__main__":
    main()
