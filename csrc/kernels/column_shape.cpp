#include "column_shape.hpp"

#include "parallel.hpp"
#include "spatial_hash.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <tuple>

namespace semrt {

namespace {

constexpr std::size_t n_own = n_unknowns, n_all = n_own + 2;  // then ln width, then tail
constexpr double most_tail = 0.5;

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

std::vector<std::size_t> bright_ones(ColumnField const &field, std::vector<Member> const &members,
                                     ColumnProfile const &profile) {
    constexpr std::size_t most = 256, enough = 16;
    std::vector<std::size_t> order(members.size()), chosen;
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::make_tuple(-members[a].column.height, a) < std::make_tuple(-members[b].column.height, b);
    });
    std::size_t const bright = std::max<std::size_t>(1, order.size() * 2 / 3), stride = (bright + most - 1) / most;
    for (double const inside : {profile.reach(), profile.core(), -std::numeric_limits<double>::infinity()}) {
        chosen.clear();
        for (std::size_t i = 0; i < bright; i += stride) {
            auto const &member = members[order[i]];
            if (member.reported && inside_by(field.image(), member.column.y, member.column.x) > inside) {
                chosen.push_back(order[i]);
            }
        }
        if (chosen.size() >= enough) break;
    }
    return chosen;
}

// How the image changes in a window with the shape of all columns that reach into it.
struct ShapeDerivatives {
    std::vector<float> by_width, by_tail;  // ln width

    ShapeDerivatives(Span rows, Span columns) : by_width(at(rows.size() * columns.size()), 0.0F), by_tail(by_width) {}

    void add(Column const &column, ColumnProfile const &profile, Span rows, Span columns) {
        std::array<std::vector<float>, 2> of_y, of_x;
        std::array<float, 2> curvature;
        ColumnProfile const with_tail{profile.width, std::max(profile.tail, 1e-9)};
        for (std::size_t part = 0; part < 2; ++part) {
            auto const number = static_cast<int>(part);
            double const sigma = with_tail.sigma(number);
            of_y[part].resize(at(rows.size()));
            of_x[part].resize(at(columns.size()));
            gaussian_along(rows, column.y, sigma, column.height, of_y[part].data());
            gaussian_along(columns, column.x, sigma, 1.0, of_x[part].data());
            curvature[part] = static_cast<float>(with_tail.share(number) / (sigma * sigma));
        }
        auto const start = static_cast<float>(static_cast<double>(columns.first) - column.x);
        for (index i = 0; i < rows.size(); ++i) {
            auto const dy = static_cast<float>(static_cast<double>(rows.first + i) - column.y);
            float const core = of_y[0][at(i)], wide = of_y[1][at(i)];
            float *const width_row = by_width.data() + i * columns.size();
            float *const tail_row = by_tail.data() + i * columns.size();
            for (index j = 0; j < columns.size(); ++j) {
                float const dx = start + static_cast<float>(j), inner = core * of_x[0][at(j)],
                            outer = wide * of_x[1][at(j)];
                width_row[j] += (dy * dy + dx * dx) * (curvature[0] * inner + curvature[1] * outer);
                tail_row[j] += outer - inner;
            }
        }
    }
};

// Information on the two shared unknowns, and the gradient along them.
struct Information {
    double width_width = 0, width_tail = 0, tail_tail = 0, width = 0, tail = 0;
};

class System {
  public:
    void add(std::array<double, n_all> const &derivatives, double weight, double residual) {
        for (std::size_t i = 0; i < n_all; ++i) {
            double const weighted = weight * derivatives[i];
            right_[i] += weighted * residual;
            for (std::size_t j = 0; j <= i; ++j) matrix_[i][j] += weighted * derivatives[j];
        }
    }
    Information without_own_unknowns() {
        for (std::size_t k = 0; k < n_own; ++k) {
            if (!(matrix_[k][k] > 0)) continue;
            for (std::size_t i = k + 1; i < n_all; ++i) {
                double const factor = matrix_[i][k] / matrix_[k][k];
                right_[i] -= factor * right_[k];
                for (std::size_t j = k + 1; j <= i; ++j) matrix_[i][j] -= factor * matrix_[j][k];
            }
        }
        return {matrix_[6][6], matrix_[7][6], matrix_[7][7], right_[6], right_[7]};
    }

