#include "disk_cells.hpp"

#include "nearest.hpp"
#include "parallel.hpp"
#include "spatial_hash.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace semrt {

namespace {

constexpr double pi = 3.14159265358979323846;

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

// The part of the plane that is one circle's, and not further from its centre than `reach`: row by row.
//
// Borders are where tangents to both circles are as long: Laguerre cells, which keep to the seam of unequal disks.
class Cell {
  public:
    Cell(Circle const &circle, double reach) : circle_(circle), squared_reach_(reach * reach) {}

    // (dy, dx): from this centre to that of another.
    void cut(double dy, double dx, Circle const &other) {
        constexpr double level = 1e-9;  // another one straight above or below
        double const slope = std::abs(dx) < level ? std::copysign(level, dx) : dx;
        double const more = circle_.radius * circle_.radius - other.radius * other.radius;
        cuts_.push_back({0.5 * (dy * dy + dx * dx + more) / slope, dy / slope, slope > 0});
    }

    bool is_cut() const { return !cuts_.empty(); }

    // From where to where the cell holds row y; nothing where first > second.
    std::pair<double, double> row(double y) const {
        double const dy = y - circle_.y;
        double right = std::sqrt(std::max(0.0, squared_reach_ - dy * dy)), left = -right;
        for (auto const &cut : cuts_) {
            double const end = cut.start - cut.slope * dy;
            (cut.is_right ? right : left) = cut.is_right ? std::min(right, end) : std::max(left, end);
        }
        return {circle_.x + left, circle_.x + right};
    }

  private:
    struct Cut {
        double start, slope;
        bool is_right;
    };
    Circle circle_;
    double squared_reach_;
    std::vector<Cut> cuts_;
};

// The centroid and area of the map in a cell, steepened so that neither ripple nor a lasting slope outside counts.
Circle centred(View2D<float const> map, Circle const &circle, Cell const &cell, double radius) {
    auto const y_at = std::clamp(static_cast<index>(circle.y + 0.5), index{0}, map.ny - 1);
    auto const x_at = std::clamp(static_cast<index>(circle.x + 0.5), index{0}, map.nx - 1);
    constexpr index lanes = 4;
    constexpr float steepness = 1.6F;
    float const slope = steepness / std::max(map(y_at, x_at), 0.1F), start = 0.5F - 0.5F * steepness;
    auto const y0 = std::max<index>(static_cast<index>(std::ceil(circle.y - radius)), 0);
    auto const y1 = std::min(static_cast<index>(circle.y + radius), map.ny - 1);
    index const widest = std::min(2 * static_cast<index>(radius) + 3, map.nx);
    std::vector<float> shares(at(widest + lanes));  // of each pixel in a row
    double area = 0, sum_y = 0, sum_x = 0;
    for (index y = y0; y <= y1; ++y) {
        auto const [from, to] = cell.row(static_cast<double>(y));
        double const left = std::max(from, -0.5), right = std::min(to, static_cast<double>(map.nx) - 0.5);
        if (right <= left) continue;
        auto const first = static_cast<index>(left + 0.5), last = std::min(static_cast<index>(right + 0.5), map.nx - 1);
        float const *const row = map.row(y) + first;
        index const n = last - first + 1;
        for (index i = 0; i < n; ++i) {
            float const steep = slope * row[i] + start, positive = steep > 0 ? steep : 0;
            shares[at(i)] = positive < 1 ? positive : 1;
        }
        std::fill_n(shares.begin() + n, lanes, 0.0F);
        std::array<float, lanes> sums{}, moments{}, place{0, 1, 2, 3};  // moments about the first pixel
        for (index i = 0; i < n; i += lanes) {
            float const *const some = shares.data() + i;
            for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += some[lane];
            for (std::size_t lane = 0; lane < lanes; ++lane) moments[lane] += some[lane] * place[lane];
            for (std::size_t lane = 0; lane < lanes; ++lane) place[lane] += lanes;
        }
        float const row_sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        float const row_moment = (moments[0] + moments[1]) + (moments[2] + moments[3]);
        // Of the first and last pixel only what is in the cell.
        double const before = (left - static_cast<double>(first) + 0.5) * static_cast<double>(shares.front());
        double const after = (static_cast<double>(last) + 0.5 - right) * static_cast<double>(shares[at(n - 1)]);
        double const sum = static_cast<double>(row_sum) - before - after;
        area += sum;
        sum_y += sum * static_cast<double>(y);
        sum_x +=
            static_cast<double>(row_moment) + sum * static_cast<double>(first) - after * static_cast<double>(n - 1);
    }
    if (area <= 0) return circle;
    return {sum_y / area, sum_x / area, std::sqrt(area / pi), circle.score};
}

}  // namespace

std::vector<Circle> centred_in_cells(View2D<float const> map, std::vector<Circle> circles, double r_max,
                                     int n_threads) {
    for (int round = 0; round < 2; ++round) {
        SpatialHash places(map.ny, map.nx, 2 * r_max);
        for (auto const &circle : circles) places.add(circle.y, circle.x);
        auto const before = circles;
        constexpr index at_once = 64;
        parallel_for(chunks(static_cast<index>(circles.size()), at_once), n_threads, [&](index chunk) {
            auto const end = std::min(at((chunk + 1) * at_once), circles.size());
            for (auto i = at(chunk * at_once); i < end; ++i) {
                Cell cell(before[i], r_max);
                places.for_each_near(before[i].y, before[i].x, 2 * r_max, [&](index other, double dy, double dx) {
                    if (at(other) != i) cell.cut(dy, dx, before[at(other)]);
                });
                if (round == 0 || cell.is_cut()) circles[i] = centred(map, before[i], cell, r_max);
            }
        });
    }
    return circles;
}

}  // namespace semrt
