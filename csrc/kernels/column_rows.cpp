#include "column_rows.hpp"

#include "banded.hpp"
#include "column_profile.hpp"
#include "nearest.hpp"
#include "parallel.hpp"
#include "random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace semrt {

namespace {

constexpr index rim = 2;  // [px] that derivatives need on each side

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

// Derivatives of the model along y and x in row y, to the fourth order, and second ones.
struct Slopes {
    std::vector<float> along_y, along_x, bend_y, bend_x;

    explicit Slopes(index nx) : along_y(at(nx), 0.0F), along_x(along_y), bend_y(along_y), bend_x(along_y) {}

    void find(View2D<float const> image, View2D<float const> residual, index y) {
        constexpr float near = 8.0F / 12, far = 1.0F / 12, middle = -30.0F / 12, beside = 16.0F / 12;
        std::array<float const *, 5> i, r;
        for (index k = -2; k <= 2; ++k) i[at(k + 2)] = image.row(y + k), r[at(k + 2)] = residual.row(y + k);
        for (index x = rim; x < image.nx - rim; ++x) {
            auto const model = [&](std::size_t row, index column) { return i[row][column] - r[row][column]; };
            float const here = model(2, x);
            float const y1 = model(1, x), y3 = model(3, x), y0 = model(0, x), y4 = model(4, x);
            float const x1 = model(2, x - 1), x3 = model(2, x + 1), x0 = model(2, x - 2), x4 = model(2, x + 2);
            along_y[at(x)] = near * (y3 - y1) - far * (y4 - y0);
            along_x[at(x)] = near * (x3 - x1) - far * (x4 - x0);
            bend_y[at(x)] = beside * (y1 + y3) + middle * here - far * (y0 + y4);
            bend_x[at(x)] = beside * (x1 + x3) + middle * here - far * (x0 + x4);
        }
    }
};

// What some pixels of a row say of its displacement: normal equations along y and x.
struct Evidence {
    double yy = 0, yx = 0, xx = 0, y = 0, x = 0;

