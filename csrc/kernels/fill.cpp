#include "fill.hpp"

#include "border.hpp"
#include "nearest.hpp"
#include "parallel.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace semrt {

namespace {

// Exact for n < 2^52.
index floor_sqrt(index n) {
    return static_cast<index>(std::sqrt(static_cast<double>(n)));
}

// ------------------------------------------------------------------------------------------------ discrete Sibson

// Intensities as integers about the middle of their range: sums are exact and in any order the same.
class Levels {
  public:
    Levels(View2D<float const> intensity, View2D<bool const> visited) {
        float lo = std::numeric_limits<float>::infinity(), hi = -lo;
        for (index i = 0; i < visited.size(); ++i) {
            if (!visited.data[i]) continue;
            lo = std::min(lo, intensity.data[i]);
            hi = std::max(hi, intensity.data[i]);
        }
        lo_ = lo;
        hi_ = hi;
        step_ = (hi_ - lo_) / (2 * top);
    }

    std::int64_t of(float intensity) const {
        return step_ > 0 ? static_cast<std::int64_t>(std::floor((intensity - middle()) / step_ + 0.5)) : 0;
    }

    float mean(std::int64_t sum, std::int64_t count) const {
        double const value = middle() + step_ * (static_cast<double>(sum) / static_cast<double>(count));
        return static_cast<float>(std::clamp(value, lo_, hi_));
    }

  private:
    static constexpr double top = 1 << 30;  // finer than float's 24 bits; sums of 2^32 pixels still fit in 64 bits

    double middle() const { return 0.5 * (lo_ + hi_); }

    double lo_, hi_, step_;
};

// What a pixel spreads, and how far.
struct Disk {
    index squared_radius;
    std::int64_t level;  // first and last of the nearest samples together, so that it counts twice
};

constexpr index coarse_from = 64;  // [px] for each pixel of a block's side

// The pixels of an aligned square block, which spread as one from its centre when that is far from every sample.
struct Block {
    index y, x, side;

    index yc() const { return y + side / 2; }
    index xc() const { return x + side / 2; }

    static Block around(index y, index x, index side) { return {y / side * side, x / side * side, side}; }
    bool centre_is_in(View2D<Disk const> field) const { return yc() < field.ny && xc() < field.nx; }
    index area_in(View2D<Disk const> field) const {
        return std::min(side, field.ny - y) * std::min(side, field.nx - x);
    }
    bool is_far(View2D<Disk const> disks) const {
        return disks(yc(), xc()).squared_radius >= square(coarse_from * side);
    }
};

// How many pixels spread from this one: itself alone near the samples, far from them none or those of its block.
//
// Blocks of side 2, 4, 8 … spread as one from coarse_from·side on: areas are then counted on a lattice that is still
// fine against the disk, and a nearly empty field costs no more than a denser one. A far block's parts are far as well.
index spreads_for(View2D<Disk const> disks, index y, index x) {
    constexpr index nearly_far = 2 * coarse_from - 2;  // the centre of its 2×2 block is less than 2 px away
    if (disks(y, x).squared_radius < square(nearly_far)) return 1;
    Block own{y, x, 1};
    index const low_y = y & -y, low_x = x & -x;
    if (low_y == low_x && y > 0) {  // the centre of one block, and of no other
        auto const around = Block::around(y, x, 2 * low_y);
        if (around.is_far(disks)) own = around;
    }
    for (index side = 2 * own.side; side / 2 < std::min(disks.ny, disks.nx); side *= 2) {
        auto const larger = Block::around(y, x, side);
        if (larger.centre_is_in(disks)) return larger.is_far(disks) ? 0 : own.area_in(disks);
    }
    return own.area_in(disks);
}

// What arrived at a pixel, as differences along the row until integrated.
struct Arrived {
    std::int64_t sum, count;
};

// Spreads the pixels of row y into `band`, the rows [y0, y1) of the result, each one pixel longer than the field.
void spread_row(View2D<Disk const> disks, index y, index y0, index y1, Arrived *band) {
    for (index x = 0; x < disks.nx; ++x) {
        Disk const disk = disks(y, x);
        if (disk.squared_radius == 0) continue;
        index const pixels = spreads_for(disks, y, x);
        if (pixels == 0) continue;
        std::int64_t const sum = pixels * disk.level, count = 2 * pixels;
        index const r = floor_sqrt(disk.squared_radius);
        index const top = std::max(y - r, y0), bottom = std::min(y + r + 1, y1);
        for (index yd = top; yd < bottom; ++yd) {
            index const half_width = floor_sqrt(disk.squared_radius - square(yd - y));
            Arrived *const row = band + (yd - y0) * (disks.nx + 1);
            Arrived &first = row[std::max<index>(x - half_width, 0)];
            Arrived &after = row[std::min(x + half_width + 1, disks.nx)];
            first.sum += sum;
            first.count += count;
            after.sum -= sum;
            after.count -= count;
        }
    }
}

// ----------------------------------------------------------------------------------------------------- smoothing

std::vector<double> gaussian(double sigma) {
    auto const radius = static_cast<index>(4 * sigma + 0.5);
    std::vector<double> weight;
    double total = 0;
    for (index i = -radius; i <= radius; ++i) {
        weight.push_back(std::exp(-0.5 * static_cast<double>(i * i) / (sigma * sigma)));
        total += weight.back();
    }
    for (auto &w : weight) w /= total;
    return weight;
}

}  // namespace

