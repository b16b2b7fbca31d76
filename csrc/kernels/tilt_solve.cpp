#include "tilt.hpp"
#include "tilt_slices.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

namespace semrt {

namespace {

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

using Plane = std::vector<float>;

// How much a ray crosses, and how much rays cross a pixel.
struct Crossed {
    Plane by_ray, by_pixel;

    Crossed(TiltGeometry const &geometry, int n_threads)
        : by_ray(at(geometry.n_angles() * geometry.n_detector())), by_pixel(at(geometry.nz() * geometry.nx()), 1.0F) {
        auto work = geometry.workspace();
        View2D<float> const rays{by_ray.data(), geometry.n_angles(), geometry.n_detector()};
        View2D<float> const pixels{by_pixel.data(), geometry.nz(), geometry.nx()};
        geometry.project(pixels, rays, work, n_threads);
        Plane const ones(by_ray.size(), 1.0F);
        geometry.back_project({ones.data(), rays.ny, rays.nx}, pixels, work, n_threads);
    }
};

// Lengths of the steps of the primal-dual iteration: of each ray's dual, of the gradient's, and of each pixel.
//
// Any `longest_ray` and `share` converge in the end; with these, 120 iterations of a slice of 256 x 256 px came within
// 1 % of the least value for weights that suit the noise.
struct DualSteps {
    Plane ray, pixel;
    float gradient;

    DualSteps(TiltGeometry const &geometry, int n_threads) {
        constexpr double longest_ray = 0.04;  // its dual step, for a data term with curvature 1
        constexpr double share = 0.5;         // of a pixel's step that is owed to rays, the rest to the gradient
        Crossed const crossed(geometry, n_threads);
        double const longest = *std::max_element(crossed.by_ray.begin(), crossed.by_ray.end());
        double const most = *std::max_element(crossed.by_pixel.begin(), crossed.by_pixel.end());
        double const scale = longest_ray * std::max(1.0, longest);
        double const by_gradient = std::max(1.0, most) * (1 - share) / share;
        for (float const length : crossed.by_ray) ray.push_back(static_cast<float>(scale / std::max(1.0F, length)));
        for (float const length : crossed.by_pixel) {
            pixel.push_back(static_cast<float>(1 / (scale * (static_cast<double>(length) + by_gradient))));
        }
        gradient = static_cast<float>(scale * by_gradient / 8);  // 8: the squared norm of the differences
    }
};

// Counts iterations over all slices, and tells of them one at a time.
class Counter {
  public:
    Counter(TiltProgress const &progress, index total) : progress_(progress), total_(total) {}

    // False when the work is to end.
    bool tell() {
        std::lock_guard<std::mutex> const lock(guard_);
        ++done_;
        if (progress_ && !ended_ && !progress_(done_, total_)) ended_ = true;
        return !ended_;
    }

    bool ended() const { return ended_; }

  private:
    TiltProgress const &progress_;
    index total_, done_ = 0;
    std::atomic<bool> ended_{false};
    std::mutex guard_;
};

// One slice under reconstruction, and what was measured of it.
struct Slice {
    TiltGeometry const &geometry;
    int n_threads;
    TiltWorkspace work;
    Plane density, measured, projected, returned;

    Slice(TiltGeometry const &of, int threads)
        : geometry(of),
          n_threads(threads),
          work(of.workspace()),
          projected(at(of.n_angles() * of.n_detector())),
          returned(at(of.nz() * of.nx())) {}

    void project(Plane const &plane) {
        geometry.project({plane.data(), geometry.nz(), geometry.nx()},
                         {projected.data(), geometry.n_angles(), geometry.n_detector()}, work, n_threads);
    }

