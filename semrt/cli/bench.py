"""semrt bench: how fast a model is on this computer."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli import _values
from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["bench"]

COMPARED = {"device": str, "threads": int, "precision": str, "solver": str, "tile": int, "batch": int}
"""What may differ between those that are compared, and how it is read."""


@click.command(short_help="Measure how fast a model is on this computer.")
@click.argument("model")
@click.option(
    "--size", "shape", type=_values.shape, default="512", show_default=True, metavar="PX", help="Of the field."
)
@click.option("--pattern", help="Scan pattern, of a model that takes sparse scans.  [default: clv]")
@click.option("--coverage", type=_values.coverage, help="Fraction of the pixels, of such a model.  [default: 1/20]")
@click.option("--seed", type=_values.SEED, default=0, show_default=True, help="Of what is simulated.")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda, tensorrt, cuda:N, torch:cpu, torch:cuda; auto is the fastest that opens.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the processor; one for each core by default.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, or one of the model's variants.")
@click.option(
    "--gpu-mem",
    "gpu_memory",
    type=_values.memory,
    metavar="SIZE",
    help="Of cuda: memory for the network, such as 4GiB.",
)
@click.option("--tile", type=click.IntRange(min=1), metavar="PX", help="Side of a tile; the model's own by default.")
@click.option("--batch", type=click.IntRange(min=1), help="Tiles that run together; as suits the device by default.")
@click.option("--runs", type=click.IntRange(min=10), default=100, show_default=True, help="Of latency and throughput.")
@click.option("--at-most", type=_values.Finite(min=0), default=20, show_default=True, help="Seconds for each of them.")
@click.option(
    "--frame-period", type=_values.duration, metavar="TIME", help="Also as with a camera of that period, such as 100ms."
)
@click.option(
    "--compare",
    "others",
    multiple=True,
    metavar='"MODEL NAME=VALUE"',
    help="Turn by turn with this instead, such as kriging or precision=fp16; may be repeated.",
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="PNG to draw the latencies in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the environment.")
def bench(
    model: str,
    others: tuple[str, ...],
    plot: Path | None,
    as_json: bool,
    runs: int,
    at_most: float,
    frame_period: float | None,
    **given: Any,
) -> None:
    """Measure how fast a model is on this computer, on what it takes, simulated.

    After a warm-up: latency from measurement to result with one in flight, and throughput of a saturated pipeline,
    both in memory and from file to file in a temporary folder. Loading, the first call and each stop of the road stand
    on their own lines; h2d and d2h are the ways to the device and back. A 99th percentile needs --runs 1000.

    With --compare, latencies alone, of all of them in turns: what slows one slows all. NAME is device, threads,
    precision, solver, tile or batch; what is not named is as for the MODEL.
    """
    from semrt.cli._bench_files import file_to_file
    from semrt.cli._results import write_preview
    from semrt.cli._simulated import simulated_input
    from semrt.report import benchmark
    from semrt.report.latency_plot import latency_plot

    drawn = {name: given.pop(name) for name in ("shape", "seed", "pattern", "coverage")}
    how = {name: value for name, value in given.items() if value is not None}
    contenders = {_title(model, {}): _contender(model, how)}
    for other in others:
        name, changes = _parsed(other, model)
        contenders[_title(name, changes)] = _contender(name, how | changes)
    if others and (len(contenders) <= len(others) or frame_period is not None):
        clash = "--frame-period is of one model" if frame_period is not None else "it names the same twice"
        raise InvalidOption(f"--compare: {clash}; leave one out")

    def simulated(accepts: tuple[type, ...]) -> Any:
        return simulated_input(accepts, model, **drawn)

    if plot is not None and plot.suffix.lower() != ".png":
        raise InvalidOption(f"--plot {plot}: expected a name that ends in .png")
    if others:
        report, latencies = benchmark.compare(contenders, simulated, runs=runs, at_most=at_most)
    else:
        ((title, contender),) = contenders.items()
        files = partial(file_to_file, settings=contender.given, runs=runs, at_most=at_most / 2)
        report, latency = benchmark.bench(
            contender, simulated, runs=runs, at_most=at_most, frame_period=frame_period, files=files
        )
        latencies = {title: latency}
    if plot is not None:
        write_preview(plot, latency_plot(f"semrt bench {model}", latencies), overwrite=True)
    if as_json:
        click.echo(json.dumps(report))
    else:
        for line in _comparison(report) if others else _lines(report):
            click.echo(line)


def _contender(model: str, how: Mapping[str, Any]) -> Any:
    from semrt.report.benchmark import Contender

    opened = {name: how[name] for name in ("device", "threads", "precision", "solver", "gpu_memory") if name in how}
    return Contender(model, **opened, settings={name: how[name] for name in ("tile", "batch") if name in how})


def _parsed(text: str, model: str) -> tuple[str, dict[str, Any]]:
    """Read "MODEL NAME=VALUE NAME=VALUE", in which the model may be left out.  Raises InvalidOption."""
    changes: dict[str, Any] = {}
    for word in text.split():
        name, sign, value = word.partition("=")
        if not sign:
            model = word
            continue
        if name not in COMPARED:
            raise InvalidOption.unknown("--compare: name", name, COMPARED)
        try:
            changes[name] = COMPARED[name](value)
        except ValueError as error:
            raise InvalidOption(f"--compare: {name}: expected a number, got {value!r}") from error
    return model, changes


def _title(model: str, changes: Mapping[str, Any]) -> str:
    return " ".join([model, *(f"{name}={value}" for name, value in changes.items())])


def _comparison(report: Mapping[str, Any]) -> list[str]:
    lines = [f"{' x '.join(map(str, report['input']['shape']))} px, in turns"]
    width = max(map(len, report["contenders"]))
    for name, told in report["contenders"].items():
        spread = f"{min(told['ratios']):.2f} to {max(told['ratios']):.2f}"
        ratio = f"{told['ratio']:6.2f} x ({spread})" if name != next(iter(report["contenders"])) else f"{'1':>6} x"
        lines.append(f"{name:<{width}}  {_percentiles(told['latency'])}   {told['latency']['runs']} runs  {ratio}")
    return lines


def _lines(report: Mapping[str, Any]) -> list[str]:
    model, device, seen, flow = report["model"], report["device"], report["input"], report["throughput"]
    size = " x ".join(map(str, seen["shape"])) + " px"
    if "coverage" in seen:
        size += f", coverage {_values.coverage_text(seen['coverage'])}"
    version = f" {model['version']}" if "version" in model else ""
    lines = [f"{model['name']}{version} on {device['used']}, {size}", _single("load", report["load_ms"])]
    if "build_ms" in report:
        lines.append(f"{_single('build', report['build_ms'])}   once, by semrt build")
    lines.append(_single("first call", report["first_call_ms"]))
    lines.append(
        f"{_spread('latency', report['latency'])}   {report['latency']['runs']} runs, one in flight, in memory"
    )
    lines += _stops(report["stops"], device["used"])
    lines.append(
        f"{'throughput':<14} {flow['images_per_second']:9.2f} images/s, {flow['megapixels_per_second']:.2f} Mpx/s"
        f"   {flow['images']} images, stages overlapping, in memory"
    )
    if (files := report.get("files")) is not None:
        count = f"{files['latency']['runs']} runs, one in flight"
        lines.append(f"{_spread('file to file', files['latency'])}   {count}")
        lines += [_spread(f"  {stop}", summary) for stop, summary in files["stops"].items()]
        rate = f"{files['throughput']['images_per_second']:9.2f} images/s"
        lines.append(f"{'  throughput':<14} {rate}   {files['throughput']['images']} images, stages overlapping")
    if (camera := report.get("camera")) is not None:
        lost = f"{camera['late']} late, {camera['dropped']} dropped of {camera['frames']}"
        lines.append(f"{_spread('camera', camera)}   every {camera['period_ms']:g} ms: {lost}")
    return lines


def _stops(stops: Mapping[str, Mapping[str, float]], device: str) -> list[str]:
    """A line for each stop; on the processor the network does nothing but compute."""
    on_processor = device.endswith("cpu")  # torch:cpu too
    depths = {"network": 2, "h2d": 3, "compute": 2 if on_processor else 3, "d2h": 3}
    lines = [
        _spread(f"{'  ' * depths.get(stop, 1)}{stop}", summary)
        for stop, summary in stops.items()
        if not (stop == "network" and on_processor)
    ]
    if "network" in stops and "compute" not in stops:
        at = next(k for k, line in enumerate(lines) if line.split()[0] == "network")
        lines.insert(at + 1, "      h2d, compute, d2h: not measured, as its runtime keeps no time of the device")
    return lines


def _single(name: str, ms: float) -> str:
    return f"{name:<14} {ms:9.1f} ms"


def _spread(name: str, summary: Mapping[str, float]) -> str:
    return f"{name:<14} {_percentiles(summary)}"


def _percentiles(summary: Mapping[str, float]) -> str:
    names = [name for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms") if name in summary]
    return "  ".join(f"{name.removesuffix('_ms')} {summary[name]:8.1f} ms" for name in names)
