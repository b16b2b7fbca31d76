#include "kriging.hpp"

#include "parallel.hpp"
#include "samples.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace semrt {

namespace {

constexpr index n_near = 16;
constexpr index n_far = 24;
constexpr float grain = 0.6F;  // of the thinned set, in typical gaps: measured best on spirals and line hops
constexpr index max_neighbours = n_near + n_far;
constexpr index block = 4;  // side [px]; larger ones save time and show as squares where the field is smooth
constexpr index max_pixels = block * block;
// No image follows its variogram to better than this share of the sill; to assume less noise makes weights run wild.
constexpr double least_noise = 3e-4;
constexpr double prior_degrees_of_freedom =
    12;  // how much the global variogram weighs in the local scale of the variance

// Covariance by table, since exp and pow would cost more than all the rest.
class CovarianceTable {
  public:
    CovarianceTable(Variogram const &variogram, double largest_distance) {
        for (index i = 0; i <= n_fine + 1; ++i)
            fine_.push_back(value(variogram, static_cast<double>(i) / steps_per_px));
        auto const n_coarse = static_cast<index>(largest_distance) + 2;
        for (index i = 0; i <= n_coarse; ++i) coarse_.push_back(value(variogram, static_cast<double>(i)));
    }
    float operator()(float distance2) const {
        float const r = std::sqrt(distance2);
        return r < near_px ? interpolate(fine_, r * steps_per_px) : interpolate(coarse_, r);
    }

  private:
    static constexpr float near_px = 64.0F;
    static constexpr float steps_per_px = 64.0F;
    static constexpr index n_fine = 64 * 64;

    static float value(Variogram const &variogram, double r) { return static_cast<float>(variogram.covariance(r)); }
    static float interpolate(std::vector<float> const &table, float at) {
        auto const i = static_cast<std::size_t>(at);
        float const t = at - static_cast<float>(i);
        return table[i] + t * (table[i + 1] - table[i]);
    }

    std::vector<float> fine_, coarse_;
};

// The distance [px] between neighbouring arms or points, judged by how far unvisited pixels are from samples.
float typical_gap(SampleGrid const &grid, index ny, index nx) {
    constexpr index probes_per_axis = 48;
    std::vector<Neighbour> found;
    double sum = 0;
    for (index i = 0; i < probes_per_axis; ++i) {
        for (index j = 0; j < probes_per_axis; ++j) {
            auto const y = (static_cast<float>(i) + 0.5F) * static_cast<float>(ny) / probes_per_axis;
            auto const x = (static_cast<float>(j) + 0.5F) * static_cast<float>(nx) / probes_per_axis;
            grid.nearest(y, x, 1, found);
            sum += std::sqrt(static_cast<double>(found[0].distance2));
        }
    }
    // Between parallel lines a distance p apart the mean distance to the nearest is p / 4.
    return std::max(2.0F, static_cast<float>(4 * sum / (probes_per_axis * probes_per_axis)));
}

struct Field {
    View2D<float const> intensity, exposure;
    Variogram variogram;
    CovarianceTable covariance;
    SampleGrid near, far;
    float noise(Sample const &s) const {
        auto const nugget = static_cast<float>(variogram.nugget);
        return exposure.size() > 0 ? nugget / exposure(s.y, s.x) : nugget;
    }
};

// The samples that one block of pixels is estimated from.
struct Neighbourhood {
    index n = 0;
    std::array<float, max_neighbours> y, x, value, noise;

    void add(Sample const &s, Field const &field) {
        auto const i = static_cast<std::size_t>(n++);
        y[i] = static_cast<float>(s.y);
        x[i] = static_cast<float>(s.x);
        value[i] = field.intensity(s.y, s.x);
        noise[i] = field.noise(s);
    }
    bool holds(Sample const &s) const {
        for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
            if (y[i] == static_cast<float>(s.y) && x[i] == static_cast<float>(s.x)) return true;
        }
        return false;
    }
};

void gather(Field const &field, float y, float x, std::vector<Neighbour> &found, Neighbourhood &hood) {
    hood.n = 0;
    field.near.nearest(y, x, n_near, found);
    for (auto const &f : found) hood.add(field.near.samples()[static_cast<std::size_t>(f.sample)], field);
    index const n_nearest = hood.n;
    field.far.nearest(y, x, n_near + n_far, found);
    for (auto const &f : found) {
        auto const &s = field.far.samples()[static_cast<std::size_t>(f.sample)];
        if (hood.n < n_nearest + n_far && !hood.holds(s)) hood.add(s, field);
    }
}

