#include "layer_table.hpp"

#include "parallel.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace semrt {

namespace {

// Eigenvectors of a symmetric matrix, as rows, that of the largest eigenvalue first, by Jacobi's rotations.
std::vector<std::vector<double>> principal_axes(std::vector<std::vector<double>> matrix) {
    auto const n = matrix.size();
    std::vector<std::vector<double>> axes(n, std::vector<double>(n, 0.0));
    for (std::size_t i = 0; i < n; ++i) axes[i][i] = 1;
    auto const turn = [](double &a, double &b, double c, double s) {
        double const old = a;
        a = c * old - s * b;
        b = s * old + c * b;
    };
    constexpr int sweeps = 60;
    for (int sweep = 0; sweep < sweeps; ++sweep) {
        double off = 0, on = 0;
        for (std::size_t i = 0; i < n; ++i) {
            on += matrix[i][i] * matrix[i][i];
            for (std::size_t j = 0; j < i; ++j) off += matrix[i][j] * matrix[i][j];
        }
        if (off <= 1e-30 * on) break;
        for (std::size_t p = 0; p + 1 < n; ++p) {
            for (std::size_t q = p + 1; q < n; ++q) {
                if (matrix[p][q] == 0) continue;
                double const theta = (matrix[q][q] - matrix[p][p]) / (2 * matrix[p][q]);
                double const t = (theta < 0 ? -1.0 : 1.0) / (std::abs(theta) + std::hypot(theta, 1.0));
                double const c = 1 / std::hypot(t, 1.0), s = t * c;
                for (std::size_t k = 0; k < n; ++k) turn(matrix[k][p], matrix[k][q], c, s);
                for (std::size_t k = 0; k < n; ++k) turn(matrix[p][k], matrix[q][k], c, s);
                for (std::size_t k = 0; k < n; ++k) turn(axes[p][k], axes[q][k], c, s);
            }
        }
    }
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return matrix[a][a] > matrix[b][b]; });
    std::vector<std::vector<double>> sorted;
    for (auto const i : order) sorted.push_back(axes[i]);
    return sorted;
}

}  // namespace

LayerTable::LayerTable(View3D<double const> signals, View1D<double const> lower, View1D<double const> upper,
                       double noise)
    : noise_(noise) {
    for (double const thickness : lower) lower_.push_back(static_cast<float>(thickness));
    for (double const thickness : upper) upper_.push_back(static_cast<float>(thickness));
    auto const n = static_cast<std::size_t>(signals.nz);
    auto const n_labels = signals.ny * signals.nx;
    auto const count = static_cast<double>(n_labels);
    std::vector<double> logs(static_cast<std::size_t>(signals.size()));
    for (index i = 0; i < signals.size(); ++i) logs[static_cast<std::size_t>(i)] = std::log(signals.data[i]);
    auto const of = [&](std::size_t energy) { return logs.data() + static_cast<index>(energy) * n_labels; };
    for (std::size_t e = 0; e < n; ++e) {
        double const *const values = of(e);
        double const mean = std::accumulate(values, values + n_labels, 0.0) / count;
        for (index l = 0; l < n_labels; ++l) of(e)[l] -= mean;
        mean_.push_back(mean);
        constexpr double believed = 0.1;  // a dead pixel counts as a tenth of the darkest sample
        floor_.push_back(believed * std::exp(mean + *std::min_element(values, values + n_labels)));
    }
    std::vector<std::vector<double>> covariance(n, std::vector<double>(n));
    for (std::size_t a = 0; a < n; ++a) {
        for (std::size_t b = 0; b <= a; ++b) {
            covariance[a][b] = covariance[b][a] = std::inner_product(of(a), of(a) + n_labels, of(b), 0.0);
        }
    }
    auto const axes = principal_axes(std::move(covariance));
    features_.assign(static_cast<std::size_t>(n_labels), Features{});
    for (std::size_t k = 0; k < n_features; ++k) {
        basis_[k] = k < n ? axes[k] : std::vector<double>(n, 0.0);
        for (index l = 0; l < n_labels; ++l) {
            double sum = 0;
            for (std::size_t e = 0; e < n; ++e) sum += basis_[k][e] * of(e)[l];
            features_[static_cast<std::size_t>(l)][k] = static_cast<float>(sum / noise);
        }
    }
}

FeatureImage LayerTable::project(View3D<float const> stack, DetectorResponse const &response, int n_threads) const {
    FeatureImage image{stack.ny, stack.nx, {}, {}};
    auto const pixels = static_cast<std::size_t>(stack.ny * stack.nx);
    image.features.resize(pixels);
    image.outside.resize(pixels);
    parallel_for(stack.ny, n_threads, [&](index y) {
        auto const width = static_cast<std::size_t>(stack.nx);
        std::vector<double> squares(width, 0.0), along(n_features * width, 0.0);
        for (std::size_t e = 0; e < mean_.size(); ++e) {
            float const *const row = stack.plane(static_cast<index>(e)).row(y);
            for (std::size_t x = 0; x < width; ++x) {
                double const signal = (static_cast<double>(row[x]) - response.offset) / response.gain[e];
                // The logarithm of 1 + noise is less than 0 by half its variance in the mean.
                double const value =
                    (std::log(std::max(signal, floor_[e])) + 0.5 * noise_ * noise_ - mean_[e]) / noise_;
                squares[x] += value * value;
                for (std::size_t k = 0; k < n_features; ++k) along[k * width + x] += basis_[k][e] * value;
            }
        }
        for (std::size_t x = 0; x < width; ++x) {
            auto const pixel = static_cast<std::size_t>(y) * width + x;
            double outside = squares[x];
            for (std::size_t k = 0; k < n_features; ++k) {
                double const feature = along[k * width + x];
                image.features[pixel][k] = static_cast<float>(feature);
                outside -= feature * feature;
            }
            image.outside[pixel] = static_cast<float>(std::max(outside, 0.0));
        }
    });
    return image;
}

}  // namespace semrt
