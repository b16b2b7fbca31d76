#include "blend.hpp"

#include "parallel.hpp"

#include <algorithm>

namespace semrt {

namespace {

// A thread is worth starting only for more than this many pixels.
constexpr index pixels_at_once = 1 << 16;

// Calls work(channel, z, y) for every line along x, several lines to a chunk.
template <class Work>
void for_each_line(index n_channels, index nz, index ny, index nx, int n_threads, Work const &work) {
    index const n_lines = n_channels * nz * ny;
    index const at_once = std::max<index>(1, pixels_at_once / std::max<index>(1, nx));
    parallel_for((n_lines + at_once - 1) / at_once, n_threads, [&](index chunk) {
        for (index line = chunk * at_once; line < std::min((chunk + 1) * at_once, n_lines); ++line) {
            work(line / (nz * ny), line / ny % nz, line % ny);
        }
    });
}

// Pixels [begin, end) of a tile along one axis.
struct Span {
    index begin, end;

    index size() const { return std::max<index>(0, end - begin); }
};

// The part of a tile from `origin` on that lies in a field of n.
Span inside_field(index size, index origin, index n) {
    return {std::max<index>(0, -origin), std::min(size, n - origin)};
}

// The part of `span` between weights of zero at its ends.
Span without_zeros(View1D<float const> weight, Span span) {
    while (span.begin < span.end && weight[span.begin] == 0) ++span.begin;
    while (span.begin < span.end && weight[span.end - 1] == 0) --span.end;
    return span;
}

}  // namespace

void cut_tile(Channels<float const> field, Origin origin, Border border, Channels<float> tile, int n_threads) {
    index const z0 = origin[0], y0 = origin[1], x0 = origin[2];
    Span const known = inside_field(tile.nx, x0, field.nx);
    for_each_line(tile.n, tile.nz, tile.ny, tile.nx, n_threads, [&](index channel, index z, index y) {
        auto const plane = field[channel].plane(inside(z0 + z, field.nz, border));
        float const *const from = plane.row(inside(y0 + y, field.ny, border));
        float *const to = tile[channel].plane(z).row(y);
        index x = 0;
        for (; x < std::min(known.begin, tile.nx); ++x) to[x] = from[inside(x0 + x, field.nx, border)];
        if (known.size() > 0) {
            std::copy_n(from + x0 + x, known.size(), to + x);
            x = known.end;
        }
        for (; x < tile.nx; ++x) to[x] = from[inside(x0 + x, field.nx, border)];
    });
}

void add_tile(Channels<float const> tile, Window window, Origin origin, Channels<float> canvas, int n_threads) {
    index const z0 = origin[0], y0 = origin[1], x0 = origin[2];
    Span const in_z = without_zeros(window.z, inside_field(tile.nz, z0, canvas.nz));
    Span const in_y = without_zeros(window.y, inside_field(tile.ny, y0, canvas.ny));
    Span const in_x = without_zeros(window.x, inside_field(tile.nx, x0, canvas.nx));
    for_each_line(tile.n, in_z.size(), in_y.size(), in_x.size(), n_threads,
                  [&](index channel, index line_z, index line_y) {
                      index const z = in_z.begin + line_z, y = in_y.begin + line_y;
                      float const weight = window.z[z] * window.y[y];
                      float const *const from = tile[channel].plane(z).row(y);
                      float *const to = canvas[channel].plane(z0 + z).row(y0 + y) + x0;
                      for (index x = in_x.begin; x < in_x.end; ++x) to[x] += weight * window.x[x] * from[x];
                  });
}

}  // namespace semrt