    void back_project(Plane const &rays) {
        geometry.back_project({rays.data(), geometry.n_angles(), geometry.n_detector()},
                              {returned.data(), geometry.nz(), geometry.nx()}, work, n_threads);
    }
};

// What each solver does with each slice: iterate(slice, tell) until done or tell() is false.
template <class Iterate>
void each_slice(TiltGeometry const &geometry, View3D<float const> series, View3D<float> volume, int iterations,
                TiltProgress const &progress, int n_threads, Iterate const &iterate) {
    Counter counter(progress, volume.ny * iterations);
    share_slices(geometry, volume.ny, n_threads, [&](index first, index last, int threads) {
        Slice slice(geometry, threads);
        for (index y = first; y < last && !counter.ended(); ++y) {
            copy_slice(volume, y, slice.density);
            copy_slice(series, y, slice.measured);
            iterate(slice, [&] { return counter.tell(); });
            store_slice(slice.density, y, volume);
        }
    });
}

}  // namespace

void reconstruct_sirt(TiltGeometry const &geometry, View3D<float const> series, View3D<float> volume, Sirt const &how,
                      TiltProgress const &progress, int n_threads) {
    Crossed crossed(geometry, n_threads);
    for (auto &length : crossed.by_ray) length = 1 / std::max(1.0F, length);
    for (auto &length : crossed.by_pixel) length = length > 0 ? static_cast<float>(how.relaxation) / length : 0;
    float const least = how.nonnegative ? 0 : -INFINITY;
    each_slice(geometry, series, volume, how.iterations, progress, n_threads, [&](Slice &slice, auto const &tell) {
        auto const n_rays = slice.measured.size(), n_pixels = slice.density.size();
        for (int i = 0; i < how.iterations; ++i) {
            slice.project(slice.density);
            for (std::size_t k = 0; k < n_rays; ++k) {
                slice.projected[k] = crossed.by_ray[k] * (slice.measured[k] - slice.projected[k]);
            }
            slice.back_project(slice.projected);
            for (std::size_t k = 0; k < n_pixels; ++k) {
                float const next = slice.density[k] + crossed.by_pixel[k] * slice.returned[k];
                slice.density[k] = next > least ? next : least;
            }
            if (!tell()) return;
        }
    });
}

void reconstruct_tv(TiltGeometry const &geometry, View3D<float const> series, View3D<float> volume,
                    TotalVariation const &how, TiltProgress const &progress, int n_threads) {
    index const nz = geometry.nz(), nx = geometry.nx();
    DualSteps const steps(geometry, n_threads);
    auto const weight = static_cast<float>(how.weight);
    constexpr float over_relaxation = 1.8F;  // below 2; as near to the least in two thirds of the iterations
    float const least = how.nonnegative ? 0 : -INFINITY;
    each_slice(geometry, series, volume, how.iterations, progress, n_threads, [&](Slice &slice, auto const &tell) {
        auto const n_rays = slice.measured.size();
        Plane ray(n_rays, 0.0F), dz(slice.density.size(), 0.0F), dx = dz, ahead_z = dz, ahead_x = dz;
        for (int i = 0; i < how.iterations; ++i) {
            // The last step stops where the others go on beyond: there it is nonnegative.
            float const stride = i + 1 < how.iterations ? over_relaxation : 1;
            slice.project(slice.density);
            for (std::size_t k = 0; k < n_rays; ++k) {
                float const residual = slice.projected[k] - slice.measured[k];
                float const change = (ray[k] + steps.ray[k] * residual) / (1 + steps.ray[k]) - ray[k];
                slice.projected[k] = ray[k] + 2 * change;
                ray[k] += stride * change;
            }
            slice.back_project(slice.projected);
            for (index z = 0; z < nz; ++z) {
                float const *const here = slice.density.data() + z * nx, *const below = here + (z + 1 < nz ? nx : 0);
                float *const gz = dz.data() + z * nx, *const gx = dx.data() + z * nx;
                float *const az = ahead_z.data() + z * nx, *const ax = ahead_x.data() + z * nx;
                for (index x = 0; x < nx; ++x) az[x] = gz[x] + steps.gradient * (below[x] - here[x]);
                for (index x = 0; x + 1 < nx; ++x) ax[x] = gx[x] + steps.gradient * (here[x + 1] - here[x]);
                constexpr float nothing = 1e-30F;  // keeps a weight of 0 from dividing 0 by itself
                for (index x = 0; x < nx; ++x) {
                    float const length = std::sqrt(az[x] * az[x] + ax[x] * ax[x]);
                    float const shrink = weight / std::max({weight, length, nothing});
                    float const change_z = shrink * az[x] - gz[x], change_x = shrink * ax[x] - gx[x];
                    az[x] = gz[x] + 2 * change_z;
                    ax[x] = gx[x] + 2 * change_x;
                    gz[x] += stride * change_z;
                    gx[x] += stride * change_x;
                }
            }
            for (index z = 0; z < nz; ++z) {
                float const *const az = ahead_z.data() + z * nx, *const ax = ahead_x.data() + z * nx;
                float const *const back = slice.returned.data() + z * nx, *const step = steps.pixel.data() + z * nx;
                float *const density = slice.density.data() + z * nx;
                auto const descend = [&](index x, float divergence) {
                    float const moved = density[x] - step[x] * (back[x] - divergence);
                    float const kept = moved > least ? moved : least;
                    density[x] += stride * (kept - density[x]);
                };
                if (z == 0) {
                    descend(0, az[0] + ax[0]);
                    for (index x = 1; x < nx; ++x) descend(x, az[x] + ax[x] - ax[x - 1]);
                } else {
                    float const *const above = az - nx;
                    descend(0, az[0] - above[0] + ax[0]);
                    for (index x = 1; x < nx; ++x) descend(x, (az[x] - above[x]) + (ax[x] - ax[x - 1]));
                }
            }
            if (!tell()) return;
        }
    });
}

}  // namespace semrt
