#include "fill.hpp"

#include "parallel.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace semrt {

namespace {

constexpr index columns_at_once = 64;  // a cache line or more of each row
constexpr index rows_at_once = 16;
constexpr std::int32_t none = -1;

index chunks(index n, index size) {
    return (n + size - 1) / size;
}

// Exact for n < 2^52.
index floor_sqrt(index n) {
    return static_cast<index>(std::sqrt(static_cast<double>(n)));
}

index squared_distance(Pixel p, index y, index x) {
    return (p.y - y) * (p.y - y) + (p.x - x) * (p.x - x);
}

// ----------------------------------------------------------------------------------------------- nearest sample

// The row of the nearest sample in the same column, the upper of two equally near ones; none where there is no sample.
void nearest_in_column(View2D<bool const> visited, View2D<std::int32_t> row, index x0, index x1) {
    std::vector<std::int32_t> last(static_cast<std::size_t>(x1 - x0), none);
    for (index y = 0; y < visited.ny; ++y) {
        for (index x = x0; x < x1; ++x) {
            auto &above = last[static_cast<std::size_t>(x - x0)];
            above = visited(y, x) ? static_cast<std::int32_t>(y) : above;
            row(y, x) = above;
        }
    }
    std::fill(last.begin(), last.end(), none);
    for (index y = visited.ny - 1; y >= 0; --y) {
        for (index x = x0; x < x1; ++x) {
            auto &below = last[static_cast<std::size_t>(x - x0)];
            below = visited(y, x) ? static_cast<std::int32_t>(y) : below;
            auto const above = row(y, x);
            bool const below_is_nearer = below != none && (above == none || below - y < y - above);
            row(y, x) = below_is_nearer ? below : above;
        }
    }
}

// A column whose nearest sample is the nearest of the whole row from `start` on.
struct Reign {
    index column, start, height;  // height: squared distance to the column's sample along y
};

// The lower envelope of the parabolas (x - column)² + height; `reigns` is scratch.
void nearest_in_row(View1D<std::int32_t const> row_of, index y, View1D<Pixel> nearest, std::vector<Reign> &reigns) {
    reigns.clear();
    for (index x = 0; x < row_of.n; ++x) {
        if (row_of[x] == none) continue;
        index const height = (row_of[x] - y) * (row_of[x] - y);
        auto const loses_its_start = [&](Reign const &r) {
            index const own = r.start - r.column, other = r.start - x;
            return own * own + r.height > other * other + height;
        };
        while (!reigns.empty() && loses_its_start(reigns.back())) reigns.pop_back();
        if (reigns.empty()) {
            reigns.push_back({x, 0, height});
            continue;
        }
        auto const &left = reigns.back();  // at least as near at its start, so the numerator is not negative
        index const start = 1 + (x * x - left.column * left.column + height - left.height) / (2 * (x - left.column));
        if (start < row_of.n) reigns.push_back({x, start, height});
    }
    index end = row_of.n;
    for (auto r = reigns.rbegin(); r != reigns.rend(); ++r) {
        Pixel const sample{row_of[r->column], static_cast<std::int32_t>(r->column)};
        std::fill(nearest.data + r->start, nearest.data + end, sample);
        end = r->start;
    }
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
    static constexpr double top = 1 << 30;  // finer than float's 24 bits; 2^33 pixels still fit in 64 bits

    double middle() const { return 0.5 * (lo_ + hi_); }

    double lo_, hi_, step_;
};

constexpr index coarse_from = 64;  // [px] for each pixel of a block's side

// The pixels of an aligned square block, which spread as one from its centre when that is far from every sample.
struct Block {
    index y, x, side;

    index yc() const { return y + side / 2; }
    index xc() const { return x + side / 2; }

    static Block around(index y, index x, index side) { return {y / side * side, x / side * side, side}; }
    bool centre_is_in(View2D<Pixel const> field) const { return yc() < field.ny && xc() < field.nx; }
    index area_in(View2D<Pixel const> field) const {
        return std::min(side, field.ny - y) * std::min(side, field.nx - x);
    }
    bool is_far(View2D<Pixel const> nearest) const {
        index const far = coarse_from * side;
        return squared_distance(nearest(yc(), xc()), yc(), xc()) >= far * far;
    }
};

// How many pixels spread from this one: itself alone near the samples, far from them none or those of its block.
//
// Blocks of side 2, 4, 8 … spread as one from coarse_from·side on: areas are then counted on a lattice that is still
// fine against the disk, and a nearly empty field costs no more than a denser one. A far block's parts are far as well.
index spreads_for(View2D<Pixel const> nearest, index y, index x, index squared_radius) {
    constexpr index nearly_far = 2 * coarse_from - 2;  // the centre of its 2×2 block is less than 2 px away
    if (squared_radius < nearly_far * nearly_far) return 1;
    Block own{y, x, 1};
    index const low_y = y & -y, low_x = x & -x;
    if (low_y == low_x && y > 0) {  // the centre of one block, and of no other
        auto const around = Block::around(y, x, 2 * low_y);
        if (around.is_far(nearest)) own = around;
    }
    for (index side = 2 * own.side; side / 2 < std::min(nearest.ny, nearest.nx); side *= 2) {
        auto const larger = Block::around(y, x, side);
        if (larger.centre_is_in(nearest)) return larger.is_far(nearest) ? 0 : own.area_in(nearest);
    }
    return own.area_in(nearest);
}

// What arrived at a pixel, as differences along the row until integrated.
struct Arrived {
    std::int64_t sum, count;
};

struct Sibson {
    View2D<float const> intensity;
    View2D<bool const> visited;
    View2D<Pixel const> nearest;
    std::vector<index> reach;  // the largest radius in each row [px]
    Levels levels;