    double determinant() const { return yy * xx - yx * yx; }
    bool is_enough() const { return determinant() > 1e-6 * yy * xx; }
    double shift_y() const { return (xx * y - yx * x) / determinant(); }
    double shift_x() const { return (yy * x - yx * y) / determinant(); }
    double variance_y() const { return xx / determinant(); }
    double variance_x() const { return yy / determinant(); }
};

Evidence operator+(Evidence const &a, Evidence const &b) {
    return {a.yy + b.yy, a.yx + b.yx, a.xx + b.xx, a.y + b.y, a.x + b.x};
}

Evidence evidence_of(View2D<float const> residual, View2D<float const> weight, index row, index from, index to,
                     Slopes const &slopes) {
    constexpr index at_once = 64;  // as many as single precision may add up
    Evidence all;
    for (index first = from; first < to; first += at_once) {
        float yy = 0, yx = 0, xx = 0, y = 0, x = 0;
        for (index i = first; i < std::min(first + at_once, to); ++i) {
            float const dy = slopes.along_y[at(i)], dx = slopes.along_x[at(i)], w = weight(row, i);
            float const r = residual(row, i);
            yy += w * dy * dy, yx += w * dy * dx, xx += w * dx * dx;
            y -= w * dy * r, x -= w * dx * r;
        }
        all = all + Evidence{static_cast<double>(yy), static_cast<double>(yx), static_cast<double>(xx),
                             static_cast<double>(y), static_cast<double>(x)};
    }
    return all;
}

// Variance of what two estimates of the same have in common, by their products; 0 if it may be chance.
double in_common(std::vector<double> const &products) {
    constexpr double significant = 5;  // standard deviations of the mean
    double sum = 0, squares = 0;
    for (double const p : products) sum += p, squares += p * p;
    auto const n = static_cast<double>(products.size());
    return n >= 8 && sum > significant * std::sqrt(squares) ? sum / n : 0.0;
}

// How much each row says of each column's place along one axis.
struct Told {
    index first;                         // row
    std::vector<double> rows, gradient;  // information [1/px^2], and by how much more the misfit falls with a shift
    double sum = 0, whole_gradient = 0;
};

std::vector<Told> told_of(std::vector<Column> const &columns, View2D<float const> residual, View2D<float const> weight,
                          double width, bool along_y, int n_threads) {
    std::vector<Told> told(columns.size());
    parallel_for(chunks(static_cast<index>(columns.size()), 64), n_threads, [&](index chunk) {
        for (auto i = at(chunk * 64); i < std::min(at((chunk + 1) * 64), columns.size()); ++i) {
            auto const &column = columns[i];
            Span const rows(column.y, 3 * width, weight.ny), along(column.x, 3 * width, weight.nx);
            std::vector<double> slope_x;  // along x, or value if the slope is along y
            for (index x = along.first; x <= along.last; ++x) {
                double const t = (static_cast<double>(x) - column.x) / width;
                slope_x.push_back((along_y ? 1.0 : -t) * std::exp(-0.5 * t * t));
            }
            told[i].first = rows.first;
            for (index y = rows.first; y <= rows.last; ++y) {
                double const t = (static_cast<double>(y) - column.y) / width;
                double const slope_y = (along_y ? -t : 1.0) * std::exp(-0.5 * t * t) * column.height / width;
                double information = 0, gradient = 0;
                for (index x = along.first; x <= along.last; ++x) {
                    double const w = static_cast<double>(weight(y, x)), slope = slope_y * slope_x[at(x - along.first)];
                    information += w * slope * slope;
                    gradient -= w * slope * static_cast<double>(residual(y, x));
                }
                told[i].rows.push_back(information), told[i].gradient.push_back(gradient);
                told[i].sum += information, told[i].whole_gradient += gradient;
            }
        }
    });
    return told;
}

// What the rows' shifts would be if the columns were where they are now, columns eliminated: a matrix that says how
// well shifts are known without columns' places being known, and the right-hand side.
class RowProblem {
  public:
    RowProblem(std::vector<Told> told, index ny, double width)
        : told_(std::move(told)),
          ny_(ny),
          reach_(static_cast<index>(6 * width) + 1),
          seen_(at(ny), 0),
          gradient_(seen_) {
        for (auto const &column : told_) {
            if (!(column.sum > 0)) continue;
            for (std::size_t k = 0; k < column.rows.size(); ++k) {
                seen_[at(column.first) + k] += column.rows[k];
                // Less what the column itself would follow.
                gradient_[at(column.first) + k] +=
                    column.gradient[k] - column.rows[k] * column.whole_gradient / column.sum;
            }
        }
    }

    // Finds the shifts, and in so many rounds of expectation and maximisation their most probable variance.
    //
    // before: shifts that are undone already.
    RowShifts solve(std::vector<double> const &before, double variance, int most_rounds) const {
        RowShifts found{before, variance, 0};
        for (int round = 0; round < most_rounds; ++round) {
            BandedMatrix matrix(ny_, reach_);
            fill(matrix, found.variance);
            if (!matrix.factorise()) return {};
            std::vector<double> step(gradient_);
            for (std::size_t y = 0; y < step.size(); ++y) step[y] -= before[y] / found.variance;
            matrix.solve_lower(step), matrix.solve_upper(step);
            auto const [of_rows, of_columns] = scatter(matrix);
            double squares = 0;
            for (std::size_t y = 0; y < step.size(); ++y) squares += std::pow(found.shift[y] = before[y] + step[y], 2);
            found.kept = of_columns;
            if (round + 1 == most_rounds) break;
            double const next = squares / static_cast<double>(ny_) + of_rows;
            if (std::abs(next - found.variance) < 0.02 * found.variance) break;
            found.variance = next;
        }
        return found;
    }

  private:
    void fill(BandedMatrix &matrix, double variance) const {
        for (index y = 0; y < ny_; ++y) matrix.at(y, y) = seen_[at(y)] + 1 / variance;
        for (auto const &column : told_) {
            if (!(column.sum > 0)) continue;
            for (std::size_t i = 0; i < column.rows.size(); ++i) {
                for (std::size_t j = 0; j <= i; ++j) {
                    matrix.at(column.first + static_cast<index>(i), column.first + static_cast<index>(j)) -=
                        column.rows[i] * column.rows[j] / column.sum;
                }
            }
        }
    }

    struct Scatter {
        double of_rows, of_columns;  // mean variance of what is not known of shifts, and of columns' places from it
    };