// The solved system of one neighbourhood: covariance = U^T U, and what follows from it for any pixel.
class System {
  public:
    void solve(Neighbourhood const &hood, Field const &field) {
        n_ = hood.n;
        factorise(hood, field);
        Vector ones, residual;
        for (index i = 0; i < n_; ++i) ones[at(i)] = 1, residual[at(i)] = hood.value[at(i)];
        forward(ones);
        forward(residual);
        double ones_ones = 0, ones_value = 0;
        for (index i = 0; i < n_; ++i) {
            ones_ones += ones[at(i)] * ones[at(i)];
            ones_value += ones[at(i)] * residual[at(i)];
        }
        mean_ = ones_value / ones_ones;
        mean_variance_ = 1 / ones_ones;
        double squares = 0;
        for (index i = 0; i < n_; ++i) {
            residual[at(i)] -= mean_ * ones[at(i)];
            squares += residual[at(i)] * residual[at(i)];
            whitened_ones_[at(i)] = static_cast<float>(ones[at(i)]);
            whitened_residual_[at(i)] = static_cast<float>(residual[at(i)]);
        }
        scale_ = (squares + prior_degrees_of_freedom) / (static_cast<double>(n_ - 1) + prior_degrees_of_freedom);
    }

    // covariances: (n, n_pixels), of each neighbour with each pixel; overwritten.
    void estimate(float *covariances, index n_pixels, float sill, float *estimate, float *variance) const {
        std::array<float, max_pixels> explained{}, weights{}, value{};
        for (index i = 0; i < n_; ++i) {
            float *const row = covariances + i * n_pixels;
            auto const inverse = static_cast<float>(inverse_diagonal_[at(i)]);
            for (index p = 0; p < n_pixels; ++p) row[p] *= inverse;
            for (index j = i + 1; j < n_; ++j) {
                auto const u = static_cast<float>(upper_[at(i * max_neighbours + j)]);
                float *const other = covariances + j * n_pixels;
                for (index p = 0; p < n_pixels; ++p) other[p] -= u * row[p];
            }
            float const one = whitened_ones_[at(i)], residual = whitened_residual_[at(i)];
            for (index p = 0; p < n_pixels; ++p) {
                explained[at(p)] += row[p] * row[p];
                weights[at(p)] += row[p] * one;
                value[at(p)] += row[p] * residual;
            }
        }
        auto const mean = static_cast<float>(mean_), mean_variance = static_cast<float>(mean_variance_);
        auto const scale = static_cast<float>(scale_);
        for (index p = 0; p < n_pixels; ++p) {
            float const unexplained = std::max(0.0F, sill - explained[at(p)]);
            float const missing = 1 - weights[at(p)];
            estimate[p] = mean + value[at(p)];
            variance[p] = scale * (unexplained + missing * missing * mean_variance);
        }
    }

  private:
    using Vector = std::array<double, max_neighbours>;
    static constexpr std::size_t at(index i) { return static_cast<std::size_t>(i); }

    void factorise(Neighbourhood const &hood, Field const &field) {
        double const floor = least_noise * field.variogram.sill;
        for (index i = 0; i < n_; ++i) {
            double *const row = &upper_[at(i * max_neighbours)];
            row[i] = field.variogram.sill + std::max(floor, static_cast<double>(hood.noise[at(i)]));
            for (index j = i + 1; j < n_; ++j) {
                float const dy = hood.y[at(i)] - hood.y[at(j)], dx = hood.x[at(i)] - hood.x[at(j)];
                row[j] = static_cast<double>(field.covariance(dy * dy + dx * dx));
            }
        }
        for (index i = 0; i < n_; ++i) {
            double *const row = &upper_[at(i * max_neighbours)];
            // At least the floor, less what rounding takes: single precision takes a hundredth of it.
            double const inverse = 1 / std::sqrt(row[i]);
            inverse_diagonal_[at(i)] = inverse;
            for (index j = i + 1; j < n_; ++j) row[j] *= inverse;
            for (index k = i + 1; k < n_; ++k) {
                double *const below = &upper_[at(k * max_neighbours)];
                double const factor = row[k];
                for (index j = k; j < n_; ++j) below[j] -= factor * row[j];
            }
        }
    }

