// Projection of volumes along a tilted beam, slice by slice across the tilt axis, and reconstruction from a tilt
// series.
#pragma once

#include "tilt_geometry.hpp"
#include "view.hpp"

#include <functional>

namespace semrt {

// volume: (z, y, x).  series: (tilt, y, s), overwritten.  Threads share the slices, or the tilts where slices are few.
void project(TiltGeometry const &geometry, View3D<float const> volume, View3D<float> series, int n_threads);

// The adjoint of project, to rounding.  volume: overwritten.
void back_project(TiltGeometry const &geometry, View3D<float const> series, View3D<float> volume, int n_threads);

// Told after each iteration of each slice how many are done, of how many, from any thread, by one at a time; false ends
// the work.
using TiltProgress = std::function<bool(index done, index total)>;

struct Sirt {
    int iterations;
    double relaxation;  // of each step, above 0 and below 2
    bool nonnegative;
};

// Simultaneous iterative reconstruction: x += relaxation · C Aᵀ R (b - A x), where R and C are one over the sums of A
// along rays and over pixels; rays that cross less than a pixel count as crossing one.
//
// volume: where to start, overwritten by the result.  O(nz·nx·n_angles) for each slice and iteration.
// Gilbert 1972, doi:10.1016/0022-5193(72)90180-4.
void reconstruct_sirt(TiltGeometry const &geometry, View3D<float const> series, View3D<float> volume, Sirt const &how,
                      TiltProgress const &progress, int n_threads);

struct TotalVariation {
    int iterations;
    double weight;
    bool nonnegative;
};

// Each slice that minimises ½ ‖A x - b‖² + weight · Σ |∇x| (|∇x| the length of the gradient, by forward differences),
// by over-relaxed primal and dual steps whose lengths are set for each ray and pixel.
//
// volume: where to start, overwritten by the result.
// Chambolle & Pock 2011, doi:10.1007/s10851-010-0251-1; Pock & Chambolle 2011, doi:10.1109/ICCV.2011.6126441.
void reconstruct_tv(TiltGeometry const &geometry, View3D<float const> series, View3D<float> volume,
                    TotalVariation const &how, TiltProgress const &progress, int n_threads);

}  // namespace semrt
