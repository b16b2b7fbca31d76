"""What does the engine add to the network in time and memory, and the command line to the engine?

    python benchmarks/engine.py                        # a few minutes
    python benchmarks/engine.py --quick                # small fields alone
    python benchmarks/engine.py --part memory          # one part; repeat for more

Medians over rounds in which all contenders take their turn, with their spread, and how many times as long as the first
line the others took. Pieces of a large scan learn their spectra beside one another: there, parts add up to more than
the total. Shares of the total are medians of the shares of each inference. Memory is the peak of what a
process of its own had in RAM.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from infill import simulated
from parts import command
from stopwatch import memory_of, process, race, show, spans

import semrt
from semrt import engine, io, scan
from semrt.scan import held_out
from semrt.tasks import infill, kriging, wiener

if TYPE_CHECKING:
    from collections.abc import Iterator

COVERAGE = 1 / 20
FIRST_GUESS = {
    "variogram": (kriging, "fit_variogram"),
    "kriging": (kriging, "krige"),
    "natural neighbour": (kriging, "natural_neighbour"),
    "samples around": (wiener, "sample_bounds"),
    "learnt spectrum": (wiener, "learnt_estimate"),
    "distance": (infill, "distance_to_sample"),
}
"""What prepare takes its time for, wherever it calls it: cross-validation runs two of them a second time."""
REST = {
    "domain check": (infill, "mask_statistics"),
    "gaps for cross-validation": (held_out, "mask_statistics"),
}
CLI = ("-m", "semrt.cli")
BATCH, BATCH_SIDE = 8, 1024

RUNTIME_ALONE = """
import sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
with numpy.load(sys.argv[2]) as scan:
    n_channels = session.get_inputs()[0].shape[1]
    channels = numpy.zeros((1, n_channels, *scan["intensity"].shape), numpy.float32)
    channels[0, 0] = scan["intensity"]
(predicted,) = session.run(None, {"channels": channels})
numpy.save(sys.argv[3], predicted[0, 0])
"""
"""What the network costs in any case; its output is of no use, because nobody made the other channels."""
BARE_SCRIPT = """
import sys
import numpy, onnxruntime
from semrt.data import SparseScan
from semrt.tasks.infill import Infill
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
with numpy.load(sys.argv[2]) as held:
    scan = SparseScan(held["intensity"], held["visited"])
