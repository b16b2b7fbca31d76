"""Tilt series and tomograms small enough for tests, with the truth."""

import mrcfile
import numpy as np

from command import run
from semrt import io
from semrt.data import TiltSeries, Tomogram
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import sirt, wbp

ANGLES = np.arange(-60.0, 61.0, 4.0)


def truth(ny=3, side=32):
    """(nz, ny, nx): a disc and a bar of density 1, which the slices shift along x."""
    z, x = np.mgrid[:side, :side] - (side - 1) / 2
    slices = []
    for y in range(ny):
        shift = (y - ny // 2) % 5 - 2
        disc = np.hypot(z + 5, x - 4 - shift) < side / 6
        bar = (np.abs(z - 8) < 2) & (np.abs(x - shift) < side / 4)
        slices.append(disc | bar)
    return np.stack(slices, 1).astype(np.float32)


def series(ny=3, side=32, noise=0.3, seed=0, angles=ANGLES, **known):
    """Its projections, with noise."""
    clean = TiltGeometry(angles, (side, side)).project(truth(ny, side))
    noisy = clean + np.float32(noise) * np.random.default_rng(seed).standard_normal(clean.shape, np.float32)
    return TiltSeries(noisy, angles, **known)


def back_projected(of, filter="hann", **known):  # noqa: A002
    """What is left where only the tomogram of a series was kept, by weighted back projection."""
    geometry = TiltGeometry(of.angles, (of.shape[2], of.shape[2]))
    return Tomogram(wbp(of.intensity, geometry, filter=filter), of.tilt_range, **known)


def iterated(of, **known):
    """The same, by simultaneous iterations."""
    geometry = TiltGeometry(of.angles, (of.shape[2], of.shape[2]))
    return Tomogram(sirt(of.intensity, geometry, iterations=30), of.tilt_range, **known)


def off(found, true):
    """Root mean square error."""
    return float(np.sqrt(np.mean((found - true) ** 2)))


def mrc(path, pixels, *, voxel=5.0, origin=None):
    """A file as other programs write it: voxels in Å, no metadata."""
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(np.ascontiguousarray(pixels))
        file.set_volume()
        if voxel is not None:
            file.voxel_size = voxel
        if origin is not None:
            file.header.origin.x, file.header.origin.y, file.header.origin.z = origin
    return path


def listed(path, angles=ANGLES):
    path.write_text("".join(f"{angle:8.2f}\n" for angle in angles))
    return path


def wedge(*arguments):
    return run("infer", "wedge", *arguments)


def result(done):
    """What the one result holds."""
    assert done.exit_code == 0, done.stderr
    return io.read(done.stdout.strip())
