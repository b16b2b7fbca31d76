"""How many of the atomic columns of an image does each method find, and how well does it place them?

    python benchmarks/columns.py                       # the test set, which training never draws from
    python benchmarks/columns.py --quick               # images up to 512², quick peers, every other setting
    python benchmarks/columns.py --tuned               # the peers with their best setting for each image as well
    python benchmarks/columns.py --case dumbbells-fair --peer trackpy

The peers come with `pip install -c constraints.txt ".[peers]"`; those that are not there are left out.

Ours is blind: one call, no settings. A peer gets one setting for all images, that of its grid which does best over
them; with --tuned also the best of its grid for each image, chosen by the truth, which no user knows.

F1: found columns against true ones, one to one within 0.35 of the lattice's spacing. Columns too faint to be known
(SNR < 5) and those within two sigmas of the probe from the border neither count as found nor as missed. Light F1: the
same for the columns fainter than 0.4 of the brightest kind.
RMS / CRLB: root mean square of the distance to the truth over that of the Cramér–Rao bound; 1 is perfect. RMS / σ: of
the errors over the standard deviations that the method itself states; 1 is honest.
"""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cv2
import numpy as np
from environment import describe_machine
from scipy.spatial import cKDTree

import semrt
from semrt.simulate.columns import cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RADIUS = 0.35
LIGHT = 0.4
QUICK_SIDE = 512


