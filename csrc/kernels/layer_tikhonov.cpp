#include "layer_tikhonov.hpp"

#include "conjugate_gradient.hpp"
#include "layer_search.hpp"
#include "parallel.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace semrt {

namespace {

constexpr int outer_steps = 20;
constexpr int inner_steps = 30;
constexpr double tolerance = 1e-2;
constexpr double longest = 0.1;  // of a range, in one step
constexpr double shares = 10;    // in which a range is measured
constexpr double first_damping = 0.01;
constexpr double least_weight = 1e-6;  // so that what the signals do not tell stays where it is

// Where a thickness lies between two labels, and how far they are apart.
struct Between {
    index before;
    float part, width;
};

template <class Thickness>
Between between(float thickness, index n, Thickness const &label) {
    index before = 0;
    for (index step = n; step > 0; step /= 2) {
        while (before + step < n - 1 && label(before + step) <= thickness) before += step;
    }
    if (n == 1) return {0, 0, 1};
    float const width = label(before + 1) - label(before);
    return {before, std::clamp((thickness - label(before)) / width, 0.0F, 1.0F), width};
}

struct LinearModel {
    Features at, lower_slope, upper_slope;
};

LinearModel linear_model(LayerTable const &table, float lower, float upper) {
    auto const i = between(lower, table.n_lower(), [&](index k) { return table.lower(k); });
    auto const j = between(upper, table.n_upper(), [&](index k) { return table.upper(k); });
    index const i1 = std::min(i.before + 1, table.n_lower() - 1), j1 = std::min(j.before + 1, table.n_upper() - 1);
    auto const &f00 = table.at({i.before, j.before}), &f01 = table.at({i.before, j1});
    auto const &f10 = table.at({i1, j.before}), &f11 = table.at({i1, j1});
    LinearModel model;
    for (std::size_t k = 0; k < n_features; ++k) {
        float const thin = f00[k] + j.part * (f01[k] - f00[k]), thick = f10[k] + j.part * (f11[k] - f10[k]);
        model.at[k] = thin + i.part * (thick - thin);
        model.lower_slope[k] = (thick - thin) / i.width;
        model.upper_slope[k] = (f01[k] - f00[k] + i.part * (f11[k] - f10[k] - f01[k] + f00[k])) / j.width;
    }
    return model;
}

using Pair = std::array<double, 2>;

// Thickness of both layers in units in which alpha weighs their differences.
class LeastSquares {
  public:
    LeastSquares(LayerTable const &table, FeatureImage const &image, double alpha, int n_threads)
        : table_(table), image_(image), alpha_(alpha), n_threads_(n_threads) {
        auto const unit = [](float first, float last) {
            return std::max(static_cast<double>(last - first), 1e-6) / shares;
        };
        first_ = {static_cast<double>(table.lower(0)), static_cast<double>(table.upper(0))};
        unit_ = {unit(table.lower(0), table.lower(table.n_lower() - 1)),
                 unit(table.upper(0), table.upper(table.n_upper() - 1))};
        auto const size = 2 * image.features.size();
        at_.resize(size);
        right_.resize(size);
        diagonal_.resize(size);
        mixed_.resize(image.features.size());
        own_.resize(size);
        damping_.assign(image.features.size(), first_damping);
        LabelSearch const search(table);
        parallel_for(image.ny, n_threads, [&](index y) {
            for (index x = 0; x < image.nx; ++x) {
                auto const p = pixel(y, x);
                auto const label = search.nearest(image.features[p]).label;
                at_[2 * p] = (static_cast<double>(table.lower(label.lower)) - first_[0]) / unit_[0];
                at_[2 * p + 1] = (static_cast<double>(table.upper(label.upper)) - first_[1]) / unit_[1];
            }
        });
    }

    void step() {
        linearise();
        auto const moved = conjugate_gradient([&](auto const &x, auto &product) { multiply(x, product); }, diagonal_,
                                              right_, 2 * image_.nx, inner_steps, tolerance, n_threads_);
        auto const before = at_;
        for (std::size_t i = 0; i < at_.size(); ++i) {
            double const move = std::clamp(moved[i], -longest * shares, longest * shares);
            at_[i] = std::clamp(at_[i] + move, 0.0, shares);
        }
        // Where that made it worse, as at the jump between no layer and a thin one, the pixel stays and next goes less.
        std::vector<Pair> kept(damping_.size());
        parallel_for(image_.ny, n_threads_, [&](index y) {
            for (index x = 0; x < image_.nx; ++x) {
                auto const p = pixel(y, x);
                Pair const old{before[2 * p], before[2 * p + 1]}, now{at_[2 * p], at_[2 * p + 1]};
                bool const better = cost(before, y, x, now) <= cost(before, y, x, old);
                kept[p] = better ? now : old;
                damping_[p] = better ? damping_[p] / 4 : std::max(4 * damping_[p], first_damping);
            }
        });
        for (std::size_t p = 0; p < kept.size(); ++p) at_[2 * p] = kept[p][0], at_[2 * p + 1] = kept[p][1];
    }

