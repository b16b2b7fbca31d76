#include "scan_path.hpp"
#include "visits.hpp"

#include <cstdlib>

namespace semrt {

namespace {

struct Node {
    index y, x;
    constexpr Node operator+(Node b) const { return {y + b.y, x + b.x}; }
    constexpr Node operator-(Node b) const { return {y - b.y, x - b.x}; }
    constexpr Node operator-() const { return {-y, -x}; }
};

constexpr index sign(index v) {
    return (v > 0) - (v < 0);
}
constexpr Node unit(Node v) {
    return {sign(v.y), sign(v.x)};
}
constexpr index half(index v) {
    return (v - (v < 0)) / 2;
}  // rounded down
constexpr Node half(Node v) {
    return {half(v.y), half(v.x)};
}
index length(Node v) {
    return std::abs(v.y + v.x);
}

// Visits the rectangle that `along` and `across` span from `corner`, from there to its other end along `along`.
//
// The generalised Hilbert curve of J. Červený, github.com/jakubcerveny/gilbert: every step goes to a neighbour, at
// worst across a corner where the rectangle's sides are odd.
template <class Emit>
void fill(Node corner, Node along, Node across, Emit const &emit) {
    index const w = length(along), h = length(across);
    Node const a = unit(along), b = unit(across);
    if (h == 1 || w == 1) {
        Node const forward = h == 1 ? a : b;
        for (index i = 0; i < std::max(w, h); ++i, corner = corner + forward) emit(corner);
        return;
    }
    Node along_half = half(along), across_half = half(across);
    if (2 * w > 3 * h) {  // long: halve it
        if (length(along_half) % 2 == 1 && w > 2) along_half = along_half + a;
        fill(corner, along_half, across, emit);
        fill(corner + along_half, along - along_half, across, emit);
        return;
    }
    if (length(across_half) % 2 == 1 && h > 2) across_half = across_half + b;
    fill(corner, across_half, along_half, emit);
    fill(corner + across_half, along, across - across_half, emit);
    fill(corner + (along - a) + (across_half - b), -across_half, -(along - along_half), emit);
}

// The curve through rows × columns nodes that share the field evenly, from node to node in steps of at most a pixel.
//
// scale: shrinks it around the centre of the field.
template <class Emit>
void trace_hilbert(Shape shape, index rows, index columns, double scale, Emit const &emit) {
    auto const along = [scale](index k, index nodes, index n) {
        double const pitch = scale * static_cast<double>(n) / static_cast<double>(nodes);
        return 0.5 * static_cast<double>(n - 1) +
               (static_cast<double>(k) - 0.5 * static_cast<double>(nodes - 1)) * pitch;
    };
    Position last{};
    bool started = false, wanted = true;
    auto const to = [&](Node node) {
        Position const next{along(node.y, rows, shape.ny), along(node.x, columns, shape.nx)};
        if (!started) {
            wanted = emit(Position{rounded(next.y), rounded(next.x)});
        } else if (wanted) {
            double const far = std::max(std::abs(next.y - last.y), std::abs(next.x - last.x));
            auto const n = far <= 1 ? index{1} : static_cast<index>(std::ceil(far / step));
            for (index i = 1; i <= n && wanted; ++i) {
                double const t = static_cast<double>(i) / static_cast<double>(n);
                wanted =
                    emit(Position{rounded(last.y + t * (next.y - last.y)), rounded(last.x + t * (next.x - last.x))});
            }
        }
        last = next;
        started = true;
    };
    Node const down{rows, 0}, right{0, columns};
    if (columns >= rows)
        fill({0, 0}, right, down, to);
    else
        fill({0, 0}, down, right, to);
}

}  // namespace

Path hilbert(Shape shape, double coverage) {
    index const wanted = pixels_wanted(shape, coverage);
    Visits visits(shape);
    auto const count = [&](index rows, index columns, double scale) {
        visits.forget();
        trace_hilbert(shape, rows, columns, scale, [&](Position at) { return visits.visit(at); });
        return visits.count();
    };
    // Nodes come in whole rows and columns: of the lattices near the guess, that which visits fewest pixels too many.
    auto const guess = [&](index n) { return static_cast<index>(std::floor(coverage * static_cast<double>(n) + 0.5)); };
    index fewest = shape.size() + 1, rows = shape.ny, columns = shape.nx;
    for (index i = -3; i <= 3; ++i) {
        for (index k = -3; k <= 3 && fewest > wanted; ++k) {
            index const ny = std::clamp<index>(guess(shape.ny) + i, 1, shape.ny);
            index const nx = std::clamp<index>(guess(shape.nx) + k, 1, shape.nx);
            index const pixels = count(ny, nx, 1);
            if (pixels >= wanted && pixels < fewest) {
                fewest = pixels;
                rows = ny;
                columns = nx;
            }
        }
    }
    // Where these are many, shrinking by up to half a pitch at each border sheds some: cut short, the curve would leave
    // a corner of the field out. Not by bisection, as pixels come and go with the rounding of whole lines.
    double scale = 1;
    constexpr index scales = 32;
    for (index i = 1; i < scales && fewest > wanted + wanted / 500; ++i) {
        double const smaller = 1 - static_cast<double>(i) / static_cast<double>(scales * std::min(rows, columns));
        index const pixels = count(rows, columns, smaller);
        if (pixels >= wanted && pixels < fewest) {
            fewest = pixels;
            scale = smaller;
        }
    }
    return path_until(visits, wanted, [&](auto const &emit) { trace_hilbert(shape, rows, columns, scale, emit); });
}

}  // namespace semrt