    // Rows [y0, y1) of the result.
    void fill_band(View2D<float> filled, index y0, index y1) const {
        index const stride = visited.nx + 1;
        std::vector<Arrived> band(static_cast<std::size_t>((y1 - y0) * stride), Arrived{0, 0});
        for (index y = 0; y < visited.ny; ++y) {
            index const r = reach[static_cast<std::size_t>(y)];
            if (y + r >= y0 && y - r < y1) spread_row(y, band.data(), y0, y1);
        }
        for (index y = y0; y < y1; ++y) {
            Arrived total{0, 0};
            Arrived const *const row = band.data() + (y - y0) * stride;
            for (index x = 0; x < visited.nx; ++x) {
                total.sum += row[x].sum;
                total.count += row[x].count;
                filled(y, x) = visited(y, x) ? intensity(y, x) : levels.mean(total.sum, total.count);
            }
        }
    }

    // Spreads the pixels of one row into the band of rows [y0, y1).
    void spread_row(index y, Arrived *band, index y0, index y1) const {
        index const nx = visited.nx;
        for (index x = 0; x < nx; ++x) {
            Pixel const sample = nearest(y, x);
            index const squared_radius = squared_distance(sample, y, x);
            if (squared_radius == 0) continue;
            index const count = spreads_for(nearest, y, x, squared_radius);
            if (count == 0) continue;
            std::int64_t const sum = count * levels.of(intensity(sample.y, sample.x));
            index const r = floor_sqrt(squared_radius);
            index const top = std::max(y - r, y0), bottom = std::min(y + r + 1, y1);
            for (index yd = top; yd < bottom; ++yd) {
                index const half_width = floor_sqrt(squared_radius - (yd - y) * (yd - y));
                Arrived *const row = band + (yd - y0) * (nx + 1);
                Arrived &first = row[std::max<index>(x - half_width, 0)];
                Arrived &after = row[std::min(x + half_width + 1, nx)];
                first.sum += sum;
                first.count += count;
                after.sum -= sum;
                after.count -= count;
            }
        }
    }
};

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

// The pixel that stands at i when the line is continued by its mirror images for ever.
index reflected(index i, index n) {
    index const period = 2 * n;
    index const phase = ((i % period) + period) % period;
    return phase < n ? phase : period - 1 - phase;
}

}  // namespace

void nearest_sample(View2D<bool const> visited, View2D<Pixel> nearest, int n_threads) {
    if (std::none_of(visited.data, visited.data + visited.size(), [](bool v) { return v; })) {
        throw std::invalid_argument("visited: expected at least one visited pixel, got none");
    }
    std::vector<std::int32_t> storage(static_cast<std::size_t>(visited.size()));
    View2D<std::int32_t> const row{storage.data(), visited.ny, visited.nx};
    parallel_for(chunks(visited.nx, columns_at_once), n_threads, [&](index chunk) {
        index const x0 = chunk * columns_at_once;
        nearest_in_column(visited, row, x0, std::min(x0 + columns_at_once, visited.nx));
    });
    parallel_for(chunks(visited.ny, rows_at_once), n_threads, [&](index chunk) {
        std::vector<Reign> scratch;
        index const y0 = chunk * rows_at_once;
        for (index y = y0; y < std::min(y0 + rows_at_once, visited.ny); ++y) {
            nearest_in_row({row.row(y), row.nx}, y, {nearest.row(y), nearest.nx}, scratch);
        }
    });
}

void distance_to_sample(View2D<bool const> visited, View2D<float> distance, int n_threads) {
    std::vector<Pixel> storage(static_cast<std::size_t>(visited.size()));
    View2D<Pixel> const nearest{storage.data(), visited.ny, visited.nx};
    nearest_sample(visited, nearest, n_threads);
    parallel_for(visited.ny, n_threads, [&](index y) {
        for (index x = 0; x < visited.nx; ++x) {
            distance(y, x) = static_cast<float>(std::sqrt(static_cast<double>(squared_distance(nearest(y, x), y, x))));
        }
    });
}

void natural_neighbour(View2D<float const> intensity, View2D<bool const> visited, View2D<float> filled, int n_threads) {
    std::vector<Pixel> storage(static_cast<std::size_t>(visited.size()));
    View2D<Pixel> const nearest{storage.data(), visited.ny, visited.nx};
    nearest_sample(visited, nearest, n_threads);

    std::vector<index> reach(static_cast<std::size_t>(visited.ny));
    parallel_for(visited.ny, n_threads, [&](index y) {
        index furthest = 0;
        for (index x = 0; x < visited.nx; ++x) furthest = std::max(furthest, squared_distance(nearest(y, x), y, x));
        reach[static_cast<std::size_t>(y)] = floor_sqrt(furthest);
    });
    Sibson const sibson{intensity, visited, nearest, std::move(reach), Levels(intensity, visited)};
    constexpr index band_height = 64;
    parallel_for(chunks(visited.ny, band_height), n_threads, [&](index band) {
        index const y0 = band * band_height;
        sibson.fill_band(filled, y0, std::min(y0 + band_height, visited.ny));
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
                line[static_cast<std::size_t>(i)] = row[reflected(i - radius, image.nx)];
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
                auto const from = reflected(y + static_cast<index>(k) - radius, image.ny);
                float const *const source = before.data() + static_cast<std::size_t>(from) * width;
                for (std::size_t x = 0; x < width; ++x) sum[x] += weight[k] * source[x];
            }
            std::transform(sum.begin(), sum.end(), image.row(y) + x0, [](double s) { return static_cast<float>(s); });
        }
    });
}

}  // namespace semrt
