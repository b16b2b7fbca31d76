#include "column_field.hpp"

#include "nearest.hpp"

#include <algorithm>
#include <cmath>

namespace semrt {

namespace {

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

Span both(Span a, Span const &b) {
    if (b.size() == 0) return a;
    if (a.size() == 0) return b;
    a.first = std::min(a.first, b.first);
    a.last = std::max(a.last, b.last);
    return a;
}

// A peak as functions of y and of x, at the pixels of a rectangle.
class Drawn {
  public:
    Drawn(Column const &column, ColumnProfile const &profile, Span rows, Span columns)
        : n_y_(rows.size()), n_x_(columns.size()), along_(at(profile.parts() * (n_y_ + n_x_))) {
        for (int part = 0; part < profile.parts(); ++part) {
            float *const of_y = along_.data() + part * (n_y_ + n_x_);
            gaussian_along(rows, column.y, profile.sigma(part), column.height * profile.share(part), of_y);
            gaussian_along(columns, column.x, profile.sigma(part), 1.0, of_y + n_y_);
        }
    }
    float of_y(index part, index i) const { return along_[at(part * (n_y_ + n_x_) + i)]; }
    float const *of_x(index part) const { return along_.data() + part * (n_y_ + n_x_) + n_y_; }

  private:
    index n_y_, n_x_;
    std::vector<float> along_;
};

}  // namespace

Bands::Bands(index ny, double reach) : height_(2 * std::ceil(reach) + 2) {
    members_.resize(static_cast<std::size_t>(static_cast<double>(ny) / height_) + 1);
}

void Bands::add(double y, std::size_t member) {
    auto const band = static_cast<index>(std::max(0.0, y + 0.5) / height_);
    members_[at(std::min(band, static_cast<index>(members_.size()) - 1))].push_back(member);
}

ColumnField::ColumnField(View2D<float const> image, double blur)
    : image_(image),
      residual_(at(image.size() + WindowSums::lanes), 0.0F),
      weight_(residual_.size(), 1.0F),
      blur_(blur),
      step_(std::max<index>(static_cast<index>(0.5 * blur), 1)),
      n_ky_((image.ny - 1) / step_ + 2),
      n_kx_((image.nx - 1) / step_ + 2),
      knots_(at(n_ky_ * n_kx_), 0.0F) {
    std::copy_n(image.data, image.size(), residual_.begin());
}

// residual = from - the surface through the knots.
void ColumnField::subtract(std::vector<float> const &knots, View2D<float const> from, int n_threads) {
    parallel_for(chunks(image_.ny, rows_at_once), n_threads, [&](index chunk) {
        for (index y = chunk * rows_at_once; y < std::min((chunk + 1) * rows_at_once, image_.ny); ++y) {
            float const share = static_cast<float>(y % step_) / static_cast<float>(step_);
            float const *const above = knots.data() + y / step_ * n_kx_, *const below = above + n_kx_;
            for (index kx = 0; kx < n_kx_ - 1; ++kx) {
                float const left = above[kx] + share * (below[kx] - above[kx]);
                float const right = above[kx + 1] + share * (below[kx + 1] - above[kx + 1]);
                float const rise = (right - left) / static_cast<float>(step_);
                index const x0 = kx * step_, n = std::min(step_, image_.nx - x0);
                float const *const source = from.row(y) + x0;
                float *const to = residual_.data() + y * image_.nx + x0;
                for (index i = 0; i < n; ++i) to[i] = source[i] - (left + rise * static_cast<float>(i));
            }
        }
    });
}

void ColumnField::draw(std::vector<Column> const &columns, ColumnProfile const &profile, int n_threads) {
    subtract(knots_, image_, n_threads);
    Bands bands(image_.ny, profile.reach());
    for (std::size_t i = 0; i < columns.size(); ++i) bands.add(columns[i].y, i);
    bands.for_each(n_threads, [&](std::vector<std::size_t> const &members) {
        for (auto const i : members) {
            Column none = columns[i];
            none.height = 0;
            replace(none, columns[i], profile);
        }
    });
}

void ColumnField::replace(Column const &before, Column const &after, ColumnProfile const &profile) {
    double const reach = profile.reach();
    Span const rows = both(Span(before.y, reach, image_.ny), Span(after.y, reach, image_.ny));
    Span const columns = both(Span(before.x, reach, image_.nx), Span(after.x, reach, image_.nx));
    Drawn const old(before, profile, rows, columns), drawn(after, profile, rows, columns);
    for (index part = 0; part < profile.parts(); ++part) {
        float const *const old_x = old.of_x(part), *const drawn_x = drawn.of_x(part);
        for (index i = 0; i < rows.size(); ++i) {
            float *const to = residual_.data() + (rows.first + i) * image_.nx + columns.first;
            float const more = old.of_y(part, i), less = drawn.of_y(part, i);
            for (index j = 0; j < columns.size(); ++j) to[j] += more * old_x[j] - less * drawn_x[j];
        }
    }
}

void ColumnField::weigh(CountNoise const &noise, int n_threads) {
    constexpr index at_once = 1 << 16;
    auto const gain = static_cast<float>(noise.gain), floor = static_cast<float>(noise.floor);
    auto const least = static_cast<float>(noise.least);
    parallel_for(chunks(image_.size(), at_once), n_threads, [&](index chunk) {
        index const end = std::min((chunk + 1) * at_once, image_.size());
        for (index i = chunk * at_once; i < end; ++i) {
            float const model = image_.data[i] - residual_[at(i)];
            weight_[at(i)] = 1 / (gain * (model > least ? model : least) + floor);
        }
    });
}

void ColumnField::add_background(std::vector<Plane> const &planes, int n_threads) {
    std::vector<float> sums(knots_.size(), 0.0F), weights(knots_.size(), 0.0F);
    double const unit = 1 / static_cast<double>(step_), reach = 3 * blur_ * unit;
    Bands bands(n_ky_, reach);
    for (std::size_t i = 0; i < planes.size(); ++i) bands.add(planes[i].y * unit, i);
    bands.for_each(n_threads, [&](std::vector<std::size_t> const &members) {
        std::vector<float> of_y, of_x;
        for (auto const i : members) {
            Plane const &plane = planes[i];
            Span const rows(plane.y * unit, reach, n_ky_), columns(plane.x * unit, reach, n_kx_);
            of_y.resize(at(rows.size()));
            of_x.resize(at(columns.size()));
            gaussian_along(rows, plane.y * unit, blur_ * unit, 1.0, of_y.data());
            gaussian_along(columns, plane.x * unit, blur_ * unit, 1.0, of_x.data());
            for (index r = 0; r < rows.size(); ++r) {
                double const dy = static_cast<double>((rows.first + r) * step_) - plane.y;
                double const dx = static_cast<double>(columns.first * step_) - plane.x;
                auto const start = static_cast<float>(plane.b0 + plane.b_y * dy + plane.b_x * dx);
                auto const rise = static_cast<float>(plane.b_x * static_cast<double>(step_));
                index const to = (rows.first + r) * n_kx_ + columns.first;
                for (index c = 0; c < columns.size(); ++c) {
                    float const weight = of_y[at(r)] * of_x[at(c)];
                    weights[at(to + c)] += weight;
                    sums[at(to + c)] += weight * (start + rise * static_cast<float>(c));
                }
            }
        }
    });
    for (std::size_t i = 0; i < knots_.size(); ++i) {
        sums[i] = weights[i] > 0 ? sums[i] / weights[i] : 0;
        knots_[i] += sums[i];
    }
    subtract(sums, residual(), n_threads);
}

void ColumnField::set_blur(double blur) {
    index const step = std::max<index>(static_cast<index>(0.5 * blur), 1);
    index const n_ky = (image_.ny - 1) / step + 2, n_kx = (image_.nx - 1) / step + 2;
    std::vector<float> knots;
    for (index j = 0; j < n_ky; ++j) {
        for (index i = 0; i < n_kx; ++i) {
            double const y = static_cast<double>(j * step), x = static_cast<double>(i * step);
            knots.push_back(static_cast<float>(background(y, x)));
        }
    }
    blur_ = blur, step_ = step, n_ky_ = n_ky, n_kx_ = n_kx;
    knots_ = std::move(knots);
}

double ColumnField::background(double y, double x) const {
    auto const unit = static_cast<double>(step_);
    double const ty = std::clamp(y / unit, 0.0, static_cast<double>(n_ky_ - 1));
    double const tx = std::clamp(x / unit, 0.0, static_cast<double>(n_kx_ - 1));
    auto const ky = std::min(static_cast<index>(ty), n_ky_ - 2), kx = std::min(static_cast<index>(tx), n_kx_ - 2);
    double const sy = ty - static_cast<double>(ky), sx = tx - static_cast<double>(kx);
    auto const knot = [&](index j, index i) { return static_cast<double>(knots_[at((ky + j) * n_kx_ + kx + i)]); };
    return (1 - sy) * ((1 - sx) * knot(0, 0) + sx * knot(0, 1)) + sy * ((1 - sx) * knot(1, 0) + sx * knot(1, 1));
}

}  // namespace semrt