task = Infill()
prepared = task.prepare(scan)
(predicted,) = session.run(None, {"channels": prepared[None]})
numpy.save(sys.argv[3], task.finish(predicted[0], prepared, scan).intensity)
"""
"""The same image without engine and command line: no check, no tiles, no error map written, no record."""
LIBRARY = """
import sys
import semrt
semrt.write(sys.argv[2], semrt.infer("infill", semrt.read(sys.argv[1]), device="cpu"), overwrite=True)
"""


def overhead(quick: bool) -> Iterator[dict[str, Any]]:
    for side in (512,) if quick else (512, 2048):
        sparse = sparse_scan(side)
        semrt.infer("infill", sparse, device="cpu")
        inferences = [taken_apart(sparse) for _ in range(5 if quick else 9)]
        seconds = {part: float(np.median([one[part] for one in inferences])) for part in inferences[0]}
        share = {part: float(np.median([one[part] / one["total"] for one in inferences])) for part in seconds}
        click.echo(f"\nwhere the time of semrt.infer goes, {side}², random at 1/20, n = {len(inferences)}")
        for part, spent in seconds.items():
            click.echo(f"  {part:<44}{1e3 * spent:>10.2f} ms{share[part]:>10.1%}")
        yield {"side": side, "median_s": seconds, "share": share}


def taken_apart(sparse: semrt.SparseScan) -> dict[str, float]:
    """One inference: its parts [s], which add up to the total, and the two sums that are called overhead."""
    with spans(FIRST_GUESS | REST) as spent:
        started = time.perf_counter()
        stops = semrt.infer("infill", sparse, device="cpu").provenance["seconds"]
        total = time.perf_counter() - started
    parts = {"session.run": stops["network"], **spent}
    parts["rest of prepare"] = stops["prepare"] - sum(spent.values())
    parts["tiles, and whether all is finite"] = stops["run"] - stops["network"]
    parts["finish"] = stops["finish"]
    parts["finding the model, planning, labelling"] = total - stops["prepare"] - stops["run"] - stops["finish"]
    engine_alone = sum(seconds for part, seconds in parts.items() if part not in ("session.run", *FIRST_GUESS))
    return {
        "total": total,
        **parts,
        "all but session.run and the first guess": engine_alone,
        "all but session.run": total - stops["network"],
    }


def tiled(quick: bool) -> Iterator[dict[str, Any]]:
    for side, tiles in ((512, (448,)),) if quick else ((512, (448,)), (2048, (1344, 1024))):
        sparse = sparse_scan(side)
        contenders = {f"whole ({side})": side} | {f"tiles of {tile}": tile for tile in tiles}
        run = race(
            f"semrt.infer, {side}², whole or in tiles",
            {
                name: partial(semrt.infer, "infill", sparse, device="cpu", tile=tile)
                for name, tile in contenders.items()
            },
            rounds=5,
        )
        whole = next(iter(run.results.values())).intensity
        laid = {name: result.provenance["tiling"] for name, result in run.results.items()}
        apart = {name: float(np.abs(result.intensity - whole).max()) for name, result in run.results.items()}

        def remark(name: str, laid: dict = laid, apart: dict = apart) -> str:
            tiling = laid[name]
            return f"tiles: {tiling['tiles']}, batch: {tiling['batch']}, differs by {apart[name]:.1e} at most"

        show(run, remark)
        yield run.record() | {"tiling": laid, "largest_difference": apart}


def start(quick: bool) -> Iterator[dict[str, Any]]:
    run = race(
        "start of the command line",
        {
            "semrt --help": process(*CLI, "--help"),
            "import click, numpy": process("-c", "import click, numpy"),
            "import semrt": process("-c", "import semrt"),
        },
        rounds=5 if quick else 11,
    )
    show(run)
    yield run.record()


def file(quick: bool) -> Iterator[dict[str, Any]]:
    network = str(engine.find_model("infill") / "infill.onnx")
    with scan_files(1, 512) as (folder, (source,)):
        made = str(folder / "result.npy")
        run = race(
            "one scan of 512², from file to file",
            {
                "semrt infer infill": process(*infer_command(folder), str(source)),
                "semrt.read, infer, write in a script": process("-c", LIBRARY, str(source), str(folder / "result.tif")),
                "bare script: prepare, session, finish": process("-c", BARE_SCRIPT, network, str(source), made),
                "bare script: onnxruntime alone": process("-c", RUNTIME_ALONE, network, str(source), made),
            },
            rounds=5 if quick else 11,
        )
    show(run)
    yield run.record()


def memory(quick: bool) -> Iterator[dict[str, Any]]:
    if sys.platform == "win32":
        click.echo("\npeak memory: measured on POSIX systems alone")
        return
    imports = memory_of(["-c", "import semrt.api, onnxruntime"])
    click.echo(f"\npeak memory of semrt infer; {imports / 1e6:.0f} MB of it are Python with onnxruntime")
    for count, side in ((1, 512), (4, 512)) if quick else ((1, 512), (1, 2048), (1, 4096), (4, 4096)):
        with scan_files(count, side) as (folder, sources):
            peak = memory_of([*infer_command(folder), *map(str, sources)])
        beyond = (peak - imports) / (4 * side**2)
        title = f"{side}²" if count == 1 else f"{count} scans of {side}²"
        click.echo(f"  {title:<18}{peak / 1e9:>8.3f} GB   {beyond:>6.1f} images of float32 beyond that")
        yield {"scans": count, "side": side, "peak_bytes": peak, "imports_bytes": imports, "images_beyond": beyond}


def pipeline(quick: bool) -> Iterator[dict[str, Any]]:
    side = 256 if quick else BATCH_SIDE
    with scan_files(BATCH, side) as (folder, sources), engine.open_model("infill", "cpu") as session:

        def write(source: Path, result: semrt.Micrograph) -> None:
            io.write(folder / f"{source.stem}.tif", result, overwrite=True)

        def one_by_one() -> None:
            for source in sources:
                write(source, engine.infer(io.read(source), session))

        def overlapping() -> None:
            for outcome in engine.infer_many(sources, session, io.read, write):
                if outcome.error is not None:
                    raise outcome.error

        within = race(
            f"{BATCH} scans of {side}², read, infer, write, in one process",
            {"engine.infer_many": overlapping, "engine.infer, one after another": one_by_one},
            rounds=5,
        )
        show(within)
        yield within.record()
        command = infer_command(folder)
        processes = race(
            f"{BATCH} scans of {side}² by the command line",
            {
                "semrt infer, all files": process(*command, *map(str, sources)),
                "semrt infer, once for each": lambda: [process(*command, str(source))() for source in sources],
            },
            rounds=3 if quick else 5,
        )
        show(processes)
        yield processes.record()


def sparse_scan(side: int, number: int = 0) -> semrt.SparseScan:
    visited = scan.generate("random", (side, side), COVERAGE, seed=number).visited
    return semrt.SparseScan(simulated(1, side)[0].recorded, visited)


@contextmanager
def scan_files(count: int, side: int) -> Iterator[tuple[Path, list[Path]]]:
    """A folder that goes when it is left, and scans in it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        sources = [folder / f"scan{number}.npz" for number in range(count)]
        for number, source in enumerate(sources):
            io.write(source, sparse_scan(side, number))
        yield folder, sources


def infer_command(folder: Path) -> tuple[str, ...]:
    return (*CLI, "infer", "infill", "--device", "cpu", "--overwrite", "-o", f"{folder / 'results'}{os.sep}")


main = command(__doc__, overhead, tiled, start, file, memory, pipeline)

if __name__ == "__main__":
    main()
