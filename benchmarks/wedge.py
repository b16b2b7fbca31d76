"""How near the truth do tomograms come from tilts that do not go all around, and how long does it take?

    python benchmarks/wedge.py                     # the test set of semrt.simulate.tomograms, some minutes
    python benchmarks/wedge.py --quick             # two kinds of phantom, no volume of 256³
    python benchmarks/wedge.py --part series --solver tv --kind atoms
    python benchmarks/wedge.py --network FOLDER    # a network that was just trained, instead of the one that ships
    python benchmarks/wedge.py --part series --network FOLDER --solver network --solver int8  # its whole numbers
    python benchmarks/wedge.py --part series --solver network --solver unturned  # each slice seen once

series: from the tilt series.  volume: from its weighted back projection alone, of which only the range of tilts is
known.  drawn: from series at random, of any range, step, dose and alignment.  empty: how much is invented where there
is nothing, but for the noise.  large: 256³ from 61 tilts, time and memory.

Means over the kinds of phantom: PSNR [dB] and SSIM of slices, against the largest density; RMSE within the object, as a
fraction of that; relative errors of the frequencies below 1/4 that no tilt measured (1: nothing recovered) and of those
that some did; and how fine detail may be that is right, where the Fourier ring correlation with the truth falls
below 1/2 [cycles a px].  "tv, best weight" knows the truth: the best of six weights for each series.
"""

from __future__ import annotations

import json
import resource
import time
import warnings
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from environment import describe_machine

import semrt
from semrt.metrics import fourier_ring_correlation, object_rmse, psnr, sector_errors, ssim
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import tv, tv_weight, wbp
from semrt.simulate.tomograms import CONDITIONS, KINDS, Recording, cases, draw, split_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from semrt.simulate.tomograms import Case, TomogramSample

    Volume = np.ndarray
    Method = Callable[[TomogramSample], Volume]

SOLVERS = ("wbp", "sirt", "tv", "network")
# Of the network, and how to ask for them: in whole numbers, and without a second look at every slice, turned.
VARIANTS: dict[str, dict[str, Any]] = {"int8": {"precision": "int8"}, "unturned": {"turned": False}}
WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # of the one that is chosen without the truth
EMPTY_COUNTS = 0.05  # of a detector pixel that sees nothing


@dataclass(frozen=True)
class Score:
    """How near a tomogram comes to the truth."""

    psnr: float
    ssim: float
    rmse: float
    wedge: float
    measured: float
    finest: float


HEAD = "".join(f"{name:>10}" for name in ("PSNR", "SSIM", "RMSE obj", "wedge", "measured", "FRC 1/2"))


def series(choice: Choice) -> Iterator[dict[str, Any]]:
    methods: dict[str, Method] = {name: partial(restored, choice.model, name) for name in choice.solvers}
    if "tv" in methods:
        methods["tv, best weight"] = best_tv
    for condition, chosen in choice.by_condition():
        yield from table(f"series, {condition}", chosen, methods)


def volume(choice: Choice) -> Iterator[dict[str, Any]]:
    methods: dict[str, Method] = {"as given": lambda sample: given(sample).density}
    methods |= {name: partial(restored_volume, choice.model, name) for name in choice.solvers}
    for condition, chosen in choice.by_condition(("60-lo", "70-hi")):
        yield from table(f"volume, {condition}", chosen, methods)


def drawn(choice: Choice) -> Iterator[dict[str, Any]]:
    """Series at random, of any kind, range, step, dose and misalignment: what the network gains, and where it loses."""
    gains = []
    for number in range(8 if choice.quick else 60):
        sample = draw(split_seed("test", 1000 + number), (256, 1, 256))
        errors = {
            name: psnr_of(restored(choice.model, name, sample), sample.truth) for name in ("sirt", "tv", "network")
        }
        gains.append(errors["network"] - errors["tv"])
        if gains[-1] < 0:
            told = ", ".join(f"{name} {value:.2f}" for name, value in errors.items())
            click.echo(f"below total variation: {sample.settings['kind']}, {len(sample.angles)} tilts, {told} dB")
        yield {"number": number, "kind": sample.settings["kind"]} | errors
    lost = sum(gain < 0 for gain in gains)
    click.echo(
        f"drawn: {len(gains)} series, gain over total variation mean {np.mean(gains):.2f} dB, "
        f"median {np.median(gains):.2f}, least {np.min(gains):.2f}; below it {lost}"
    )


