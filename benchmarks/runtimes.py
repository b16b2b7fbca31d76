"""Does semrt open ONNX Runtime on the processor as is best, and would OpenVINO be faster?

    python benchmarks/runtimes.py                                  # all shipped models, a quarter of an hour
    python benchmarks/runtimes.py --model columns --threads 2      # one of them; repeat for more
    python benchmarks/runtimes.py --part batches --quick           # small tiles alone

Each contender takes its turn in every round, on the model's own test tensors, mirrored to the size of the tile. The
ratio is the median over the rounds of how many times as long as semrt it took; "processor" is the time of all cores,
which other software on the machine hardly makes longer; the difference is from ONNX Runtime in float32, relative.

OpenVINO reads the same file, is told the same number of threads and float32: it would choose bfloat16 by itself.

Found with ONNX Runtime 1.31.1 and OpenVINO 2026.4.1 on two cores of a Xeon (AVX-512) that had other work beside it,
which makes single ratios uncertain by a third: no other choice is better than semrt's. With two threads, spinning took
1.1 to 1.9 times the processor's time; without the arena 1.0 to 1.6 times. Eight tiles at once took a quarter less time
than one by one, or as much, at 64² and 128² px, and 0 to 20 % more from 256² on. OpenVINO took 0.82 to 1.5 times the
processor's time, and for `columns` it gives other numbers: a Gather that orders channels is folded into the convolution
behind it as its inverse. So semrt does not offer it.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from environment import describe_machine
from model_tiles import tiles_of
from stopwatch import Race, race, show

from semrt import models
from semrt.backends import open_session
from semrt.models import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Tensor = NDArray[np.float32]
    Run = Callable[[Tensor], Tensor]

OURS = "semrt"
SMALL = 512
BATCHES = (1, 2, 4, 8)
TILES = 8  # run in batches of each size
BATCHED_SIDES = (64, 128, 256, 512)


def runtimes(names: list[str], threads: tuple[int, ...], quick: bool) -> Iterator[dict[str, Any]]:
    """Ways to open the same file, one tile at a time."""
    for name in names:
        manifest = Manifest.read(models.find(name))
        for n_threads in threads:
            contenders = openers(name, manifest, n_threads)
            for side in (SMALL,) if quick else (SMALL, manifest.tile):
                tile = tiles_of(name, 1, side)
                run = race(
                    f"{name} {manifest.version}, one tile of {side}², threads: {n_threads}",
                    {title: partial(call, tile) for title, call in contenders.items()},
                    rounds=5 if quick else 9,
                    at_most=60,
                )
                yield run.record() | {"relative_rms": told(run)}


def batches(names: list[str], threads: tuple[int, ...], quick: bool) -> Iterator[dict[str, Any]]:
    """The same number of tiles, so many at once."""
    for name in names:
        manifest = Manifest.read(models.find(name))
        for n_threads in threads:
            with open_session(name, "cpu", threads=n_threads) as session:
                for side in BATCHED_SIDES[:2] if quick else BATCHED_SIDES:
                    tiles = tiles_of(name, TILES, side)
                    run = race(
                        f"{name} {manifest.version}, {TILES} tiles of {side}², threads: {n_threads}",
                        {f"batches of {n}": partial(in_batches, session.run, tiles, n) for n in BATCHES},
                        rounds=5,
                        at_most=60,
                    )
                    yield run.record() | {"relative_rms": told(run)}


def openers(name: str, manifest: Manifest, threads: int) -> dict[str, Run]:
    """What runs the model's file: as semrt opens it, ONNX Runtime with each choice made otherwise, and OpenVINO."""
    import onnxruntime

    onnx = manifest.load(models.find(name))

    def opened(*, spinning: bool = False, n_threads: int = threads, **changes: Any) -> Run:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = n_threads
        settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        for option, value in changes.items():
            if not hasattr(settings, option):
                raise AttributeError(f"ONNX Runtime has no option {option}")
            setattr(settings, option, value)
        graph = onnxruntime.InferenceSession(onnx, settings, providers=["CPUExecutionProvider"])
        return lambda tiles: graph.run([manifest.output], {manifest.input: tiles})[0]

    return {
        OURS: open_session(name, "cpu", threads=threads).run,
        "ONNX Runtime, its defaults": opened(spinning=True, n_threads=0),
        "... threads that spin while idle": opened(spinning=True),
        "... no memory pattern": opened(enable_mem_pattern=False),
        "... no arena": opened(enable_cpu_mem_arena=False),
        "... branches in parallel": opened(execution_mode=onnxruntime.ExecutionMode.ORT_PARALLEL),
        **openvino(onnx, manifest, threads),
    }


def openvino(onnx: bytes, manifest: Manifest, threads: int) -> dict[str, Run]:
    """OpenVINO, where it is installed."""
    try:
        from openvino import Core
    except ModuleNotFoundError:
        click.echo("openvino is not installed: pip install openvino", err=True)
        return {}
    core = Core()
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(onnx), "CPU", hints).create_infer_request()

    def run(tiles: Tensor) -> Tensor:
        return np.array(request.infer({manifest.input: tiles})[manifest.output])  # a copy: the next run writes over it

    return {"OpenVINO": run}


def in_batches(run: Run, tiles: Tensor, size: int) -> Tensor:
    return np.concatenate([run(tiles[start : start + size]) for start in range(0, len(tiles), size)])


def told(run: Race) -> dict[str, float]:
    """Print a race; how far each result is from the first one's, relative root mean square."""
    exact = next(iter(run.results.values()))
    scale = np.sqrt(np.mean(np.square(exact, dtype=np.float64)))
    apart = {
        name: float(np.sqrt(np.mean(np.square(result - exact, dtype=np.float64))) / scale)
        for name, result in run.results.items()
    }
    first = median(next(iter(run.processor.values())))

    def remark(name: str) -> str:
        busy = median(run.processor[name])
        return f"processor {1e3 * busy:6.0f} ms, {busy / first:.2f} ×; differs by {apart[name]:.1e}"

    show(run, remark)
    return apart


PARTS = {part.__name__: part for part in (runtimes, batches)}


@click.command(help=__doc__)
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="all of them by default")
@click.option("--model", "names", multiple=True, help="all that are shipped by default")
@click.option("--threads", multiple=True, type=click.IntRange(min=1), default=(1, 2), show_default=True)
@click.option("--quick", is_flag=True, help="small tiles alone")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(
    parts: tuple[str, ...], names: tuple[str, ...], threads: tuple[int, ...], quick: bool, json_path: Path | None
) -> None:
    """Run each part, and print its figures as they come."""
    machine = describe_machine()
    click.echo(json.dumps(machine))
    figures = {part: list(PARTS[part](list(names or models.available()), threads, quick)) for part in parts or PARTS}
    if json_path:
        json_path.write_text(json.dumps({"machine": machine, "figures": figures}))


if __name__ == "__main__":
    main()
