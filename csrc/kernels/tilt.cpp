#include "tilt.hpp"

#include "tilt_slices.hpp"

namespace semrt {

void project(TiltGeometry const &geometry, View3D<float const> volume, View3D<float> series, int n_threads) {
    share_slices(geometry, volume.ny, n_threads, [&](index first, index last, int threads) {
        auto work = geometry.workspace();
        std::vector<float> slice, sinogram(static_cast<std::size_t>(series.nz * series.nx));
        for (index y = first; y < last; ++y) {
            copy_slice(volume, y, slice);
            geometry.project({slice.data(), volume.nz, volume.nx}, {sinogram.data(), series.nz, series.nx}, work,
                             threads);
            store_slice(sinogram, y, series);
        }
    });
}

void back_project(TiltGeometry const &geometry, View3D<float const> series, View3D<float> volume, int n_threads) {
    share_slices(geometry, volume.ny, n_threads, [&](index first, index last, int threads) {
        auto work = geometry.workspace();
        std::vector<float> sinogram, slice(static_cast<std::size_t>(volume.nz * volume.nx));
        for (index y = first; y < last; ++y) {
            copy_slice(series, y, sinogram);
            geometry.back_project({sinogram.data(), series.nz, series.nx}, {slice.data(), volume.nz, volume.nx}, work,
                                  threads);
            store_slice(slice, y, volume);
        }
    });
}

}  // namespace semrt
