#include "column_precision.hpp"

#include "nearest.hpp"
#include "parallel.hpp"
#include "spatial_hash.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace semrt {

namespace {

constexpr std::size_t most_neighbours = 6, own = 3;  // unknowns of each column: shifts and height
constexpr std::size_t most_unknowns = own * (most_neighbours + 1) + own;
constexpr double pi = 3.14159265358979323846;

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

using Block = std::array<std::array<double, own>, own>;

// Information that columns a and b share: sums over pixels of weight times derivatives by unknowns of both.
//
// Two Gaussians multiply to one about the middle between them, so that Gauss and Hermite's three nodes along each axis
// do for weights that vary like a cubic.
Block shared(ColumnField const &field, Column const &a, Column const &b, double width) {
    double const dy = (b.y - a.y) / width, dx = (b.x - a.x) / width;
    double const scale = pi * width * width * std::exp(-0.25 * (dy * dy + dx * dx));
    auto const weight = field.weight();
    constexpr std::array<double, 3> nodes{-1.224744871391589, 0, 1.224744871391589}, parts{1.0 / 6, 2.0 / 3, 1.0 / 6};
    Block block{};
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        for (std::size_t j = 0; j < nodes.size(); ++j) {
            double const ty = nodes[i], tx = nodes[j];
            double const y = 0.5 * (a.y + b.y) + width * ty, x = 0.5 * (a.x + b.x) + width * tx;
            auto const row = static_cast<index>(std::floor(y + 0.5)), column = static_cast<index>(std::floor(x + 0.5));
            if (row < 0 || column < 0 || row >= weight.ny || column >= weight.nx) continue;
            double const w = scale * parts[i] * parts[j] * static_cast<double>(weight(row, column));
            std::array<double, own> const of_a{ty + 0.5 * dy, tx + 0.5 * dx, 1}, of_b{ty - 0.5 * dy, tx - 0.5 * dx, 1};
            for (std::size_t p = 0; p < own; ++p) {
                for (std::size_t q = 0; q < own; ++q) block[p][q] += w * of_a[p] * of_b[q];
            }
        }
    }
    return block;
}

// The same of a plane about column a, in a window of that half-width, and column b. Nodes are those of one Gaussian.
Block shared_by_plane(ColumnField const &field, Column const &a, Column const &b, double width, double half_width) {
    auto const weight = field.weight();
    constexpr std::array<double, 3> nodes{-1.7320508075688772, 0, 1.7320508075688772}, parts{1.0 / 6, 2.0 / 3, 1.0 / 6};
    Block block{};
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        for (std::size_t j = 0; j < nodes.size(); ++j) {
            double const dy = b.y - a.y + width * nodes[i], dx = b.x - a.x + width * nodes[j];
            auto const row = static_cast<index>(std::floor(a.y + dy + 0.5));
            auto const column = static_cast<index>(std::floor(a.x + dx + 0.5));
            if (std::max(std::abs(dy), std::abs(dx)) > half_width) continue;
            if (row < 0 || column < 0 || row >= weight.ny || column >= weight.nx) continue;
            double const w = 2 * pi * width * width * parts[i] * parts[j] * static_cast<double>(weight(row, column));
            std::array<double, own> const of_plane{1, dy / width, dx / width}, of_b{nodes[i], nodes[j], 1};
            for (std::size_t p = 0; p < own; ++p) {
                for (std::size_t q = 0; q < own; ++q) block[p][q] += w * of_plane[p] * of_b[q];
            }
        }
    }
    return block;
}

// A column, its background and its neighbours; the column's own unknowns come last, so that what is left of the matrix
// when all else is eliminated stands at its end.
class Group {
  public:
    explicit Group(std::size_t n_neighbours) : n_(own * n_neighbours + 2 * own) {}

    std::size_t of_neighbour(std::size_t number) const { return own * number; }
    std::size_t of_plane() const { return n_ - 2 * own; }
    std::size_t of_self() const { return n_ - own; }

    void set(std::size_t row, std::size_t column, double value) {
        matrix_[std::max(row, column)][std::min(row, column)] = value;
    }
    void set(std::size_t row, std::size_t column, Block const &block) {
        for (std::size_t p = 0; p < own; ++p) {
            for (std::size_t q = 0; q < own; ++q) set(row + p, column + q, block[p][q]);
        }
    }

    // False if something in it is undetermined.
    bool invert(Precision &precision) {
        for (std::size_t i = 0; i < n_; ++i) {
            double const whole = matrix_[i][i];
            for (std::size_t j = 0; j <= i; ++j) {
                double sum = matrix_[i][j];
                for (std::size_t k = 0; k < j; ++k) sum -= matrix_[i][k] * matrix_[j][k];
                matrix_[i][j] = i == j ? std::sqrt(sum) : sum / matrix_[j][j];
                if (i == j && !(sum > 1e-6 * whole)) return false;
            }
        }
        std::size_t const s = of_self();
        double const a = 1 / matrix_[s][s], b = 1 / matrix_[s + 1][s + 1], c = 1 / matrix_[s + 2][s + 2];
        double const ba = -b * matrix_[s + 1][s] * a, cb = -c * matrix_[s + 2][s + 1] * b;
        double const ca = -c * (matrix_[s + 2][s] * a + matrix_[s + 2][s + 1] * ba);
        precision = {a * a + ba * ba + ca * ca, b * b + cb * cb, c * c};
        return true;
    }

  private:
    std::size_t n_;
    std::array<std::array<double, most_unknowns>, most_unknowns> matrix_{};  // the lower triangle
};

struct Neighbour {
    std::size_t number;
    double distance2;
};