void distance_to_sample(View2D<bool const> visited, View2D<float> distance, int n_threads) {
    for_each_nearest(visited, n_threads, [&](index y, index x, Nearest const &nearest) {
        distance(y, x) = static_cast<float>(std::sqrt(static_cast<double>(nearest.squared_distance)));
    });
}

void natural_neighbour(View2D<float const> intensity, View2D<bool const> visited, View2D<float> filled, int n_threads) {
    Levels const levels(intensity, visited);
    std::vector<Disk> storage(static_cast<std::size_t>(visited.size()));
    View2D<Disk> const disks{storage.data(), visited.ny, visited.nx};
    std::vector<index> reach(static_cast<std::size_t>(visited.ny), 0);  // the largest squared radius in each row
    for_each_nearest(visited, n_threads, [&](index y, index x, Nearest const &nearest) {
        auto const level_of = [&](Pixel p) { return levels.of(intensity(p.y, p.x)); };
        disks(y, x) = {nearest.squared_distance, level_of(nearest.first) + level_of(nearest.last)};
        auto &furthest = reach[static_cast<std::size_t>(y)];
        furthest = std::max(furthest, nearest.squared_distance);
    });
    constexpr index band_height = 64;
    parallel_for(chunks(visited.ny, band_height), n_threads, [&](index chunk) {
        index const y0 = chunk * band_height, y1 = std::min(y0 + band_height, visited.ny);
        std::vector<Arrived> band(static_cast<std::size_t>((y1 - y0) * (visited.nx + 1)), Arrived{0, 0});
        for (index y = 0; y < visited.ny; ++y) {
            index const rows_away = std::max<index>({y0 - y, y - (y1 - 1), 0});
            if (square(rows_away) <= reach[static_cast<std::size_t>(y)]) spread_row(disks, y, y0, y1, band.data());
        }
        for (index y = y0; y < y1; ++y) {
            Arrived total{0, 0};
            Arrived const *const row = band.data() + (y - y0) * (visited.nx + 1);
            for (index x = 0; x < visited.nx; ++x) {
                total.sum += row[x].sum;
                total.count += row[x].count;
                filled(y, x) = visited(y, x) ? intensity(y, x) : levels.mean(total.sum, total.count);
            }
        }
    });
}

void smooth_gaussian(View2D<float> image, double sigma, int n_threads) {
    auto const weight = gaussian(sigma);
    auto const radius = static_cast<index>(weight.size()) / 2;
    // Along x, each row with its mirror images beside it.
    parallel_for(chunks(image.ny, rows_at_once), n_threads, [&](index chunk) {
        std::vector<double> line(static_cast<std::size_t>(image.nx + 2 * radius)), sum;
        index const y0 = chunk * rows_at_once;
        for (index y = y0; y < std::min(y0 + rows_at_once, image.ny); ++y) {
            float *const row = image.row(y);
            for (index i = 0; i < image.nx + 2 * radius; ++i) {
                line[static_cast<std::size_t>(i)] = row[inside(i - radius, image.nx, Border::reflect)];
            }
            sum.assign(static_cast<std::size_t>(image.nx), 0.0);
            for (std::size_t k = 0; k < weight.size(); ++k) {
                double const w = weight[k];
                for (std::size_t x = 0; x < sum.size(); ++x) sum[x] += w * line[x + k];
            }
            std::transform(sum.begin(), sum.end(), row, [](double s) { return static_cast<float>(s); });
        }
    });
    // Along y, a few columns at a time so that their rows stay in the cache.
    parallel_for(chunks(image.nx, columns_at_once), n_threads, [&](index chunk) {
        index const x0 = chunk * columns_at_once;
        auto const width = static_cast<std::size_t>(std::min(columns_at_once, image.nx - x0));
        std::vector<float> before(static_cast<std::size_t>(image.ny) * width);
        for (index y = 0; y < image.ny; ++y) {
            std::copy_n(image.row(y) + x0, width, before.data() + static_cast<std::size_t>(y) * width);
        }
        std::vector<double> sum;
        for (index y = 0; y < image.ny; ++y) {
            sum.assign(width, 0.0);
            for (std::size_t k = 0; k < weight.size(); ++k) {
                auto const from = inside(y + static_cast<index>(k) - radius, image.ny, Border::reflect);
                float const *const source = before.data() + static_cast<std::size_t>(from) * width;
                for (std::size_t x = 0; x < width; ++x) sum[x] += weight[k] * source[x];
            }
            std::transform(sum.begin(), sum.end(), image.row(y) + x0, [](double s) { return static_cast<float>(s); });
        }
    });
}

}  // namespace semrt
