#include "rasterise.hpp"

#include "parallel.hpp"

#include <cmath>
#include <limits>

namespace semrt {

namespace {

// What a sample gives to the pixels of one axis, from `first` on.
struct Shares {
    index first = 0;
    std::vector<double> of;
};

bool inside(double at, index n) {
    return at >= -0.5 && at < static_cast<double>(n) - 0.5;
}  // false for NaN

bool inside(Position at, index ny, index nx) {
    return inside(at.y, ny) && inside(at.x, nx);
}

// The shares of a sample inside a line of n pixels; what falls beyond its ends is left out.
void share(double at, index n, Footprint footprint, double sigma, Shares &shares) {
    shares.of.clear();
    if (footprint == Footprint::pixel) {
        shares.first = static_cast<index>(std::floor(at + 0.5));
        shares.of.push_back(1);
    } else if (footprint == Footprint::bilinear) {
        double const below = std::floor(at), above = at - below;
        shares.first = static_cast<index>(std::max(below, 0.0));
        if (below >= 0) shares.of.push_back(1 - above);
        if (below + 1 < static_cast<double>(n)) shares.of.push_back(above);
    } else {
        double const first = std::floor(at - 4 * sigma + 0.5), last = std::floor(at + 4 * sigma + 0.5);
        double const scale = 1 / (std::sqrt(2.0) * sigma);
        auto const integral_to = [&](double border) { return std::erf((border - at) * scale); };
        double const all = integral_to(last + 0.5) - integral_to(first - 0.5);
        shares.first = static_cast<index>(std::max(first, 0.0));
        auto const end = static_cast<index>(std::min(last + 1, static_cast<double>(n)));
        double before = integral_to(static_cast<double>(shares.first) - 0.5);
        for (index i = shares.first; i < end; ++i) {
            double const after = integral_to(static_cast<double>(i) + 0.5);
            shares.of.push_back((after - before) / all);
            before = after;
        }
    }
}

// Calls add(y, x, share) for each pixel that the sample reaches in rows [top, bottom).
template <class Add>
void spread(Shares const &along_y, Shares const &along_x, index top, index bottom, Add const &add) {
    index const low = std::max(top, along_y.first);
    index const high = std::min(bottom, along_y.first + static_cast<index>(along_y.of.size()));
    for (index y = low; y < high; ++y) {
        double const share_y = along_y.of[static_cast<std::size_t>(y - along_y.first)];
        index x = along_x.first;
        for (double const share_x : along_x.of) add(y, x++, share_y * share_x);
    }
}

}  // namespace

index rasterise(View1D<Position const> positions, View1D<double const> dwell_time, View1D<double const> intensities,
                Footprint footprint, double sigma, View2D<bool> visited, View2D<float> exposure,
                View2D<float> intensity, int n_threads) {
    index const ny = visited.ny, nx = visited.nx;
    bool const measured = intensities.n > 0;
    std::vector<double> time(static_cast<std::size_t>(visited.size()));
    std::vector<double> signal(measured ? time.size() : 0);
    double const reach = footprint == Footprint::gaussian ? 4 * sigma + 1 : 1;
    // Every band of rows goes through all samples, so that each pixel adds its own in their order.
    index const bands = std::min<index>(ny, std::max(1, n_threads));
    parallel_for(bands, n_threads, [&](index band) {
        index const top = band * ny / bands, bottom = (band + 1) * ny / bands;
        double const low = static_cast<double>(top) - reach, high = static_cast<double>(bottom - 1) + reach;
        Shares along_y, along_x;
        for (index i = 0; i < positions.n; ++i) {
            Position const at = positions[i];
            if (!inside(at, ny, nx) || at.y < low || at.y > high) continue;
            share(at.y, ny, footprint, sigma, along_y);
            share(at.x, nx, footprint, sigma, along_x);
            spread(along_y, along_x, top, bottom, [&](index y, index x, double part) {
                auto const pixel = static_cast<std::size_t>(y * nx + x);
                double const added = dwell_time[i] * part;
                time[pixel] += added;
                if (measured) signal[pixel] += added * intensities[i];
            });
        }
        for (index y = top; y < bottom; ++y) {
            for (index x = 0; x < nx; ++x) {
                auto const pixel = static_cast<std::size_t>(y * nx + x);
                visited(y, x) = time[pixel] > 0;
                exposure(y, x) = static_cast<float>(time[pixel]);
                intensity(y, x) = measured && time[pixel] > 0 ? static_cast<float>(signal[pixel] / time[pixel]) : 0;
            }
        }
    });
    index outside = 0;
    for (Position const at : positions) outside += !inside(at, ny, nx);
    return outside;
}

void record(View2D<float const> image, View1D<Position const> positions, Footprint footprint, double sigma,
            View1D<float> recorded, int n_threads) {
    constexpr index chunk = 4096;
    parallel_for((positions.n + chunk - 1) / chunk, n_threads, [&](index number) {
        Shares along_y, along_x;
        for (index i = number * chunk; i < std::min(positions.n, (number + 1) * chunk); ++i) {
            Position const at = positions[i];
            recorded[i] = std::numeric_limits<float>::quiet_NaN();
            if (!inside(at, image.ny, image.nx)) continue;
            share(at.y, image.ny, footprint, sigma, along_y);
            share(at.x, image.nx, footprint, sigma, along_x);
            double sum = 0, total = 0;
            spread(along_y, along_x, 0, image.ny, [&](index y, index x, double part) {
                sum += part * static_cast<double>(image(y, x));
                total += part;
            });
            recorded[i] = static_cast<float>(sum / total);
        }
    });
}

}  // namespace semrt
