#include "column_search.hpp"

#include "parallel.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace semrt {

namespace {

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

// Places `step` apart along one axis at which a column is tried, the first `margin` steps outside the field.
struct Trials {
    index step, margin, n;

    Trials(index every, double outside, index n_pixels)
        : step(every),
          margin(static_cast<index>(outside / static_cast<double>(every))),
          n((n_pixels - 1) / every + 1 + 2 * margin) {}
    index pixel(index i) const { return (i - margin) * step; }
};

// exp(-t^2 / 2 width^2), its square and 1, for t = -reach .. reach.
struct Kernels {
    index reach;
    std::vector<float> value, square, one;

    explicit Kernels(double width) : reach(static_cast<index>(2.5 * width) + 1) {
        for (index t = -reach; t <= reach; ++t) {
            double const r = static_cast<double>(t) / width;
            value.push_back(static_cast<float>(std::exp(-0.5 * r * r)));
            square.push_back(static_cast<float>(std::exp(-r * r)));
            one.push_back(1);
        }
    }
};

// Sums over windows at the trials of one row: first along y at every pixel, then along x at the trials alone.
class RowOfTrials {
  public:
    RowOfTrials(Trials const &columns, Kernels const &kernels, index nx)
        : columns_(columns),
          reach_(kernels.reach),
          lead_(columns.margin * columns.step + kernels.reach),
          nx_(nx),
          line_(at((columns.n + 2) * columns.step + 2 * kernels.reach), 0.0F),
          phases_(at(columns.step), std::vector<float>(line_.size() / at(columns.step) + 1)) {}

    // sums[i] = sum over (dy, dx) of of_y[dy] of_x[dx] values(y + dy, trial i + dx), nothing outside the field.
    template <class Values>
    void sum(index y, index ny, std::vector<float> const &of_y, std::vector<float> const &of_x, Values const &values,
             std::vector<float> &sums) {
        std::fill(line_.begin(), line_.end(), 0.0F);
        float *const line = line_.data() + lead_;
        for (index t = std::max(-reach_, -y); t <= std::min(reach_, ny - 1 - y); ++t) {
            float const weight = of_y[at(t + reach_)];
            auto const row = values(y + t);
            for (index x = 0; x < nx_; ++x) line[x] += weight * row(x);
        }
        // Pixels `step` apart side by side, so that neighbouring trials are added together.
        for (index phase = 0; phase < columns_.step; ++phase) {
            auto &some = phases_[at(phase)];
            for (std::size_t i = 0; i < some.size(); ++i) {
                std::size_t const from = i * at(columns_.step) + at(phase);
                some[i] = from < line_.size() ? line_[from] : 0.0F;
            }
        }
        sums.assign(at(columns_.n), 0.0F);
        for (index t = -reach_; t <= reach_; ++t) {
            index const first = columns_.pixel(0) + t + lead_;
            float const *const from = phases_[at(first % columns_.step)].data() + first / columns_.step;
            float const weight = of_x[at(t + reach_)];
            for (index i = 0; i < columns_.n; ++i) sums[at(i)] += weight * from[i];
        }
    }

  private:
    Trials columns_;
    index reach_, lead_, nx_;
    std::vector<float> line_;
    std::vector<std::vector<float>> phases_;
};

struct Maps {
    std::vector<float> height, significance;
};

// Height and significance of a column at every trial, an even background eliminated.
Maps look(View2D<float const> residual, View2D<float const> weight, double width, Trials const &rows,
          Trials const &columns, int n_threads) {
    Kernels const kernels(width);
    Maps maps{std::vector<float>(at(rows.n * columns.n), 0.0F), std::vector<float>(at(rows.n * columns.n), 0.0F)};
    parallel_for(rows.n, n_threads, [&](index i) {
        RowOfTrials row(columns, kernels, residual.nx);
        std::array<std::vector<float>, 5> sums;
        index const y = rows.pixel(i);
        auto const weights = [&](index r) { return [w = weight.row(r)](index x) { return w[x]; }; };
        auto const weighted = [&](index r) {
            return [w = weight.row(r), v = residual.row(r)](index x) { return w[x] * v[x]; };
        };
        row.sum(y, residual.ny, kernels.value, kernels.value, weighted, sums[0]);
        row.sum(y, residual.ny, kernels.one, kernels.one, weighted, sums[1]);
        row.sum(y, residual.ny, kernels.square, kernels.square, weights, sums[2]);
        row.sum(y, residual.ny, kernels.value, kernels.value, weights, sums[3]);
        row.sum(y, residual.ny, kernels.one, kernels.one, weights, sums[4]);
        for (index j = 0; j < columns.n; ++j) {
            float const mean = sums[4][at(j)] > 0 ? sums[3][at(j)] / sums[4][at(j)] : 0.0F;
            float const information = sums[2][at(j)] - mean * sums[3][at(j)];
            if (!(information > 0.05F * sums[2][at(j)])) continue;  // so little of it is in the field that it is flat
            float const height = (sums[0][at(j)] - mean * sums[1][at(j)]) / information;
            maps.height[at(i * columns.n + j)] = height;
            maps.significance[at(i * columns.n + j)] = height * std::sqrt(information);
        }
    });
    return maps;
}

// Of a parabola through three values, the place of the summit from the middle one, at most half a step away.
double summit(float before, float here, float after) {
    float const bend = 2 * here - before - after;
    return bend > 0 ? static_cast<double>(std::clamp(0.5F * (after - before) / bend, -0.5F, 0.5F)) : 0.0;
}

}  // namespace

