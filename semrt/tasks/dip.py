"""A sparse scan, or a stack of them, completed by networks that are trained on nothing else: the Deep Image Prior."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from semrt._version import __version__
from semrt.backends.cores import physical_cores
from semrt.data import Micrograph, SparseScan, SparseVolume, Volume
from semrt.deep_image_prior.settings import Settings
from semrt.kernels import fit_variogram, krige, mask_statistics, natural_neighbour
from semrt.tasks.exposure import exposure_told, relative_exposure, sample_values
from semrt.tasks.infill import standardisation
from semrt.tasks.kriging import SMOOTHING, ClassicalEstimate, complete
from semrt.tasks.wiener import wiener_estimate

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from semrt.deep_image_prior.fit import Field, Fit
    from semrt.deep_image_prior.members import Member
    from semrt.tasks.base import Progress

__all__ = ["DeepImagePrior"]

ALMOST_EMPTY = 0.001
"""Coverage below which what lies between the samples is a guess."""


class DeepImagePrior:
    """The `dip` model."""

    accepts = (SparseScan, SparseVolume)
    devices = ("cpu", "cuda")
    requires = "torch"

    def solve(
        self,
        measured: SparseScan | SparseVolume,
        *,
        network: str = "conv-decoder",
        members: int = Settings.members,
        max_iterations: int = Settings.max_iterations,
        max_seconds: float | None = None,
        seed: int = 0,
        blend: bool = True,
        denoise: bool = False,
        device: str = "auto",
        n_threads: int | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> Micrograph | Volume:
        """Complete a sparse scan, or a stack of them slice by slice, each from the weights of the one before.

        network: conv-decoder, deep-decoder, hour-glass or skip.  members: how many are fitted and averaged.
        max_iterations: of each.  max_seconds: of a scan, or of each slice.  seed: of all random numbers.
        blend: mix with what `wiener` makes of them as held-out samples ask for; without, it is not looked at.
        denoise: estimate visited pixels as well.
        Raises InvalidOption, DeviceUnavailable, OutOfMemory.
        """
        # JSON, which the record is written in, knows no infinity.
        budget = None if max_seconds in (None, math.inf) else float(max_seconds)
        settings = Settings(network, int(members), int(max_iterations), budget, int(seed), blend=bool(blend))
        # Read when torch is loaded: threads that spin while they wait for each other crawl where other software runs.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from semrt.deep_image_prior import reconstruct

        place, why = reconstruct.chosen_device(device)
        run = _Run(settings, place, n_threads, denoise, progress)
        with reconstruct.threads(n_threads or physical_cores()):
            result = run.volume(measured, checkpoint) if isinstance(measured, SparseVolume) else run.scan(measured)
        return replace(result, provenance={**result.provenance, "device": {"used": str(place), "why": why}})


@dataclass(frozen=True, eq=False)
class _Run:
    """One call of solve."""

    settings: Settings
    device: torch.device
    n_threads: int | None
    denoise: bool
    progress: Progress | None

    def scan(self, scan: SparseScan) -> Micrograph:
        done = self._slice(scan, standardisation(scan), None, (self.settings.seed, 0), 0, 1)
        told = {**self._said(), **done.told, **exposure_told(scan), **_notes([scan])}
        return Micrograph(done.intensity, scan.pixel_size, done.error, scan.metadata, told)

    def volume(self, stack: SparseVolume, folder: Path | None) -> Volume:
        """All slices; one that is interrupted is followed by those that `wiener` alone makes."""
        from semrt.deep_image_prior.checkpoint import Checkpoint

        slices = stack.slices
        # One scale for all, because the weights that go from slice to slice know but one.
        scale = _common_scale(slices)
        checkpoint = None if folder is None else Checkpoint(folder, self._key(stack))
        kept, members = ([], None) if checkpoint is None else checkpoint.resume(self.device)
        done = [_Slice.unpacked(planes) for planes in kept]
        stopped = None
        for z in range(len(done), len(slices)):
            made = self._slice(slices[z], scale, members, (self.settings.seed, z), z, len(slices))
            done.append(made)
            if made.told["stopped"] == "interrupted":
                stopped = z
                break
            members = made.members or members  # a slice without gaps needs none, and hands on those of the one before
            if checkpoint is not None:
                checkpoint.keep(z, made.packed(), members)
        if stopped is not None:
            done += [self._classical(scan) for scan in slices[stopped + 1 :]]
        told: dict[str, Any] = {**self._said(), "slices": [made.told for made in done], **_notes(slices)}
        told["resumed_at_slice"] = len(kept) or None
        if stopped is not None:
            told |= {"stopped": "interrupted", "interrupted_at_slice": stopped}
        images = [Micrograph(made.intensity, stack.pixel_size, made.error) for made in done]
        return replace(Volume.from_slices(images, stack.slice_thickness), metadata=stack.metadata, provenance=told)

    def _slice(
        self,
        scan: SparseScan,
        scale: tuple[float, float],
        members: list[list[Member]] | None,
        seed: tuple[int, ...],
        z: int,
        n: int,
    ) -> _Slice:
        """Fit one scan.  scale: mean and spread.  members: to begin from."""
        from semrt.deep_image_prior.reconstruct import reconstruct

        if scan.visited.all() and not self.denoise and scan.exposure is None:
            return replace(self._classical(scan), told={"stopped": "nothing was left to infer"})
        mean, spread = scale
        classical = wiener_estimate(scan, n_threads=self.n_threads)
        fields = _Fields(scan, classical, mean, spread, self.n_threads)
        of_slice = f" (slice {z + 1} of {n})" if n > 1 else ""

        def watch(iteration: int, total: int, loss: float) -> None:
            if self.progress is not None:
                known = "" if np.isnan(loss) else f", loss {loss:.3g}"
                self.progress(z * total + iteration, n * total, f"iteration{of_slice}{known}")

        fits = reconstruct(scan.shape, fields, self.settings, members, self.device, seed, watch)
        made = complete(
            scan,
            fits.whole.estimate * np.float32(spread) + np.float32(mean),
            fits.whole.error * np.float32(spread),
            float(np.sqrt(classical.variogram.nugget)),
            denoise=self.denoise,
        )
        told = _told(fits.whole, spread) | {"classical_method": classical.method}
        return _Slice(made.intensity, cast("NDArray[np.float32]", made.error), told, fits.members)

    def _classical(self, scan: SparseScan) -> _Slice:
        classical = wiener_estimate(scan, n_threads=self.n_threads)
        noise = float(np.sqrt(classical.variogram.nugget))
        made = complete(scan, classical.estimate, classical.error, noise, denoise=self.denoise)
        return _Slice(made.intensity, cast("NDArray[np.float32]", made.error), {"stopped": "not begun"}, None)

    def _said(self) -> dict[str, Any]:
        return {"settings": asdict(self.settings)}

    def _key(self, stack: SparseVolume) -> str:
        """Hash everything that the slices depend on."""
        chosen = {**asdict(self.settings), "denoise": self.denoise, "version": __version__, "shape": stack.shape}
        key = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode())
        for scan in stack.slices:
            key.update(scan.intensity.tobytes())
            key.update(np.packbits(scan.visited).tobytes())
            for given in (scan.exposure, scan.dwell_time):
                key.update(b"" if given is None else given.tobytes())
        return key.hexdigest()


@dataclass(frozen=True, eq=False)
class _Slice:
    """A finished slice; told: how it was made; members: the networks after it."""

    intensity: NDArray[np.float32]
    error: NDArray[np.float32]
    told: dict[str, Any]
    members: list[list[Member]] | None = None

    def packed(self) -> dict[str, Any]:
        return {"intensity": self.intensity, "error": self.error, "told": np.array(json.dumps(self.told))}

    @classmethod
    def unpacked(cls, planes: dict[str, Any]) -> _Slice:
        return cls(planes["intensity"], planes["error"], json.loads(str(planes["told"])))


@dataclass(frozen=True, eq=False)
class _Fields:
    """Cuts pieces out of a scan, in spreads of its samples."""

    scan: SparseScan
    classical: ClassicalEstimate
    mean: float
    spread: float
    n_threads: int | None

    def __call__(self, window: tuple[slice, slice]) -> Field:
        from semrt.deep_image_prior.fit import Field

        visited = self.scan.visited[window]
        values = sample_values(self.scan)[window]
        exposure = _part(relative_exposure(self.scan), window)
        variogram = self.classical.variogram

        def estimated(kept: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            # By the variogram of all samples: where they are few, one of those kept is a worse start for the networks.
            estimate, variance = krige(values, kept, variogram, exposure=exposure, n_threads=self.n_threads)
            if self.classical.method == "natural neighbour":
                estimate = natural_neighbour(values * kept, kept, smooth=SMOOTHING, n_threads=self.n_threads)
            elif self.classical.method == "learnt spectrum":
                part = SparseScan(
                    self.scan.intensity[window],
                    kept,
                    exposure=_part(self.scan.exposure, window),
                    dwell_time=_part(self.scan.dwell_time, window),
                )
                estimate = wiener_estimate(part, n_threads=self.n_threads).estimate
            return self._scaled(estimate), (np.sqrt(variance) / self.spread).astype(np.float32)

        def unexplained(residual: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
            if not residual.any():
                return residual
            return krige(residual, kept, fit_variogram(residual, kept), exposure=exposure, n_threads=self.n_threads)[0]

        error = self.classical.error[window] / np.float32(self.spread)
        gap = float(max(visited.shape))
        if visited.any():
            gap = mask_statistics(visited, n_threads=self.n_threads).mean_gap
        return Field(
            self._scaled(values) * visited,
            visited.astype(np.float32) if exposure is None else visited * exposure,
            (self._scaled(self.classical.estimate[window]), error),
            estimated,
            unexplained,
            gap,
        )

    def _scaled(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return (values - np.float32(self.mean)) / np.float32(self.spread)


def _part(plane: NDArray[np.float32] | None, window: tuple[slice, slice]) -> NDArray[np.float32] | None:
    return None if plane is None else plane[window]


def _told(fit: Fit, spread: float) -> dict[str, Any]:
    """What the provenance says of a fit; errors in the units of the scan."""
    return {
        "stopped": fit.stopped,
        "iterations": fit.iterations,
        "weight_of_networks": fit.weight,
        "residual_kriged": fit.residual_kriged,
        "held_out_samples": fit.held_out,
        "held_out_error": [[iteration, error * spread] for iteration, error in fit.agreement if fit.held_out],
        "held_out_error_classical": fit.classical_agreement * spread if fit.held_out else None,
        "error_calibrated": fit.calibrated,
        "loss": [list(row) for row in fit.loss],
    }


def _common_scale(slices: tuple[SparseScan, ...]) -> tuple[float, float]:
    values = np.concatenate([sample_values(scan)[scan.visited] for scan in slices])
    whole = np.ones((1, len(values)), np.bool_)
    return standardisation(SparseScan(values[None], whole))


def _notes(scans: list[SparseScan] | tuple[SparseScan, ...]) -> dict[str, Any]:
    """Say where too little was measured to infer anything from."""
    emptiest = min(scans, key=lambda scan: scan.coverage)
    if emptiest.coverage >= ALMOST_EMPTY:
        return {}
    visited, there = int(np.count_nonzero(emptiest.visited)), emptiest.visited.size
    where = "" if len(scans) == 1 else " of a slice"
    return {"notes": [f"almost empty: {visited} of {there} pixels{where} were visited; what lies between is a guess"]}
