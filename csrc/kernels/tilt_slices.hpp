// One slice of a volume, and its sinogram, at a time.
#pragma once

#include "parallel.hpp"
#include "tilt_geometry.hpp"
#include "view.hpp"

#include <algorithm>
#include <vector>

namespace semrt {

// Plane y of a stack whose middle axis is y, rows together.
inline void copy_slice(View3D<float const> stack, index y, std::vector<float> &plane) {
    plane.resize(static_cast<std::size_t>(stack.nz * stack.nx));
    for (index r = 0; r < stack.nz; ++r) {
        std::copy_n(stack.data + (r * stack.ny + y) * stack.nx, stack.nx, plane.data() + r * stack.nx);
    }
}

inline void store_slice(std::vector<float> const &plane, index y, View3D<float> stack) {
    for (index r = 0; r < stack.nz; ++r) {
        std::copy_n(plane.data() + r * stack.nx, stack.nx, stack.data + (r * stack.ny + y) * stack.nx);
    }
}

// Calls work(first, last, n_threads) for the slices [first, last): a part of them for each thread; or, where they are
// fewer than the threads, and large enough to be worth starting threads again and again, all with all threads for each.
template <class Work>
void share_slices(TiltGeometry const &geometry, index n_slices, int n_threads, Work const &work) {
    constexpr index large = 1 << 23;  // pixels times tilts; some milliseconds
    if (n_slices < n_threads && geometry.nz() * geometry.nx() * geometry.n_angles() >= large) {
        work(0, n_slices, n_threads);
        return;
    }
    index const each = std::max<index>(1, std::min<index>(16, n_slices / std::max(1, n_threads)));
    parallel_for((n_slices + each - 1) / each, n_threads,
                 [&](index part) { work(part * each, std::min(n_slices, (part + 1) * each), 1); });
}

}  // namespace semrt