std::vector<Sighting> search_residual(View2D<float const> residual, View2D<float const> weight, double width,
                                      double margin, double least, int n_threads) {
    index const step = std::max<index>(1, static_cast<index>(width / 1.2));
    Trials const rows(step, margin, residual.ny), columns(step, margin, residual.nx);
    auto const maps = look(residual, weight, width, rows, columns, n_threads);
    std::vector<Sighting> found;
    for (index i = 0; i < rows.n; ++i) {
        for (index j = 0; j < columns.n; ++j) {
            float const here = maps.significance[at(i * columns.n + j)];
            if (!(std::abs(here) >= static_cast<float>(least))) continue;
            float const sign = here < 0 ? -1.0F : 1.0F, own = sign * here;
            auto const value = [&](index dy, index dx) {
                index const y = i + dy, x = j + dx;
                bool const there = y >= 0 && x >= 0 && y < rows.n && x < columns.n;
                return there ? sign * maps.significance[at(y * columns.n + x)] : -1.0F;
            };
            // Of equal neighbours the last remains.
            bool const first_half = own >= std::max({value(-1, -1), value(-1, 0), value(-1, 1), value(0, -1)});
            bool const second_half = own > std::max({value(0, 1), value(1, -1), value(1, 0), value(1, 1)});
            if (!first_half || !second_half) continue;
            auto const unit = static_cast<double>(step);
            double const y = static_cast<double>(rows.pixel(i)) + unit * summit(value(-1, 0), own, value(1, 0));
            double const x = static_cast<double>(columns.pixel(j)) + unit * summit(value(0, -1), own, value(0, 1));
            auto const height = static_cast<double>(maps.height[at(i * columns.n + j)]);
            found.push_back({y, x, height, static_cast<double>(here)});
        }
    }
    return found;
}

std::vector<Sighting> search_border(View2D<float const> residual, View2D<float const> weight, double width,
                                    double margin, double least, int n_threads) {
    index const ny = residual.ny, nx = residual.nx;
    index const depth_y = std::min(static_cast<index>(6 * width) + 1, ny);
    index const depth_x = std::min(static_cast<index>(6 * width) + 1, nx);
    struct Strip {
        index y, x, ny, nx;
    };
    std::array<Strip, 4> const strips{
        {{0, 0, depth_y, nx}, {ny - depth_y, 0, depth_y, nx}, {0, 0, ny, depth_x}, {0, nx - depth_x, ny, depth_x}}};
    std::vector<Sighting> found;
    for (auto const &strip : strips) {
        std::vector<float> values, weights;
        for (index y = strip.y; y < strip.y + strip.ny; ++y) {
            values.insert(values.end(), residual.row(y) + strip.x, residual.row(y) + strip.x + strip.nx);
            weights.insert(weights.end(), weight.row(y) + strip.x, weight.row(y) + strip.x + strip.nx);
        }
        for (auto sighting : search_residual({values.data(), strip.ny, strip.nx}, {weights.data(), strip.ny, strip.nx},
                                             width, margin, least, n_threads)) {
            sighting.y += static_cast<double>(strip.y), sighting.x += static_cast<double>(strip.x);
            double const inside = std::min({sighting.y, sighting.x, static_cast<double>(ny - 1) - sighting.y,
                                            static_cast<double>(nx - 1) - sighting.x});
            if (inside < width) found.push_back(sighting);
        }
    }
    return found;
}

}  // namespace semrt