Precision precision_of(ColumnField const &field, std::vector<Column> const &columns,
                       std::vector<NormalEquations> const &equations, std::size_t self,
                       std::vector<Neighbour> const &neighbours, Unknowns const &prior, double width, double core) {
    constexpr std::array<Unknown, own> places{shift_y, shift_x, height}, planes{plane, slope_y, slope_x};
    Group group(neighbours.size());
    auto const &mine = equations[self];
    for (std::size_t p = 0; p < own; ++p) {
        for (std::size_t q = 0; q < own; ++q) {
            group.set(group.of_self() + p, group.of_self() + q, mine.at(places[p], places[q]));
            group.set(group.of_self() + p, group.of_plane() + q, mine.at(places[p], planes[q]));
            group.set(group.of_plane() + p, group.of_plane() + q,
                      mine.at(planes[p], planes[q]) + (p == q ? prior[planes[p]] : 0));
        }
    }
    for (std::size_t i = 0; i < neighbours.size(); ++i) {
        auto const &other = neighbours[i];
        auto const &theirs = equations[other.number];
        std::size_t const row = group.of_neighbour(i);
        for (std::size_t p = 0; p < own; ++p) {
            for (std::size_t q = 0; q < own; ++q) group.set(row + p, row + q, theirs.at(places[p], places[q]));
            // Their places are known to half a width, without which one too faint to be seen could be anywhere.
            double const faint = p < 2 ? 1 / std::pow(0.5 * columns[other.number].height, 2) : 0.0;
            group.set(row + p, row + p, theirs.at(places[p], places[p]) + faint);
        }
        group.set(group.of_plane(), row, shared_by_plane(field, columns[self], columns[other.number], width, core));
        group.set(group.of_self(), row, shared(field, columns[self], columns[other.number], width));
        for (std::size_t j = 0; j < i; ++j) {
            group.set(row, group.of_neighbour(j),
                      shared(field, columns[other.number], columns[neighbours[j].number], width));
        }
    }
    Precision precision{};
    if (group.invert(precision)) return precision;
    auto const alone = variances(mine, prior);
    return {alone[shift_y], alone[shift_x], alone[height]};
}

// Mean of those that are not negative, each cut at a multiple of their median: a column that was missed is no noise.
double typical(std::vector<double> squares) {
    squares.erase(std::remove_if(squares.begin(), squares.end(), [](double s) { return s < 0; }), squares.end());
    if (squares.empty()) return 1;
    auto const middle = squares.begin() + static_cast<index>(squares.size()) / 2;
    std::nth_element(squares.begin(), middle, squares.end());
    double const most = 40 * *middle;
    double sum = 0;
    for (double const s : squares) sum += std::min(s, most);
    return sum / static_cast<double>(squares.size());
}

}  // namespace

std::vector<Precision> precisions(ColumnField const &field, std::vector<Column> const &columns,
                                  std::vector<NormalEquations> const &equations, Unknowns const &prior,
                                  ColumnProfile const &profile, int n_threads) {
    double const reach = 4.5 * profile.width;
    SpatialHash places(field.image().ny, field.image().nx, reach);
    for (auto const &column : columns) places.add(column.y, column.x);
    std::vector<Precision> found(columns.size());
    constexpr index at_once = 64;
    parallel_for(chunks(static_cast<index>(columns.size()), at_once), n_threads, [&](index chunk) {
        std::vector<Neighbour> neighbours;
        auto const end = std::min(at((chunk + 1) * at_once), columns.size());
        for (auto i = at(chunk * at_once); i < end; ++i) {
            neighbours.clear();
            places.for_each_near(columns[i].y, columns[i].x, reach, [&](index other, double dy, double dx) {
                if (at(other) != i) neighbours.push_back({at(other), dy * dy + dx * dx});
            });
            std::sort(neighbours.begin(), neighbours.end(), [](Neighbour const &a, Neighbour const &b) {
                return a.distance2 != b.distance2 ? a.distance2 < b.distance2 : a.number < b.number;
            });
            if (neighbours.size() > most_neighbours) neighbours.resize(most_neighbours);
            found[i] = precision_of(field, columns, equations, i, neighbours, prior, profile.width, profile.core());
        }
    });
    return found;
}

Excess excess_between(ColumnField const &field, std::vector<Column> const &places, Unknowns const &prior,
                      ColumnProfile const &profile, double test_width, int n_threads) {
    constexpr std::size_t enough = 30;
    constexpr index at_once = 64;
    if (places.size() < enough) return {1, 1};
    constexpr double unseen = -1;
    std::vector<double> shifts(places.size(), unseen), heights(shifts);  // squares over their variances
    parallel_for(chunks(static_cast<index>(places.size()), at_once), n_threads, [&](index chunk) {
        WindowSums window;
        auto const end = std::min(at((chunk + 1) * at_once), places.size());
        for (auto i = at(chunk * at_once); i < end; ++i) {
            Unknowns seen{}, expected{};
            if (test_width > 0) {
                auto const equations = window.assemble_tested(field.residual(), field.weight(), places[i], profile,
                                                              test_width, profile.core());
                if (!solve_tested(equations, prior, seen, expected)) continue;
            } else {
                auto const equations =
                    window.assemble(field.residual(), field.weight(), places[i], profile, profile.core());
                if (!solve(equations, prior, seen)) continue;
                expected = variances(equations, prior);
            }
            auto const square = [&](Unknown u) { return seen[u] * seen[u] / expected[u]; };
            shifts[i] = 0.5 * (square(shift_y) + square(shift_x));
            heights[i] = square(height);
        }
    });
    // Half as much again as is seen: columns nearby have taken their part of it already.
    auto const corrected = [](double mean) { return 1 + 1.5 * std::max(0.0, mean - 1); };
    return {corrected(typical(std::move(shifts))), corrected(typical(std::move(heights)))};
}

}  // namespace semrt
