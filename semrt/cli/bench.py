"""semrt bench: how fast a model is on this computer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from semrt.cli import _values

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["bench"]


@click.command(short_help="Measure how fast a model is on this computer.")
@click.argument("model")
@click.option(
    "--size", "shape", type=_values.shape, default="512", show_default=True, metavar="PX", help="Of the field."
)
@click.option("--pattern", help="Scan pattern, of a model that takes sparse scans.  [default: clv]")
@click.option("--coverage", type=_values.coverage, help="Fraction of the pixels, of such a model.  [default: 1/20]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is simulated.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N; auto is the fastest that opens.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the processor; one for each core by default.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, or one of the model's variants.")
@click.option("--tile", type=click.IntRange(min=1), metavar="PX", help="Side of a tile; the model's own by default.")
@click.option("--batch", type=click.IntRange(min=1), help="Tiles that run together; as suits the device by default.")
@click.option("--runs", type=click.IntRange(min=10), default=100, show_default=True, help="Of latency and throughput.")
@click.option(
    "--at-most", type=click.FloatRange(min=0), default=20, show_default=True, help="Seconds for each of them."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the environment.")
def bench(model: str, as_json: bool, **given: Any) -> None:
    """Measure how fast a model is on this computer, on what it takes, simulated, in memory.

    After a warm-up: latency from measurement to result with one in flight, and throughput of a saturated pipeline.
    Loading and the first call stand on their own lines. A 99th percentile needs --runs 1000.
    """
    from semrt.cli._simulated import simulated_input
    from semrt.report.benchmark import bench as measure

    drawn = {name: given.pop(name) for name in ("shape", "seed", "pattern", "coverage")}
    report = measure(model, lambda accepts: simulated_input(accepts, model, **drawn), **given)
    if as_json:
        click.echo(json.dumps(report))
    else:
        for line in _lines(report):
            click.echo(line)


def _lines(report: Mapping[str, Any]) -> list[str]:
    model, device, seen, flow = report["model"], report["device"], report["input"], report["throughput"]
    size = " x ".join(map(str, seen["shape"])) + " px"
    if "coverage" in seen:
        size += f", coverage {_values.coverage_text(seen['coverage'])}"
    version = f" {model['version']}" if "version" in model else ""
    lines = [
        f"{model['name']}{version} on {device['used']}, {size}",
        f"{'load':<14} {report['load_ms']:9.1f} ms",
        f"{'first call':<14} {report['first_call_ms']:9.1f} ms",
        f"{'latency':<14} {_percentiles(report['latency'])}   {report['latency']['runs']} runs, one in flight",
    ]
    for stop, summary in report["stops"].items():
        indent = "    " if stop == "network" else "  "
        lines.append(f"{indent + stop:<14} {_percentiles(summary)}")
    lines.append(
        f"{'throughput':<14} {flow['images_per_second']:9.2f} images/s, {flow['megapixels_per_second']:.2f} Mpx/s"
        f"   {flow['images']} images, stages overlapping"
    )
    return lines


def _percentiles(summary: Mapping[str, float]) -> str:
    names = [name for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms") if name in summary]
    return "  ".join(f"{name.removesuffix('_ms')} {summary[name]:8.1f} ms" for name in names)