def empty(choice: Choice) -> Iterator[dict[str, Any]]:
    """Series of vacuum and of a flat background of counts: what is made of them, beside a specimen's density."""
    angles = CONDITIONS["60-lo"].angles
    specimen = cases()["particles-60-lo"].sample()
    dose = specimen.settings["dose"]
    counts = np.random.default_rng(0).poisson(EMPTY_COUNTS, specimen.series.shape)
    vacuum = semrt.TiltSeries((counts / dose).astype(np.float32), angles)
    click.echo(f"\nempty: largest density of vacuum, {EMPTY_COUNTS:g} counts a px, in that of a specimen")
    for name in choice.solvers:
        found = inferred(choice.model, name, vacuum).density
        share = float(np.abs(found).max() / specimen.truth.max())
        click.echo(f"{name:<22}{share:10.2%}, mean {float(found.mean() / specimen.truth.max()):.3%}")
        yield {"solver": name, "largest": share}


def large(choice: Choice) -> Iterator[dict[str, Any]]:
    n = 64 if choice.quick else 256
    angles = CONDITIONS["60-lo"].angles
    drawn = draw(split_seed("test", 0), (n, n, n), "particles", angles=angles, recording=Recording(300), margin=0)
    click.echo(f"\nlarge: {n}³ from {len(angles)} tilts")
    for name in choice.solvers:
        started = time.perf_counter()
        found = inferred(choice.model, name, semrt.TiltSeries(drawn.series, angles)).density
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB on Linux
        error = psnr_of(found, drawn.truth)
        click.echo(f"{name:<22}{seconds:10.1f} s{error:10.2f} dB, at most {memory:.1f} GiB so far")
        yield {"solver": name, "side": n, "seconds": seconds, "psnr": error, "memory_gib": memory}


PARTS = {part.__name__: part for part in (series, volume, drawn, empty, large)}


@dataclass(frozen=True)
class Choice:
    """What the command line asks for."""

    model: str
    solvers: Sequence[str]
    kinds: Sequence[str]
    seed: int
    quick: bool

    def by_condition(self, wanted: Iterable[str] = CONDITIONS) -> Iterator[tuple[str, list[Case]]]:
        """The cases of the test set that are recorded alike."""
        every = cases(self.seed)
        for condition in (*wanted, "volume"):
            chosen = [
                case for name, case in every.items() if name.endswith(f"-{condition}") and case.kind in self.kinds
            ]
            if chosen and not (self.quick and condition == "volume"):
                yield condition, chosen