    void write(LayerMaps const &maps) {
        damping_.assign(damping_.size(), 0.0);
        linearise();
        parallel_for(image_.ny, n_threads_, [&](index y) {
            for (index x = 0; x < image_.nx; ++x) {
                auto const p = pixel(y, x);
                auto const [lower, upper] = thickness(p);
                maps.thickness(0, y, x) = lower;
                maps.thickness(1, y, x) = upper;
                double const a = diagonal_[2 * p], b = diagonal_[2 * p + 1];
                double const determinant = std::max(a * b - mixed_[p] * mixed_[p], least_weight * a * b);
                maps.sigma(0, y, x) = static_cast<float>(unit_[0] * std::sqrt(b / determinant));
                maps.sigma(1, y, x) = static_cast<float>(unit_[1] * std::sqrt(a / determinant));
                auto const expected = linear_model(table_, lower, upper).at;
                maps.cost(y, x) =
                    mean_square(table_, squared_distance(image_.features[p], expected), image_.outside[p]);
            }
        });
    }

  private:
    std::size_t pixel(index y, index x) const { return static_cast<std::size_t>(y * image_.nx + x); }

    std::array<float, 2> thickness(Pair const &at) const {
        return {static_cast<float>(first_[0] + unit_[0] * at[0]), static_cast<float>(first_[1] + unit_[1] * at[1])};
    }
    std::array<float, 2> thickness(std::size_t p) const { return thickness(Pair{at_[2 * p], at_[2 * p + 1]}); }

    // Twice what is minimised, as far as a pixel at `at` has part in it.
    double cost(std::vector<double> const &around, index y, index x, Pair const &at) const {
        auto const [lower, upper] = thickness(at);
        auto const &features = image_.features[pixel(y, x)];
        auto sum = static_cast<double>(squared_distance(features, linear_model(table_, lower, upper).at));
        auto const add = [&](bool inside, index yn, index xn) {
            if (!inside) return;
            auto const q = 2 * pixel(yn, xn);
            double const of_lower = at[0] - around[q], of_upper = at[1] - around[q + 1];
            sum += alpha_ * (of_lower * of_lower + of_upper * of_upper);
        };
        add(y > 0, y - 1, x);
        add(y + 1 < image_.ny, y + 1, x);
        add(x > 0, y, x - 1);
        add(x + 1 < image_.nx, y, x + 1);
        return sum;
    }

    // alpha times what the 4 neighbours of a pixel differ from it, and how many they are.
    double roughness(std::vector<double> const &x, index row, index column, std::size_t layer, int &n) const {
        auto const p = pixel(row, column);
        double sum = 0;
        n = 0;
        auto const add = [&](bool inside, index y, index xn) {
            if (!inside) return;
            sum += x[2 * p + layer] - x[2 * pixel(y, xn) + layer];
            ++n;
        };
        add(row > 0, row - 1, column);
        add(row + 1 < image_.ny, row + 1, column);
        add(column > 0, row, column - 1);
        add(column + 1 < image_.nx, row, column + 1);
        return alpha_ * sum;
    }

    void linearise() {
        parallel_for(image_.ny, n_threads_, [&](index y) {
            for (index x = 0; x < image_.nx; ++x) {
                auto const p = pixel(y, x);
                auto const [lower, upper] = thickness(p);
                auto const model = linear_model(table_, lower, upper);
                double ll = 0, lu = 0, uu = 0, right_lower = 0, right_upper = 0;
                for (std::size_t k = 0; k < n_features; ++k) {
                    double const residual = static_cast<double>(image_.features[p][k] - model.at[k]);
                    double const l = unit_[0] * static_cast<double>(model.lower_slope[k]);
                    double const u = unit_[1] * static_cast<double>(model.upper_slope[k]);
                    ll += l * l, lu += l * u, uu += u * u;
                    right_lower += l * residual, right_upper += u * residual;
                }
                int n = 0;
                right_[2 * p] = right_lower - roughness(at_, y, x, 0, n);
                right_[2 * p + 1] = right_upper - roughness(at_, y, x, 1, n);
                double const more = 1 + damping_[p];
                own_[2 * p] = more * ll + least_weight, own_[2 * p + 1] = more * uu + least_weight, mixed_[p] = lu;
                diagonal_[2 * p] = own_[2 * p] + alpha_ * n;
                diagonal_[2 * p + 1] = own_[2 * p + 1] + alpha_ * n;
                // What has reached a bound and is drawn beyond it stays there.
                for (std::size_t layer = 0; layer < 2; ++layer) {
                    auto const i = 2 * p + layer;
                    bool const held = (at_[i] <= 0 && right_[i] < 0) || (at_[i] >= shares && right_[i] > 0);
                    if (held) right_[i] = 0;
                }
            }
        });
    }

    void multiply(std::vector<double> const &x, std::vector<double> &product) const {
        parallel_for(image_.ny, n_threads_, [&](index row) {
            for (index column = 0; column < image_.nx; ++column) {
                auto const p = pixel(row, column);
                int n = 0;
                product[2 * p] = own_[2 * p] * x[2 * p] + mixed_[p] * x[2 * p + 1] + roughness(x, row, column, 0, n);
                product[2 * p + 1] =
                    own_[2 * p + 1] * x[2 * p + 1] + mixed_[p] * x[2 * p] + roughness(x, row, column, 1, n);
            }
        });
    }

    LayerTable const &table_;
    FeatureImage const &image_;
    double alpha_;
    int n_threads_;
    Pair first_{}, unit_{};
    std::vector<double> at_, right_, diagonal_, own_, mixed_, damping_;
};

}  // namespace

void tikhonov_layers(LayerTable const &table, View3D<float const> stack, DetectorResponse const &response, double alpha,
                     LayerMaps const &maps, int n_threads) {
    auto const image = table.project(stack, response, n_threads);
    LeastSquares squares(table, image, alpha, n_threads);
    for (int i = 0; i < outer_steps; ++i) squares.step();
    squares.write(maps);
}

}  // namespace semrt
