#include "rasterise.hpp"

#include "parallel.hpp"

#include <cmath>
#include <limits>

namespace semrt {

namespace {

bool inside(double at, index n) {
    double const nearest = std::floor(at + 0.5);
    return nearest >= 0 && nearest < static_cast<double>(n);  // false for NaN
}

bool inside(Position at, index ny, index nx) {
    return inside(at.y, ny) && inside(at.x, nx);
}

// Shares samples out among the pixels of a field.
class Sharing {
  public:
    Sharing(Footprint footprint, double sigma, index ny, index nx)
        : footprint_(footprint), sigma_(sigma), ny_(ny), nx_(nx) {}

    // How far a sample's footprint reaches, or a little more [px].
    double reach() const { return footprint_ == Footprint::gaussian ? 4 * sigma_ + 1 : 1; }

    // Calls add(y, x, share) for each pixel in rows [top, bottom) that a sample inside the field reaches; what falls
    // beyond the field is left out.
    template <class Add>
    void operator()(Position at, index top, index bottom, Add const &add) {
        if (footprint_ == Footprint::pixel) {
            auto const y = static_cast<index>(std::floor(at.y + 0.5)), x = static_cast<index>(std::floor(at.x + 0.5));
            if (y >= top && y < bottom) add(y, x, 1.0);
            return;
        }
        auto const along = footprint_ == Footprint::bilinear ? &Sharing::bilinear : &Sharing::gaussian;
        (this->*along)(at.y, ny_, in_rows_);
        (this->*along)(at.x, nx_, in_columns_);
        index const low = std::max(top, in_rows_.first);
        index const high = std::min(bottom, in_rows_.first + static_cast<index>(in_rows_.of.size()));
        for (index y = low; y < high; ++y) {
            double const in_row = in_rows_.of[static_cast<std::size_t>(y - in_rows_.first)];
            index x = in_columns_.first;
            for (double const in_column : in_columns_.of) add(y, x++, in_row * in_column);
        }
    }

  private:
    // What a sample gives to the pixels of one axis, from `first` on.
    struct Shares {
        index first = 0;
        std::vector<double> of;
    };

    void bilinear(double at, index n, Shares &shares) const {
        double const below = std::floor(at), above = at - below;
        shares.first = static_cast<index>(std::max(below, 0.0));
        shares.of.clear();
        if (below >= 0) shares.of.push_back(1 - above);
        if (below + 1 < static_cast<double>(n)) shares.of.push_back(above);
    }

    void gaussian(double at, index n, Shares &shares) const {
        double const first = std::floor(at - 4 * sigma_ + 0.5), last = std::floor(at + 4 * sigma_ + 0.5);
        double const width = std::sqrt(2.0) * sigma_;
        auto const integral_to = [&](double border) { return std::erf((border - at) / width); };
        double const all = integral_to(last + 0.5) - integral_to(first - 0.5);
        shares.first = static_cast<index>(std::max(first, 0.0));
        shares.of.clear();
        auto const end = static_cast<index>(std::min(last + 1, static_cast<double>(n)));
        double before = integral_to(static_cast<double>(shares.first) - 0.5);
        for (index i = shares.first; i < end; ++i) {
            double const after = integral_to(static_cast<double>(i) + 0.5);
            shares.of.push_back((after - before) / all);
            before = after;
        }
    }

    Footprint footprint_;
    double sigma_;
    index ny_, nx_;
    Shares in_rows_, in_columns_;
};

}  // namespace

index rasterise(View1D<Position const> positions, View1D<double const> dwell_time, View1D<double const> intensities,
                Footprint footprint, double sigma, View2D<bool> visited, View2D<float> exposure,
                View2D<float> intensity, int n_threads) {
    index const ny = visited.ny, nx = visited.nx;
    bool const measured = intensities.n > 0;
    std::vector<double> time(static_cast<std::size_t>(visited.size()));
    std::vector<double> signal(measured ? time.size() : 0);
    // Every band of rows goes through all samples, so that each pixel adds its own in their order.
    index const bands = std::min<index>(ny, std::max(1, n_threads));
    parallel_for(bands, n_threads, [&](index band) {
        index const top = band * ny / bands, bottom = (band + 1) * ny / bands;
        Sharing share(footprint, sigma, ny, nx);
        double const low = static_cast<double>(top) - share.reach();
        double const high = static_cast<double>(bottom - 1) + share.reach();
        for (index i = 0; i < positions.n; ++i) {
            Position const at = positions[i];
            if (!inside(at, ny, nx) || at.y < low || at.y > high) continue;
            share(at, top, bottom, [&](index y, index x, double part) {
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
        Sharing share(footprint, sigma, image.ny, image.nx);
        for (index i = number * chunk; i < std::min(positions.n, (number + 1) * chunk); ++i) {
            Position const at = positions[i];
            recorded[i] = std::numeric_limits<float>::quiet_NaN();
            if (!inside(at, image.ny, image.nx)) continue;
            double sum = 0, total = 0;
            share(at, 0, image.ny, [&](index y, index x, double part) {
                sum += part * static_cast<double>(image(y, x));
                total += part;
            });
            recorded[i] = static_cast<float>(sum / total);
        }
    });
}

}  // namespace semrt
