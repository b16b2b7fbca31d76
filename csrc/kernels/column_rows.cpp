#include "column_rows.hpp"

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

// Derivatives of the model along y and x in row y, to the fourth order.
struct Slopes {
    std::vector<float> along_y, along_x;

    explicit Slopes(index nx) : along_y(at(nx), 0.0F), along_x(at(nx), 0.0F) {}

    void find(View2D<float const> image, View2D<float const> residual, index y) {
        constexpr float near = 8.0F / 12, far = 1.0F / 12;
        std::array<float const *, 5> i, r;
        for (index k = -2; k <= 2; ++k) i[at(k + 2)] = image.row(y + k), r[at(k + 2)] = residual.row(y + k);
        for (index x = rim; x < image.nx - rim; ++x) {
            auto const model = [&](std::size_t row, index column) { return i[row][column] - r[row][column]; };
            along_y[at(x)] = near * (model(3, x) - model(1, x)) - far * (model(4, x) - model(0, x));
            along_x[at(x)] = near * (model(2, x + 1) - model(2, x - 1)) - far * (model(2, x + 2) - model(2, x - 2));
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

}  // namespace

RowShifts find_row_shifts(View2D<float const> image, View2D<float const> residual, View2D<float const> weight,
                          int n_threads) {
    index const ny = image.ny, nx = image.nx;
    RowShifts shifts;
    if (ny <= 2 * rim || nx <= 2 * rim) return shifts;
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
    // Noise, and whatever else the model lacks, differ between the halves of a row; its displacement does not.
    std::vector<double> products_y, products_x;
    for (std::size_t i = 0; i < left.size(); ++i) {
        if (!left[i].is_enough() || !right[i].is_enough()) continue;
        products_y.push_back(left[i].shift_y() * right[i].shift_y());
        products_x.push_back(left[i].shift_x() * right[i].shift_x());
    }
    shifts.variance_y = in_common(products_y);
    shifts.variance_x = in_common(products_x);
    if (shifts.variance_y == 0 && shifts.variance_x == 0) return shifts;
    std::vector<double> y(at(ny), 0), x(y);
    for (std::size_t i = 0; i < left.size(); ++i) {
        auto const both = left[i] + right[i];
        if (!both.is_enough()) continue;
        y[i] = both.shift_y() * shifts.variance_y / (shifts.variance_y + both.variance_y());
        x[i] = both.shift_x() * shifts.variance_x / (shifts.variance_x + both.variance_x());
    }
    shifts.y = std::move(y), shifts.x = std::move(x);
    return shifts;
}

void undo_row_shifts(RowShifts const &shifts, View2D<float const> image, View2D<float const> residual,
                     View2D<float> straight, int n_threads) {
    index const ny = image.ny, nx = image.nx;
    std::copy_n(image.data, image.size(), straight.data);
    parallel_for(chunks(ny, rows_at_once), n_threads, [&](index chunk) {
        Slopes slopes(nx);
        index const first = std::max(chunk * rows_at_once, rim), last = std::min((chunk + 1) * rows_at_once, ny - rim);
        for (index row = first; row < last; ++row) {
            slopes.find(image, residual, row);
            auto const y = static_cast<float>(shifts.y[at(row)]), x = static_cast<float>(shifts.x[at(row)]);
            for (index i = rim; i < nx - rim; ++i) {
                straight(row, i) += y * slopes.along_y[at(i)] + x * slopes.along_x[at(i)];
            }
        }
    });
}

KeptShare kept_share(std::vector<Column> const &columns, double width, index ny, int rounds) {
    constexpr int n_trials = 8;
    // How much each row says of a column's place: along x as the square of its profile, along y as that of its slope.
    auto const share_of = [&](bool along_y) {
        auto const for_rows = [&](Column const &column, auto const &use) {
            Span const rows(column.y, 3 * width, ny);
            for (index y = rows.first; y <= rows.last; ++y) {
                double const t = (static_cast<double>(y) - column.y) / width;
                use(at(y), (along_y ? t * t : 1.0) * std::exp(-t * t));
            }
        };
        Random random(0);
        double squares = 0;
        for (int trial = 0; trial < n_trials; ++trial) {
            std::vector<double> shifts(at(ny)), shown(shifts), known(shifts), places(columns.size());
            for (auto &shift : shifts) shift = random.below(2) == 0 ? -1 : 1;
            for (int round = 0; round <= rounds; ++round) {
                for (std::size_t i = 0; i < columns.size(); ++i) {
                    double sum = 0, whole = 0;
                    for_rows(columns[i],
                             [&](std::size_t y, double weight) { sum += weight * shifts[y], whole += weight; });
                    places[i] = whole > 0 ? sum / whole : 0;
                }
                if (round == rounds) break;
                std::fill(shown.begin(), shown.end(), 0.0);
                std::fill(known.begin(), known.end(), 0.0);
                for (std::size_t i = 0; i < columns.size(); ++i) {
                    for_rows(columns[i], [&](std::size_t y, double weight) {
                        double const light = weight * columns[i].height * columns[i].height;
                        shown[y] += light * (shifts[y] - places[i]), known[y] += light;
                    });
                }
                for (std::size_t y = 0; y < shifts.size(); ++y) shifts[y] -= known[y] > 0 ? shown[y] / known[y] : 0;
            }
            for (double const place : places) squares += place * place;
        }
        return squares / (n_trials * static_cast<double>(columns.size()));
    };
    return {share_of(true), share_of(false)};
}

}  // namespace semrt