  private:
    std::array<std::array<double, n_all>, n_all> matrix_{};  // the lower triangle
    std::array<double, n_all> right_{};
};

Information information_of(ColumnField const &field, std::vector<Member> const &members, SpatialHash const &places,
                           Column const &column, ColumnProfile const &profile, double reach) {
    double const half_width = 1.2 * profile.core(), width = profile.width;
    Span const rows(column.y, half_width, field.image().ny), columns(column.x, half_width, field.image().nx);
    ShapeDerivatives shape(rows, columns);
    places.for_each_near(column.y, column.x, reach, [&](index other, double, double) {
        shape.add(members[at(other)].column, profile, rows, columns);
    });
    System system;
    for (index y = rows.first; y <= rows.last; ++y) {
        for (index x = columns.first; x <= columns.last; ++x) {
            double const dy = (static_cast<double>(y) - column.y) / width,
                         dx = (static_cast<double>(x) - column.x) / width;
            double value = 0, slope = 0;
            for (int part = 0; part < profile.parts(); ++part) {
                double const ratio = width / profile.sigma(part);
                double const here = profile.share(part) * std::exp(-0.5 * (dy * dy + dx * dx) * ratio * ratio);
                value += here;
                slope += here * ratio * ratio;
            }
            auto const i = at((y - rows.first) * columns.size() + x - columns.first);
            auto const by_width = static_cast<double>(shape.by_width[i]),
                       by_tail = static_cast<double>(shape.by_tail[i]);
            system.add({dy * slope, dx * slope, value, 1, dy, dx, by_width, by_tail},
                       static_cast<double>(field.weight()(y, x)), static_cast<double>(field.residual()(y, x)));
        }
    }
    return system.without_own_unknowns();
}

}  // namespace

ColumnProfile improved_shape(ColumnField const &field, std::vector<Member> const &members, ColumnProfile const &profile,
                             bool with_width, bool with_tail, int n_threads) {
    auto const chosen = bright_ones(field, members, profile);
    double const reach = ColumnProfile{profile.width, with_tail ? 1.0 : profile.tail}.reach() + profile.core();
    SpatialHash places(field.image().ny, field.image().nx, reach);
    for (auto const &member : members) places.add(member.column.y, member.column.x);
    std::vector<Information> parts(chosen.size());
    parallel_for(static_cast<index>(chosen.size()), n_threads, [&](index i) {
        parts[at(i)] = information_of(field, members, places, members[chosen[at(i)]].column, profile, reach);
    });
    Information all;
    for (auto const &part : parts) {
        all.width_width += part.width_width, all.width_tail += part.width_tail, all.tail_tail += part.tail_tail;
        all.width += part.width, all.tail += part.tail;
    }
    double const determinant = all.width_width * all.tail_tail - all.width_tail * all.width_tail;
    double by_width = 0, by_tail = 0;
    if (with_width && with_tail && determinant > 1e-9 * all.width_width * all.tail_tail) {
        by_width = (all.tail_tail * all.width - all.width_tail * all.tail) / determinant;
        by_tail = (all.width_width * all.tail - all.width_tail * all.width) / determinant;
    } else if (with_width && all.width_width > 0) {
        by_width = all.width / all.width_width;
    } else if (with_tail && all.tail_tail > 0) {
        by_tail = all.tail / all.tail_tail;
    }
    ColumnProfile improved = profile;
    improved.width = std::max(profile.width * std::exp(std::clamp(by_width, -0.3, 0.3)), 0.5);
    improved.tail = std::clamp(profile.tail + std::clamp(by_tail, -0.1, 0.1), 0.0, most_tail);
    return improved;
}

}  // namespace semrt