    // Solves U^T y = b in place.
    void forward(Vector &b) const {
        for (index i = 0; i < n_; ++i) {
            double const *const row = &upper_[at(i * max_neighbours)];
            b[at(i)] *= inverse_diagonal_[at(i)];
            for (index j = i + 1; j < n_; ++j) b[at(j)] -= row[j] * b[at(i)];
        }
    }

    index n_ = 0;
    std::array<double, max_neighbours * max_neighbours> upper_;
    std::array<double, max_neighbours> inverse_diagonal_;
    std::array<float, max_neighbours> whitened_ones_, whitened_residual_;
    double mean_ = 0, mean_variance_ = 0, scale_ = 1;
};

bool any_wanted(View2D<bool const> wanted, index y0, index y1, index x0, index x1) {
    if (wanted.size() == 0) return true;
    for (index y = y0; y < y1; ++y) {
        if (std::any_of(wanted.row(y) + x0, wanted.row(y) + x1, [](bool w) { return w; })) return true;
    }
    return false;
}

void fill_with_mean(View2D<float const> intensity, std::vector<Sample> const &samples, double nugget,
                    View2D<float> estimate, View2D<float> variance) {
    double sum = 0;
    for (auto const &s : samples) sum += static_cast<double>(intensity(s.y, s.x));
    auto const n = static_cast<double>(samples.size());
    std::fill_n(estimate.data, estimate.size(), static_cast<float>(sum / n));
    std::fill_n(variance.data, variance.size(), static_cast<float>(nugget / n));
}

}  // namespace

void krige(View2D<float const> intensity, View2D<bool const> visited, View2D<float const> exposure,
           View2D<bool const> wanted, Variogram const &variogram, View2D<float> estimate, View2D<float> variance,
           int n_threads) {
    index const ny = intensity.ny, nx = intensity.nx;
    auto samples = visited_samples(visited);
    if (variogram.sill <= 0) {
        fill_with_mean(intensity, samples, variogram.nugget, estimate, variance);
        return;
    }
    SampleGrid near(samples, ny, nx);
    float const gap = typical_gap(near, ny, nx);
    SampleGrid far(thinned(samples, ny, nx, grain * gap), ny, nx);
    double const diagonal = std::hypot(static_cast<double>(ny), static_cast<double>(nx));
    Field const field{intensity,       exposure,      variogram, CovarianceTable(variogram, diagonal),
                      std::move(near), std::move(far)};

    auto const work = [&](index row_of_blocks) {
        std::vector<Neighbour> found;
        Neighbourhood hood;
        System system;
        std::array<float, max_neighbours * max_pixels> covariances;
        std::array<float, max_pixels> block_estimate, block_variance;
        index const y0 = row_of_blocks * block, y1 = std::min(ny, y0 + block);
        for (index x0 = 0; x0 < nx; x0 += block) {
            index const x1 = std::min(nx, x0 + block), width = x1 - x0;
            if (!any_wanted(wanted, y0, y1, x0, x1)) continue;
            gather(field, 0.5F * static_cast<float>(y0 + y1 - 1), 0.5F * static_cast<float>(x0 + x1 - 1), found, hood);
            system.solve(hood, field);
            index const n_pixels = (y1 - y0) * width;
            for (index i = 0; i < hood.n; ++i) {
                auto *row = covariances.data() + i * n_pixels;
                auto const sample = static_cast<std::size_t>(i);
                for (index y = y0; y < y1; ++y) {
                    float const dy = hood.y[sample] - static_cast<float>(y);
                    for (index x = x0; x < x1; ++x) {
                        float const dx = hood.x[sample] - static_cast<float>(x);
                        *row++ = field.covariance(dy * dy + dx * dx);
                    }
                }
            }
            system.estimate(covariances.data(), n_pixels, static_cast<float>(variogram.sill), block_estimate.data(),
                            block_variance.data());
            for (index p = 0; p < n_pixels; ++p) {
                estimate(y0 + p / width, x0 + p % width) = block_estimate[static_cast<std::size_t>(p)];
                variance(y0 + p / width, x0 + p % width) = block_variance[static_cast<std::size_t>(p)];
            }
        }
    };
    parallel_for((ny + block - 1) / block, n_threads, work);
}

}  // namespace semrt
