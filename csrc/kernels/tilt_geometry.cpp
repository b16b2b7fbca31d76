#include "tilt_geometry.hpp"

#include "parallel.hpp"

#include <algorithm>
#include <cmath>

namespace semrt {

namespace {

constexpr double degree = 3.14159265358979323846 / 180;
constexpr index margin = 8;         // [px] of zeros on either side of a row: four shifted rows are read as one range
constexpr index rows_at_once = 4;   // one sum of so many rows, or profiles, saves reading the result as often
constexpr index tilts_at_once = 8;  // their profiles stay in the first cache, as the rows of a block do
constexpr index block_height = 16;

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

constexpr index blocks(index n, index size) {
    return (n + size - 1) / size;
}

index padded(index n_rows) {
    return blocks(n_rows, rows_at_once) * rows_at_once;
}

// Four rows, each interpolated by its own fraction.
struct FourRows {
    std::array<float const *, 4> value, step;
    std::array<float, 4> rest;

    void add_to(float *sum, index n) const {
        float const *const v0 = value[0], *const v1 = value[1], *const v2 = value[2], *const v3 = value[3];
        float const *const d0 = step[0], *const d1 = step[1], *const d2 = step[2], *const d3 = step[3];
        float const f0 = rest[0], f1 = rest[1], f2 = rest[2], f3 = rest[3];
        for (index i = 0; i < n; ++i) {
            sum[i] += ((v0[i] + f0 * d0[i]) + (v1[i] + f1 * d1[i])) + ((v2[i] + f2 * d2[i]) + (v3[i] + f3 * d3[i]));
        }
    }
};

// Copies a slice, or its transpose, into rows with zeros around them.
void lay_out(View2D<float const> slice, bool upright, TiltWorkspace::Rows &rows, int n_threads) {
    index const n_rows = upright ? slice.ny : slice.nx, n = upright ? slice.nx : slice.ny;
    index const width = n + 2 * margin;
    parallel_for(blocks(n_rows, block_height), n_threads, [&](index block) {
        index const row0 = block * block_height, row1 = std::min(row0 + block_height, n_rows);
        if (upright) {
            for (index r = row0; r < row1; ++r) std::copy_n(slice.row(r), n, rows.value.data() + r * width + margin);
        } else {
            for (index i = 0; i < n; ++i) {
                for (index r = row0; r < row1; ++r) rows.value[at(r * width + margin + i)] = slice(i, r);
            }
        }
        for (index r = row0; r < row1; ++r) {
            float const *const value = rows.value.data() + r * width;
            float *const step = rows.step.data() + r * width;
            for (index i = margin; i <= margin + n; ++i) step[i] = value[i - 1] - value[i];
        }
    });
}

}  // namespace

TiltGeometry::TiltGeometry(View1D<double const> angles, index nz, index nx, index n_detector, double axis_offset)
    : nz_(nz), nx_(nx), n_detector_(n_detector) {
    for (double const angle : angles) {
        double const cosine = std::cos(angle * degree), sine = std::sin(angle * degree);
        bool const upright = std::abs(cosine) >= std::abs(sine);
        double const scale = upright ? cosine : sine;  // of the detector against the profile
        index const n = upright ? nx : nz, n_rows = upright ? nz : nx;
        Tilt tilt{upright, (upright ? sine : cosine) / scale, 0, profile_size_, 0};
        double const furthest = 0.5 * static_cast<double>(n_rows - 1) * std::abs(tilt.slope);
        tilt.base = static_cast<index>(std::ceil(furthest)) + 1;  // leaves zeros at either end of the profile
        tilt.length = n + 2 * tilt.base + 1;
        profile_size_ += tilt.length;
        (upright ? upright_ : turned_).push_back(n_angles());
        tilts_.push_back(tilt);

        double const middle = 0.5 * static_cast<double>(n - 1) + static_cast<double>(tilt.base);
        double const half = 0.5 / std::abs(scale);
        for (index j = 0; j < n_detector; ++j) {
            double const s = static_cast<double>(j) - 0.5 * static_cast<double>(n_detector - 1) - axis_offset;
            double const left = middle + s / scale - half, right = left + 2 * half;
            Ray ray{0, {0, 0, 0}};
            if (right > 0 && left < static_cast<double>(tilt.length - 1)) {
                auto const first = static_cast<index>(std::floor(left + 0.5));
                ray.first = std::clamp<index>(first, 0, tilt.length - 3);
                for (index k = 0; k < 3; ++k) {
                    auto const pixel = static_cast<double>(ray.first + k);
                    double const covered = std::min(right, pixel + 0.5) - std::max(left, pixel - 0.5);
                    ray.share[at(k)] = static_cast<float>(std::max(0.0, covered));
                }
            }
            rays_.push_back(ray);
        }
    }
}

TiltWorkspace TiltGeometry::workspace() const {
    TiltWorkspace work;
    auto const reserve = [](TiltWorkspace::Rows &rows, index n_rows, index n) {
        rows.value.assign(at(padded(n_rows) * (n + 2 * margin)), 0.0F);
        rows.step = rows.value;
    };
    if (!upright_.empty()) reserve(work.upright, nz_, nx_);
    if (!turned_.empty()) reserve(work.turned, nx_, nz_);
    work.profile.assign(at(profile_size_ + std::max(nz_, nx_)), 0.0F);  // ends with a profile of zeros
    work.profile_step = work.profile;
    if (!turned_.empty()) work.along_z.assign(at(nz_ * nx_), 0.0F);
    return work;
}

TiltGeometry::Shift TiltGeometry::shift(Tilt const &tilt, index row) const {
    index const n_rows = tilt.upright ? nz_ : nx_;
    double const whole_and_rest = (static_cast<double>(row) - 0.5 * static_cast<double>(n_rows - 1)) * tilt.slope +
                                  static_cast<double>(tilt.base);
    auto const whole = static_cast<index>(whole_and_rest);  // positive: to cut is to round down
    return {whole, static_cast<float>(whole_and_rest - static_cast<double>(whole))};
}

void TiltGeometry::sum_rows(Tilt const &tilt, TiltWorkspace &work) const {
    auto const &rows = tilt.upright ? work.upright : work.turned;
    index const n = tilt.upright ? nx_ : nz_, n_rows = tilt.upright ? nz_ : nx_, width = n + 2 * margin;
    float *const profile = work.profile.data() + tilt.start;
    std::fill_n(profile, tilt.length, 0.0F);
    for (index row = 0; row < n_rows; row += rows_at_once) {
        std::array<Shift, rows_at_once> shifts;
        for (index r = 0; r < rows_at_once; ++r) shifts[at(r)] = shift(tilt, std::min(row + r, n_rows - 1));
        // The first or the last of the rows is the one furthest to the left; rows beyond the last are zero.
        index const left = std::min(shifts.front().whole, shifts.back().whole);
        index const right = std::max(shifts.front().whole, shifts.back().whole) + n + 1;
        FourRows four;
        for (index r = 0; r < rows_at_once; ++r) {
            index const start = (row + r) * width + margin + left - shifts[at(r)].whole;
            four.value[at(r)] = rows.value.data() + start;
            four.step[at(r)] = rows.step.data() + start;
            four.rest[at(r)] = shifts[at(r)].rest;
        }
        four.add_to(profile + left, right - left);
    }
}

void TiltGeometry::project(View2D<float const> slice, View2D<float> sinogram, TiltWorkspace &work,
                           int n_threads) const {
    if (!upright_.empty()) lay_out(slice, true, work.upright, n_threads);
    if (!turned_.empty()) lay_out(slice, false, work.turned, n_threads);
    parallel_for(n_angles(), n_threads, [&](index a) {
        auto const &tilt = tilts_[at(a)];
        sum_rows(tilt, work);
        float const *const profile = work.profile.data() + tilt.start;
        Ray const *const rays = rays_.data() + a * n_detector_;
        float *const projection = sinogram.row(a);
        for (index j = 0; j < n_detector_; ++j) {
            auto const &share = rays[j].share;
            float const *const covered = profile + rays[j].first;
            projection[j] = share[0] * covered[0] + share[1] * covered[1] + share[2] * covered[2];
        }
    });
}

void TiltGeometry::smear_rows(bool upright, index row0, index row1, float *rows, TiltWorkspace const &work) const {
    auto const &tilts = upright ? upright_ : turned_;
    index const n = upright ? nx_ : nz_;
    std::fill_n(rows + row0 * n, (row1 - row0) * n, 0.0F);
    auto const n_tilts = static_cast<index>(tilts.size());
    for (index t = 0; t < n_tilts; t += rows_at_once) {
        for (index row = row0; row < row1; ++row) {
            FourRows four;
            for (index k = 0; k < rows_at_once; ++k) {
                bool const any = t + k < n_tilts;
                auto const &tilt = tilts_[at(tilts[at(any ? t + k : t)])];
                auto const shifted = shift(tilt, row);
                float const *const none = work.profile.data() + profile_size_;
                four.value[at(k)] = any ? work.profile.data() + tilt.start + shifted.whole : none;
                four.step[at(k)] = any ? work.profile_step.data() + tilt.start + shifted.whole : none;
                four.rest[at(k)] = any ? shifted.rest : 0.0F;
            }
            four.add_to(rows + row * n, n);
        }
    }
}

void TiltGeometry::back_project(View2D<float const> sinogram, View2D<float> slice, TiltWorkspace &work,
                                int n_threads) const {
    parallel_for(n_angles(), n_threads, [&](index a) {
        auto const &tilt = tilts_[at(a)];
        float *const profile = work.profile.data() + tilt.start;
        float *const step = work.profile_step.data() + tilt.start;
        std::fill_n(profile, tilt.length, 0.0F);
        Ray const *const rays = rays_.data() + a * n_detector_;
        float const *const projection = sinogram.row(a);
        for (index j = 0; j < n_detector_; ++j) {
            float *const covered = profile + rays[j].first;
            for (std::size_t k = 0; k < 3; ++k) covered[k] += rays[j].share[k] * projection[j];
        }
        for (index k = 0; k + 1 < tilt.length; ++k) step[k] = profile[k + 1] - profile[k];
    });
    if (upright_.empty()) std::fill_n(slice.data, slice.size(), 0.0F);
    if (!upright_.empty()) {
        parallel_for(blocks(nz_, block_height), n_threads, [&](index block) {
            index const row0 = block * block_height, row1 = std::min(row0 + block_height, nz_);
            smear_rows(true, row0, row1, slice.data, work);
        });
    }
    if (turned_.empty()) return;
    parallel_for(blocks(nx_, block_height), n_threads, [&](index block) {
        index const x0 = block * block_height, x1 = std::min(x0 + block_height, nx_);
        smear_rows(false, x0, x1, work.along_z.data(), work);
        for (index z = 0; z < nz_; ++z) {
            for (index x = x0; x < x1; ++x) slice(z, x) += work.along_z[at(x * nz_ + z)];
        }
    });
}

}  // namespace semrt