def inferred(model: str, solver: str, measured: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notes on few counts, and of what stands in for a network
        if solver in VARIANTS:
            return semrt.infer(model, measured, solver="network", **VARIANTS[solver])
        return semrt.infer(model if solver == "network" else "wedge", measured, solver=solver)


def restored(model: str, solver: str, sample: TomogramSample) -> Volume:
    return inferred(model, solver, semrt.TiltSeries(sample.series, sample.angles)).density


def given(sample: TomogramSample) -> Any:
    nz, _, nx = sample.truth.shape
    geometry = TiltGeometry(sample.angles, (nz, nx), sample.series.shape[2])
    return semrt.Tomogram(wbp(sample.series, geometry), geometry.tilt_range)


def restored_volume(model: str, solver: str, sample: TomogramSample) -> Volume:
    return inferred(model, solver, given(sample)).density


def best_tv(sample: TomogramSample) -> Volume:
    nz, _, nx = sample.truth.shape
    geometry = TiltGeometry(sample.angles, (nz, nx), sample.series.shape[2])
    usual = tv_weight(sample.series)
    found = [tv(sample.series, geometry, weight=factor * usual) for factor in WEIGHTS]
    return max(found, key=lambda density: psnr_of(density, sample.truth))


def table(title: str, chosen: Sequence[Case], methods: dict[str, Method]) -> Iterator[dict[str, Any]]:
    click.echo(f"\n{title}: {len(chosen)} phantoms\n{'':<22}{HEAD}{'s':>8}")
    by_kind: dict[str, list[float]] = {}
    samples = [case.sample() for case in chosen]
    for name, method in methods.items():
        started = time.perf_counter()
        found = [method(sample) for sample in samples]
        seconds = (time.perf_counter() - started) / sum(sample.truth.shape[1] for sample in samples)
        scores = [score(density, sample) for density, sample in zip(found, samples, strict=True)]
        mean = Score(*np.mean([astuple(one) for one in scores], axis=0))
        click.echo(f"{name:<22}{line(mean)}{seconds:>8.2f}")
        by_kind[name] = [one.psnr for one in scores]
        yield {"table": title, "method": name, "kinds": [case.kind for case in chosen], "seconds_a_slice": seconds} | {
            field.name: [getattr(one, field.name) for one in scores] for field in fields(Score)
        }
    click.echo(f"{'PSNR of each kind':<22}" + "".join(f"{case.kind:>11}" for case in chosen))
    for name, values in by_kind.items():
        click.echo(f"{name:<22}" + "".join(f"{value:>11.2f}" for value in values))


def score(density: Volume, sample: TomogramSample) -> Score:
    found, truth, peak = np.maximum(density, 0), sample.truth, float(sample.truth.max())
    tilts = float(sample.angles.min()), float(sample.angles.max())
    slices = range(truth.shape[1])
    frequency, correlation = fourier_ring_correlation(found, truth)
    wrong = np.flatnonzero(correlation[1:] < 0.5)
    finest = frequency[1 + wrong[0]] if len(wrong) else frequency[-1]
    similarity = float(np.mean([ssim(found[:, y], truth[:, y], peak) for y in slices]))
    return Score(
        psnr_of(found, truth), similarity, object_rmse(found, truth), *sector_errors(found, truth, tilts), float(finest)
    )


def psnr_of(density: Volume, truth: Volume) -> float:
    """As if all slices were one image."""
    flat = truth.shape[0], -1
    return psnr(np.maximum(density, 0).reshape(flat), truth.reshape(flat), float(truth.max()))


def line(mean: Score) -> str:
    return f"{mean.psnr:>10.2f}" + "".join(f"{value:>10.3f}" for value in astuple(mean)[1:])


@click.command(help=__doc__)
@click.option("--part", "names", multiple=True, type=click.Choice(list(PARTS)), help="all of them by default")
@click.option(
    "--solver",
    "solvers",
    multiple=True,
    type=click.Choice((*SOLVERS, *VARIANTS)),
    help=f"by default {', '.join(SOLVERS)}",
)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)), help="only this phantom; repeatable")
@click.option("--network", "model", default="wedge", show_default=True, help="a model's name, or its folder")
@click.option("--seed", default=0, show_default=True, help="of the phantoms; the network was chosen by those of seed 7")
@click.option("--quick", is_flag=True, help="shells and atoms alone, and a small volume")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(
    names: tuple[str, ...],
    solvers: tuple[str, ...],
    kinds: tuple[str, ...],
    model: str,
    seed: int,
    quick: bool,
    json_path: Path | None,
) -> None:
    """Print each part's tables as they come."""
    choice = Choice(model, solvers or SOLVERS, kinds or (("shells", "atoms") if quick else tuple(KINDS)), seed, quick)
    machine = describe_machine()
    click.echo(json.dumps(machine))
    figures = {name: list(PARTS[name](choice)) for name in names or PARTS}
    if json_path:
        json_path.write_text(json.dumps({"machine": machine, "figures": figures}))


if __name__ == "__main__":
    main()