    Scatter scatter(BandedMatrix const &factor) const {
        constexpr int n_trials = 8;
        Random random(0);
        double rows = 0, places = 0;
        for (int trial = 0; trial < n_trials; ++trial) {
            std::vector<double> error(at(ny_));
            for (auto &e : error) e = random.below(2) == 0 ? -1 : 1;
            factor.solve_upper(error);
            for (double const e : error) rows += e * e;
            for (auto const &column : told_) {
                double sum = 0;
                for (std::size_t k = 0; k < column.rows.size(); ++k)
                    sum += column.rows[k] * error[at(column.first) + k];
                if (column.sum > 0) places += std::pow(sum / column.sum, 2);
            }
        }
        return {rows / (n_trials * static_cast<double>(ny_)), places / (n_trials * static_cast<double>(told_.size()))};
    }

    std::vector<Told> told_;
    index ny_, reach_;
    std::vector<double> seen_, gradient_;
};

}  // namespace

RowShiftsOfBoth find_row_shifts(View2D<float const> image, View2D<float const> residual, View2D<float const> weight,
                                std::vector<Column> const &columns, double width, RowShiftsOfBoth const &before,
                                int n_threads) {
    index const ny = image.ny, nx = image.nx;
    if (ny <= 2 * rim || nx <= 2 * rim || columns.empty()) return {};
    std::vector<Evidence> left(at(ny)), right(at(ny));
    parallel_for(chunks(ny, rows_at_once), n_threads, [&](index chunk) {
        Slopes slopes(nx);
        index const first = std::max(chunk * rows_at_once, rim), last = std::min((chunk + 1) * rows_at_once, ny - rim);
        for (index row = first; row < last; ++row) {
            slopes.find(image, residual, row);
            left[at(row)] = evidence_of(residual, weight, row, rim, nx / 2, slopes);
            right[at(row)] = evidence_of(residual, weight, row, nx / 2, nx - rim, slopes);
        }
    });
    auto variance_y = before.y.variance, variance_x = before.x.variance;
    if (!before.any()) {
        // Noise, and whatever else the model lacks, differ between the halves of a row; its displacement does not.
        std::vector<double> products_y, products_x;
        for (std::size_t i = 0; i < left.size(); ++i) {
            if (!left[i].is_enough() || !right[i].is_enough()) continue;
            products_y.push_back(left[i].shift_y() * right[i].shift_y());
            products_x.push_back(left[i].shift_x() * right[i].shift_x());
        }
        variance_y = in_common(products_y), variance_x = in_common(products_x);
    }
    constexpr int most_rounds = 12;
    auto const along = [&](bool y, RowShifts const &known, double variance) -> RowShifts {
        if (variance == 0) return {};
        RowProblem const problem(told_of(columns, residual, weight, width, y, n_threads), ny, width);
        // Later on what is not quite right anywhere would pass for more of it.
        if (known.any()) return problem.solve(known.shift, variance, 1);
        return problem.solve(std::vector<double>(at(ny), 0), variance, most_rounds);
    };
    return {along(true, before.y, variance_y), along(false, before.x, variance_x)};
}

void undo_row_shifts(RowShiftsOfBoth const &shifts, View2D<float const> recorded, View2D<float const> image,
                     View2D<float const> residual, View2D<float> straight, int n_threads) {
    index const ny = image.ny, nx = image.nx;
    std::copy_n(recorded.data, recorded.size(), straight.data);
    auto const of_row = [](RowShifts const &along, index row) {
        return along.any() ? static_cast<float>(along.shift[at(row)]) : 0.0F;
    };
    parallel_for(chunks(ny, rows_at_once), n_threads, [&](index chunk) {
        Slopes slopes(nx);
        index const first = std::max(chunk * rows_at_once, rim), last = std::min((chunk + 1) * rows_at_once, ny - rim);
        for (index row = first; row < last; ++row) {
            slopes.find(image, residual, row);
            float const y = of_row(shifts.y, row), x = of_row(shifts.x, row);
            for (index i = rim; i < nx - rim; ++i) {
                straight(row, i) += y * slopes.along_y[at(i)] + x * slopes.along_x[at(i)] -
                                    0.5F * (y * y * slopes.bend_y[at(i)] + x * x * slopes.bend_x[at(i)]);
            }
        }
    });
}

}  // namespace semrt
