// Cutting tiles out of a field and adding them up again, in one to three dimensions.
#pragma once

#include "border.hpp"
#include "view.hpp"

#include <array>

namespace semrt {

// The channels of a field; an image is a volume of one plane.
template <class T>
struct Channels {
    T *data;
    index n, nz, ny, nx;

    constexpr View3D<T> operator[](index channel) const { return {data + channel * nz * ny * nx, nz, ny, nx}; }
    constexpr operator Channels<T const>() const { return {data, n, nz, ny, nx}; }
};

using Origin = std::array<index, 3>;  // (z, y, x) [px] of a tile's first pixel in the field

// Copies the part of `field` that starts at `origin` into `tile`; beyond the field stands what `border` says.
//
// field: (n, nz, ny, nx).  tile: (n, any shape).  O(tile).
void cut_tile(Channels<float const> field, Origin origin, Border border, Channels<float> tile, int n_threads);

// The weights of a tile along its three axes; their product is the weight of a pixel.
struct Window {
    View1D<float const> z, y, x;
};

// Adds `tile` times `window` to the part of `canvas` that starts at `origin`; what lies outside the canvas is left out.
//
// tile: (n, nz, ny, nx).  canvas: (n, any shape).  O(tile); pixels of weight zero at the ends of an axis are not read.
void add_tile(Channels<float const> tile, Window window, Origin origin, Channels<float> canvas, int n_threads);

}  // namespace semrt
