#include "column_members.hpp"

#include "spatial_hash.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

namespace semrt {

namespace {

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

SpatialHash places_of(std::vector<Member> const &members, index ny, index nx, double distance) {
    SpatialHash places(ny, nx, distance);
    for (auto const &member : members) places.add(member.column.y, member.column.x);
    return places;
}

// Distance of each member to its nearest neighbour, at most `most` [px].
std::vector<double> nearest_of(std::vector<Member> const &members, index ny, index nx, double most) {
    auto const places = places_of(members, ny, nx, 8);
    std::vector<double> nearest;
    for (std::size_t i = 0; i < members.size(); ++i) {
        double least = most;
        for (double reach = 8; least >= reach / 2 && reach / 2 < most; reach *= 2) {
            places.for_each_near(members[i].column.y, members[i].column.x, reach,
                                 [&](index other, double dy, double dx) {
                                     if (at(other) != i) least = std::min(least, std::hypot(dy, dx));
                                 });
        }
        nearest.push_back(least);
    }
    return nearest;
}

}  // namespace

std::vector<Member> members_at(View2D<double const> positions, index ny, index nx, double min_distance) {
    SpatialHash taken(ny, nx, min_distance);
    std::vector<Member> members;
    for (index i = 0; i < positions.ny; ++i) {
        double const y = positions(i, 0), x = positions(i, 1);
        bool const in_field =
            y >= -0.5 && x >= -0.5 && y < static_cast<double>(ny) - 0.5 && x < static_cast<double>(nx) - 0.5;
        if (!in_field || taken.any_near(y, x, min_distance)) continue;
        taken.add(y, x);
        members.push_back({{y, x, 0}, y, x, 0, i, true});
    }
    sort_by_place(members);
    return members;
}

void sort_by_place(std::vector<Member> &members) {
    std::sort(members.begin(), members.end(), [](Member const &a, Member const &b) {
        return std::tie(a.column.y, a.column.x) < std::tie(b.column.y, b.column.x);
    });
}

double spacing_of(std::vector<Member> const &members, index ny, index nx) {
    constexpr double most = 64;
    auto nearest = nearest_of(members, ny, nx, most);
    auto const middle = nearest.begin() + static_cast<index>(nearest.size()) / 2;
    std::nth_element(nearest.begin(), middle, nearest.end());
    return std::max(*middle, 3.0);
}

double first_width(View2D<float const> image, std::vector<Member> const &members, double spacing) {
    constexpr double rings_per_px = 2;
    constexpr int n_angles = 8;
    double const reach = std::clamp(0.55 * spacing, 3.0, 24.0);
    std::vector<double> sum(static_cast<std::size_t>(rings_per_px * reach) + 1, 0), count(sum);
    std::size_t const stride = members.size() / 512 + 1;
    for (std::size_t i = 0; i < members.size(); i += stride) {
        for (std::size_t ring = 0; ring < sum.size(); ++ring) {
            for (int k = 0; k < n_angles; ++k) {
                constexpr double step = 6.283185307179586 / n_angles;
                double const r = static_cast<double>(ring) / rings_per_px;
                double const y = members[i].column.y + r * std::sin(step * k),
                             x = members[i].column.x + r * std::cos(step * k);
                auto const y0 = static_cast<index>(std::floor(y)), x0 = static_cast<index>(std::floor(x));
                if (y0 < 0 || x0 < 0 || y0 >= image.ny - 1 || x0 >= image.nx - 1) continue;
                double const ty = y - static_cast<double>(y0), tx = x - static_cast<double>(x0);
                auto const pixel = [&](index dy, index dx) { return static_cast<double>(image(y0 + dy, x0 + dx)); };
                sum[ring] += (1 - ty) * ((1 - tx) * pixel(0, 0) + tx * pixel(0, 1)) +
                             ty * ((1 - tx) * pixel(1, 0) + tx * pixel(1, 1));
                count[ring] += 1;
            }
        }
    }
    double highest = -std::numeric_limits<double>::infinity(), lowest = -highest;
    for (std::size_t ring = 0; ring < sum.size(); ++ring) {
        if (count[ring] == 0) continue;
        sum[ring] /= count[ring];
        if (static_cast<double>(ring) < 1.5 * rings_per_px) highest = std::max(highest, sum[ring]);
        lowest = std::min(lowest, sum[ring]);
    }
    std::size_t ring = 1;
    while (ring + 1 < sum.size() && (count[ring] == 0 || sum[ring] > 0.5 * (highest + lowest))) ++ring;
    constexpr double half_height = 1.1774;  // of a Gaussian, in standard deviations
    return std::clamp(static_cast<double>(ring) / rings_per_px / half_height, 0.8, std::max(0.45 * spacing, 0.8));
}

double dark_level(View2D<float const> image, double y, double x, double reach) {
    Span const rows(y, reach, image.ny), columns(x, reach, image.nx);
    index const step = std::max<index>(1, static_cast<index>(reach / 4));
    std::vector<float> values;
    for (index j = rows.first; j <= rows.last; j += step) {
        for (index i = columns.first; i <= columns.last; i += step) values.push_back(image(j, i));
    }
    if (values.empty()) return 0;
    auto const fifth = values.begin() + static_cast<index>(values.size()) / 5;
    std::nth_element(values.begin(), fifth, values.end());
    return static_cast<double>(*fifth);
}

void set_heights(ColumnField const &field, std::vector<Member> &members) {
    std::vector<double> heights;
    for (auto &member : members) {
        auto &column = member.column;
        Span const rows(column.y, 1, field.image().ny), columns(column.x, 1, field.image().nx);
        double sum = 0;
        for (index y = rows.first; y <= rows.last; ++y) {
            for (index x = columns.first; x <= columns.last; ++x) sum += static_cast<double>(field.image()(y, x));
        }
        auto const count = static_cast<double>(std::max<index>(1, rows.size() * columns.size()));
        column.height = sum / count - field.background(column.y, column.x);
        heights.push_back(column.height);
    }
    auto const middle = heights.begin() + static_cast<index>(heights.size()) / 2;
    std::nth_element(heights.begin(), middle, heights.end());
    // What starts at nothing has no place to be improved.
    double const least = std::max(0.05 * *middle, 1e-20);
    for (auto &member : members) member.column.height = std::max(member.column.height, least);
}

void set_leashes(std::vector<Member> &members, index ny, index nx, double spacing, double width) {
    double const longest = std::max(2.0, 1.5 * width);
    auto const nearest = nearest_of(members, ny, nx, std::max(spacing, 2 * longest));
    for (std::size_t i = 0; i < members.size(); ++i) members[i].leash = std::min(0.5 * nearest[i], longest);
}

std::vector<Plane> gaps(std::vector<Member> const &members, index ny, index nx, double step, double clear) {
    auto const places = places_of(members, ny, nx, clear);
    std::vector<Plane> found;
    auto const n_y = static_cast<index>(static_cast<double>(ny) / step) + 1;
    auto const n_x = static_cast<index>(static_cast<double>(nx) / step) + 1;
    for (index j = 0; j < n_y; ++j) {
        for (index i = 0; i < n_x; ++i) {
            double const y = (static_cast<double>(j) + 0.5) * static_cast<double>(ny) / static_cast<double>(n_y) - 0.5;
            double const x = (static_cast<double>(i) + 0.5) * static_cast<double>(nx) / static_cast<double>(n_x) - 0.5;
            if (!places.any_near(y, x, clear)) found.push_back({y, x, 0, 0, 0});
        }
    }
    return found;
}

std::vector<Column> columns_of(std::vector<Member> const &members) {
    std::vector<Column> columns;
    columns.reserve(members.size());
    for (auto const &member : members) columns.push_back(member.column);
    return columns;
}

double inside_by(View2D<float const> image, double y, double x) {
    return std::min({y, x, static_cast<double>(image.ny) - 1 - y, static_cast<double>(image.nx) - 1 - x});
}

}  // namespace semrt
