#include "random.hpp"
#include "scan_path.hpp"
#include "visits.hpp"

#include <cstdlib>
#include <limits>
#include <numeric>

namespace semrt {

namespace {

Position pixel(index y, index x) {
    return {static_cast<double>(y), static_cast<double>(x)};
}

// Where the i-th of n equal parts of a length begins, in whole pixels.
index part(index i, index n, index length) {
    return i * length / n;
}

index drawn(Random &random, index n) {
    return static_cast<index>(random.below(static_cast<std::uint32_t>(n)));
}

}  // namespace

Path jittered_grid(Shape shape, double coverage, double jitter, std::uint64_t seed) {
    index const n = pixels_wanted(shape, coverage);
    double const aspect = static_cast<double>(shape.ny) / static_cast<double>(shape.nx);
    auto const square = static_cast<index>(std::floor(std::sqrt(static_cast<double>(n) * aspect) + 0.5));
    index const rows = std::clamp(square, (n + shape.nx - 1) / shape.nx, std::min(n, shape.ny));
    Random random(seed);
    auto const within = [&](index i, index parts, index length) {
        index const begin = part(i, parts, length), size = part(i + 1, parts, length) - begin;
        index const free = std::max<index>(1, static_cast<index>(std::floor(jitter * static_cast<double>(size) + 0.5)));
        return begin + (size - free) / 2 + drawn(random, free);
    };
    Path path;
    path.reserve(static_cast<std::size_t>(n));
    for (index i = 0; i < rows; ++i) {
        index const columns = part(i + 1, rows, n) - part(i, rows, n);
        for (index k = 0; k < columns; ++k) {
            index const y = within(i, rows, shape.ny);
            index const x = within(i % 2 == 0 ? k : columns - 1 - k, columns, shape.nx);
            path.push_back(pixel(y, x));
        }
    }
    return path;
}

Path random_pixels(Shape shape, double coverage, std::uint64_t seed) {
    index const n = pixels_wanted(shape, coverage);
    std::vector<std::uint32_t> pixels(static_cast<std::size_t>(shape.size()));
    std::iota(pixels.begin(), pixels.end(), 0U);
    Random random(seed);
    Path path;
    path.reserve(static_cast<std::size_t>(n));
    for (index i = 0; i < n; ++i) {  // Fisher & Yates, stopped early
        std::swap(pixels[static_cast<std::size_t>(i)],
                  pixels[static_cast<std::size_t>(i + drawn(random, shape.size() - i))]);
        index const chosen = pixels[static_cast<std::size_t>(i)];
        path.push_back(pixel(chosen / shape.nx, chosen % shape.nx));
    }
    return path;
}

Path raster(Shape shape, double coverage, bool snake) {
    auto const whole = static_cast<index>(std::floor(coverage * static_cast<double>(shape.ny) + 0.5));
    index const rows = std::clamp<index>(whole, 1, shape.ny);
    Path path;
    path.reserve(static_cast<std::size_t>(rows * shape.nx));
    for (index i = 0; i < rows; ++i) {
        index const y = (2 * i + 1) * shape.ny / (2 * rows);
        for (index k = 0; k < shape.nx; ++k) path.push_back(pixel(y, snake && i % 2 == 1 ? shape.nx - 1 - k : k));
    }
    return path;
}

Path interleaved(Shape shape, double coverage, index skip) {
    index const n = pixels_wanted(shape, coverage);
    if (skip <= 0) skip = std::max<index>(2, static_cast<index>(std::ceil(1 / std::sqrt(coverage))));
    index const ny = std::min(skip, shape.ny), nx = std::min(skip, shape.nx);
    // Squared distance of each shift to the nearest taken before, the lattice repeating for ever.
    std::vector<index> room(static_cast<std::size_t>(ny * nx), std::numeric_limits<index>::max());
    index shift = ny / 2 * nx + nx / 2;
    Path path;
    path.reserve(static_cast<std::size_t>(n));
    for (index left = n; left > 0;) {
        index const y0 = shift / nx, x0 = shift % nx;
        index const columns = (shape.nx - x0 + nx - 1) / nx, pixels = (shape.ny - y0 + ny - 1) / ny * columns;
        index const taken = std::min(left, pixels);
        for (index i = 0; i < taken; ++i) {
            index const k = (2 * i + 1) * pixels / (2 * taken);
            path.push_back(pixel(y0 + k / columns * ny, x0 + k % columns * nx));
        }
        left -= taken;
        for (index y = 0; y < ny; ++y) {
            for (index x = 0; x < nx; ++x) {
                index const dy = std::min(std::abs(y - y0), ny - std::abs(y - y0));
                index const dx = std::min(std::abs(x - x0), nx - std::abs(x - x0));
                auto &nearest = room[static_cast<std::size_t>(y * nx + x)];
                nearest = std::min(nearest, dy * dy + dx * dx);
            }
        }
        shift = std::max_element(room.begin(), room.end()) - room.begin();
    }
    return path;
}

Path line_hop(Shape shape, double coverage, index run, std::uint64_t seed) {
    index const n = pixels_wanted(shape, coverage);
    index const rows = (n + shape.nx - 1) / shape.nx;
    Random random(seed);
    Path path;
    path.reserve(static_cast<std::size_t>(n));
    for (index i = 0; i < rows; ++i) {
        index const top = part(i, rows, shape.ny), height = part(i + 1, rows, shape.ny) - top;
        index const samples = part(i + 1, rows, n) - part(i, rows, n);
        index y = top + drawn(random, height);
        index until_hop = 1 + drawn(random, run);  // so that the hops of different bands do not line up
        for (index k = 0; k < samples; ++k, --until_hop) {
            if (until_hop == 0) {
                y = top + drawn(random, height);
                until_hop = run;
            }
            index const along = i % 2 == 0 ? k : samples - 1 - k;
            path.push_back(pixel(y, (2 * along + 1) * shape.nx / (2 * samples)));
        }
    }
    return path;
}

Path random_walk(Shape shape, double coverage, double amplitude, std::uint64_t seed) {
    // One family of walks: `lines` bands across, each walked for a fraction of its length.
    auto const walks = [&](index lines, index across, index length, double fraction, std::uint64_t first_stream,
                           auto const &emit) {
        auto const steps = static_cast<index>(std::ceil(fraction * static_cast<double>(length)));
        for (index i = 0; i < lines; ++i) {
            Random random(seed, first_stream + static_cast<std::uint64_t>(i));
            index low = part(i, lines, across), high = part(i + 1, lines, across) - 1;
            if (amplitude >= 0) {
                double const middle = 0.5 * static_cast<double>(low + high);
                double const reach = std::min(amplitude, static_cast<double>(across));
                low = std::max(low, static_cast<index>(std::floor(middle - reach)));
                high = std::min(high, static_cast<index>(std::ceil(middle + reach)));
            }
            index at = low + drawn(random, high - low + 1);
            for (index k = 0; k < steps; ++k) {
                if (!emit(at, i % 2 == 0 ? k : length - 1 - k)) return false;
                at = std::clamp(at + drawn(random, 3) - 1, low, high);
            }
        }
        return true;
    };
    auto const cross = [&](double pitch, double fraction, auto const &emit) {
        auto const lines = [&](index n) {
            return std::clamp<index>(static_cast<index>(std::ceil(static_cast<double>(n) / pitch)), 1, n);
        };
        auto const along_row = [&](index y, index x) { return emit(pixel(y, x)); };
        auto const along_column = [&](index x, index y) { return emit(pixel(y, x)); };
        if (!walks(lines(shape.ny), shape.ny, shape.nx, fraction, 0, along_row)) return;
        walks(lines(shape.nx), shape.nx, shape.ny, fraction, std::uint64_t{1} << 32, along_column);
    };
    index const wanted = pixels_wanted(shape, coverage);
    double const pitch =
        widest_pitch(shape, wanted, 2 / coverage, [&](double wide, auto const &emit) { cross(wide, 1, emit); });
    // Lines come in whole numbers: all of them are cut short alike, at alternating ends.
    return fitted_path(shape, wanted, 1,
                       [&](double shortening, auto const &emit) { cross(pitch, std::min(1.0, 1 / shortening), emit); });
}

}  // namespace semrt