@dataclass(frozen=True, eq=False)
class Scene:
    """An image, and the truth about it."""

    name: str
    counts: np.ndarray
    pixel_size: tuple[float, float]
    true: np.ndarray
    counted: np.ndarray
    light: np.ndarray
    bound: np.ndarray
    spacing: float
    margin: float

    @property
    def grey(self) -> np.ndarray:
        """The image from 0 to 1, hot pixels cut off."""
        low, high = np.percentile(self.counts, (0.1, 99.9))
        return np.clip((self.counts - low) / max(high - low, 1e-9), 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Score:
    """What a method made of an image."""

    f1: float
    light_f1: float
    crlb_ratio: float
    rms: float
    sigma_ratio: float
    seconds: float
    found: int


@dataclass(frozen=True, eq=False)
class Peer:
    """A method of others.  find(image 0 to 1, **setting) -> (n, 2) positions as (y, x) [px].

    module: what it needs.  grid: setting -> values.  slow: left out with --quick.  side: of the largest image it gets.
    """

    find: Callable[..., np.ndarray]
    module: str
    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    slow: bool = False
    side: int = 2048

    def settings(self, quick: bool) -> Iterator[dict[str, Any]]:
        """Every combination of the grid; with `quick` every other value of it."""
        values = [given[::2] if quick and len(given) > 2 else given for given in self.grid.values()]
        return (dict(zip(self.grid, chosen, strict=True)) for chosen in product(*values))


def scene(name: str, seed: int) -> Scene:
    image = cases(seed)[name].image()
    by_kind = {kind: np.median(image.intensity[image.species == kind]) for kind in np.unique(image.species)}
    brightness = np.array([by_kind[kind] for kind in image.species])
    return Scene(
        name,
        image.counts,
        image.pixel_size,
        np.stack([image.y, image.x], 1),
        image.counted(),
        brightness < LIGHT * max(by_kind.values()),
        np.stack([image.crlb_y, image.crlb_x], 1),
        image.spacing,
        2 * image.probe_sigma,
    )


def paired(true: np.ndarray, found: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Match one to one, the nearest pairs first: indices of the true and of the found ones."""
    if not len(found) or not len(true):
        return np.empty(0, int), np.empty(0, int)
    distance, other = cKDTree(found).query(true, k=4, distance_upper_bound=radius)
    row, rank = np.nonzero(np.isfinite(distance))
    order = np.argsort(distance[row, rank], kind="stable")
    of_true, of_found = np.full(len(true), -1), np.full(len(found), -1)
    for i, j in zip(row[order].tolist(), other[row, rank][order].tolist(), strict=True):
        if of_true[i] < 0 and of_found[j] < 0:
            of_true[i], of_found[j] = j, i
    matched = np.flatnonzero(of_true >= 0)
    return matched, of_true[matched]


def score(where: Scene, found: np.ndarray, seconds: float, sigma: np.ndarray | None = None) -> Score:
    i, j = paired(where.true, found, RADIUS * where.spacing)
    size = np.array(where.counts.shape) - 1
    inside = np.minimum(found, size - found).min(1, initial=np.inf) >= where.margin
    unmatched = np.ones(len(found), bool)
    unmatched[j] = False
    wrong = int(np.count_nonzero(unmatched & inside))
    hits = where.counted[i]
    error = found[j[hits]] - where.true[i[hits]]
    squares, bounds = (np.mean(part**2) if hits.any() else np.nan for part in (error, where.bound[i[hits]]))
    light = where.counted & where.light
    return Score(
        f1=f1(np.count_nonzero(hits), wrong, np.count_nonzero(where.counted)),
        light_f1=f1(np.count_nonzero(light[i]), wrong, np.count_nonzero(light)) if light.any() else np.nan,
        crlb_ratio=float(np.sqrt(squares / bounds)),
        rms=float(np.sqrt(2 * squares)),
        sigma_ratio=_stated(error, sigma[j[hits]]) if sigma is not None else np.nan,
        seconds=seconds,
        found=len(found),
    )


def _stated(error: np.ndarray, sigma: np.ndarray) -> float:
    known = np.isfinite(sigma) & (sigma > 0)
    return float(np.sqrt(np.mean((error[known] / sigma[known]) ** 2))) if known.any() else np.nan


def f1(hits: int, wrong: int, wanted: int) -> float:
    return 2 * hits / (hits + wrong + wanted) if wanted else np.nan


def ours(where: Scene, model: str, **options: Any) -> Score:
    micrograph = semrt.Micrograph(where.counts, where.pixel_size)
    started = time.perf_counter()
    found = semrt.infer(model, micrograph, **options)
    seconds = time.perf_counter() - started
    return score(where, found.positions, seconds, np.stack([found.sigma_y, found.sigma_x], 1))


def peak_local_max(image: np.ndarray, blur: float, distance: int, threshold: float) -> np.ndarray:
    from skimage.feature import peak_local_max as find

    return find(cv2.GaussianBlur(image, (0, 0), blur), min_distance=distance, threshold_rel=threshold)


def blob_log(image: np.ndarray, sigmas: tuple[float, float], threshold: float) -> np.ndarray:
    from skimage.feature import blob_log as find

    return find(image, *sigmas, num_sigma=4, threshold=threshold, overlap=0.5)[:, :2]


def hough_circle(image: np.ndarray, radii: tuple[int, ...], distance: int, threshold: float) -> np.ndarray:
    from skimage.feature import canny
    from skimage.transform import hough_circle as transform
    from skimage.transform import hough_circle_peaks

    votes = transform(canny(image, sigma=1.5), radii)
    _, x, y, _ = hough_circle_peaks(votes, radii, distance, distance, threshold=threshold)
    return np.stack([y, x], 1).astype(float)


def hough_gradient(
    image: np.ndarray, blur: float, distance: int, edge: float, votes: float, enlarge: int
) -> np.ndarray:
    grey = np.rint(255 * image).astype(np.uint8)
    large = cv2.resize(grey, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)
    circles = cv2.HoughCircles(
        cv2.GaussianBlur(large, (0, 0), blur * enlarge),
        cv2.HOUGH_GRADIENT,
        1,
        distance * enlarge,
        param1=edge,
        param2=votes,
        minRadius=enlarge,
        maxRadius=8 * enlarge,
    )
    if circles is None:
        return np.empty((0, 2))
    return (circles.reshape(-1, circles.shape[-1])[:, 1::-1] + 0.5) / enlarge - 0.5


def trackpy_locate(image: np.ndarray, diameter: int, minmass: float) -> np.ndarray:
    import trackpy

    trackpy.quiet()
    found = trackpy.locate(image, diameter, minmass=minmass, engine="python")
    return found[["y", "x"]].to_numpy()


def dao_star_finder(image: np.ndarray, fwhm: float, threshold: float) -> np.ndarray:
    from photutils.detection import DAOStarFinder

    find = DAOStarFinder(threshold * image.std(), fwhm, sharpness_range=(0.0, 1.5), roundness_range=(-2.0, 2.0))
    found = find(image - np.median(image))
    if found is None:
        return np.empty((0, 2))
    return np.stack([np.asarray(found[name], float) for name in ("y_centroid", "x_centroid")], 1)


def atomap_gaussians(image: np.ndarray, separation: int) -> np.ndarray:
    import atomap.api as am
    import hyperspy.api as hs

    hs.preferences.General.show_progressbar = False
    positions = am.get_atom_positions(hs.signals.Signal2D(image), separation=separation)
    sublattice = am.Sublattice(positions, image=image)
    sublattice.find_nearest_neighbors()
    sublattice.refine_atom_positions_using_center_of_mass(show_progressbar=False)
    sublattice.refine_atom_positions_using_2d_gaussian(show_progressbar=False)
    return np.asarray(sublattice.atom_positions)[:, ::-1]


PEERS = {
    "peak_local_max": Peer(
        peak_local_max, "skimage", {"blur": (1.0, 1.5, 2.5), "distance": (3, 5, 7), "threshold": (0.1, 0.2, 0.35)}
    ),
    "blob_log": Peer(
        blob_log, "skimage", {"sigmas": ((1.5, 3), (2, 4), (3, 5)), "threshold": (0.02, 0.05, 0.1)}, slow=True
    ),
    "hough_circle": Peer(
        hough_circle,
        "skimage",
        {"radii": ((2, 3), (3, 4), (4, 5, 6)), "distance": (4, 7), "threshold": (0.4, 0.55)},
        slow=True,
        side=1024,
    ),
    "HOUGH_GRADIENT": Peer(
        hough_gradient,
        "cv2",
        {"blur": (0.8, 1.5), "distance": (5, 8), "edge": (20, 40), "votes": (6, 9), "enlarge": (1, 3)},
    ),
    "trackpy": Peer(trackpy_locate, "trackpy", {"diameter": (5, 7, 9, 11, 15), "minmass": (0.5, 2.0)}),
    "DAOStarFinder": Peer(dao_star_finder, "photutils", {"fwhm": (3.5, 5.0, 7.0), "threshold": (0.4, 0.8, 1.6)}),
    "atomap": Peer(atomap_gaussians, "atomap", {"separation": (4, 6, 8, 11)}, slow=True, side=256),
}


def measure(peer: Peer, where: Scene, setting: dict[str, Any]) -> Score:
    """A method that fails on an image found nothing in it."""
    grey = where.grey
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = np.asarray(peer.find(grey, **setting), float).reshape(-1, 2)
    except Exception as error:
        click.echo(f"  {where.name}: {setting}: {type(error).__name__}: {error}", err=True)
        found = np.empty((0, 2))
    return score(where, found[np.isfinite(found).all(1)], time.perf_counter() - started)


@click.command(help=__doc__)
@click.option(
    "--model", default="columns", show_default=True, help="a name that `semrt models list` shows, or a folder"
)
@click.option("--seed", default=0, show_default=True, help="of the test set")
@click.option("--case", "names", multiple=True, help="only this image; repeatable")
@click.option("--peer", "peers", multiple=True, type=click.Choice(list(PEERS)), help="only this peer; repeatable")
@click.option("--no-peers", is_flag=True, help="ours alone")
@click.option("--tuned", is_flag=True, help="peers also with their best setting for each image")
@click.option("--quick", is_flag=True, help="images up to 512², without the slow peers, every other setting")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="write all figures there")
def main(
    model: str,
    seed: int,
    names: tuple[str, ...],
    peers: tuple[str, ...],
    no_peers: bool,
    tuned: bool,
    quick: bool,
    json_path: Path | None,
) -> None:
    """Print a table of ours, image by image, and one of all methods."""
    machine = describe_machine()
    click.echo(json.dumps(machine))
    table = cases(seed)
    chosen = [name for name in table if (not names or name in names)]
    scenes = [scene(name, seed) for name in chosen if not quick or max(table[name].shape) <= QUICK_SIDE]
    click.echo(f"\n{model}, blind\n{'':<24}{HEAD}")
    results: dict[str, list[Score | None]] = {f"{model} (blind)": []}
    for where in scenes:
        results[f"{model} (blind)"].append(result := ours(where, model))
        click.echo(f"{where.name:<24}{line(result)}")
    for name, peer in {} if no_peers else PEERS.items():
        if (peers and name not in peers) or (quick and peer.slow and not peers):
            continue
        if find_spec(peer.module) is None:
            click.echo(f"{name}: skipped, because {peer.module} is not installed", err=True)
            continue
        results |= over_settings(name, peer, scenes, quick, tuned)
    click.echo(f"\n{'mean / worst over the images':<34}{SUMMARY_HEAD}")
    for name, scores in results.items():
        click.echo(f"{name:<34}{summary(scores)}")
    if json_path:
        figures = {name: [s and vars(s) for s in scores] for name, scores in results.items()}
        json_path.write_text(json.dumps({"machine": machine, "scenes": [s.name for s in scenes], "figures": figures}))


def over_settings(
    name: str, peer: Peer, scenes: list[Scene], quick: bool, tuned: bool
) -> dict[str, list[Score | None]]:
    """The peer's scores with the setting that is best for all, and with the best for each."""
    settings = list(peer.settings(quick))
    small = [max(where.counts.shape) <= peer.side for where in scenes]
    table = [
        [measure(peer, where, setting) if fits else None for where, fits in zip(scenes, small, strict=True)]
        for setting in settings
    ]
    if not any(small):
        click.echo(f"{name}: skipped, no image is at most {peer.side} px wide", err=True)
        return {}
    best = int(np.argmax([np.mean([result.f1 for result in row if result]) for row in table]))
    click.echo(f"{name}: one setting {settings[best]}", err=True)
    found = {f"{name}": table[best]}
    if tuned:
        columns = zip(*table, strict=True)
        found[f"{name} (tuned)"] = [
            None if c[0] is None else max(c, key=lambda s: (s.f1, -s.crlb_ratio)) for c in columns
        ]
    return found


HEAD = f"{'F1':>7}{'light F1':>10}{'RMS/CRLB':>10}{'RMS [px]':>10}{'RMS/σ':>8}{'found':>8}{'s':>9}"
SUMMARY_HEAD = f"{'images':>7}{'F1':>16}{'light F1':>16}{'RMS/CRLB':>16}{'RMS/σ':>14}{'s':>14}"


def line(result: Score) -> str:
    return (
        f"{result.f1:7.3f}{result.light_f1:10.3f}{result.crlb_ratio:10.2f}{result.rms:10.3f}{result.sigma_ratio:8.2f}"
        f"{result.found:8d}{result.seconds:9.2f}"
    )


def summary(scores: list[Score | None]) -> str:
    given = [result for result in scores if result]
    ratios = [f"{len(given):>7}"]
    for name, worst, width, digits in (
        ("f1", np.nanmin, 16, 3),
        ("light_f1", np.nanmin, 16, 3),
        ("crlb_ratio", np.nanmax, 16, 2),
        ("sigma_ratio", np.nanmax, 14, 2),
        ("seconds", np.nanmax, 14, 2),
    ):
        values = np.array([getattr(result, name) for result in given], float)
        if np.isfinite(values).any():
            ratios.append(f"{f'{np.nanmean(values):.{digits}f} / {worst(values):.{digits}f}':>{width}}")
        else:
            ratios.append(f"{'-':>{width}}")
    return "".join(ratios)


if __name__ == "__main__":
    main()
