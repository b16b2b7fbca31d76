// Non-owning views of arrays that the caller keeps alive.
//
// Order is (z, y, x), the last axis contiguous. Kernels see these and nothing of Python.
#pragma once

#include <cstddef>
#include <type_traits>

namespace semrt {

using index = std::ptrdiff_t;

template <class T>
struct View1D {
    T *data;
    index n;

    constexpr T &operator[](index i) const { return data[i]; }
    constexpr T *begin() const { return data; }
    constexpr T *end() const { return data + n; }
    constexpr operator View1D<T const>() const { return {data, n}; }
};

template <class T>
struct View2D {
    T *data;
    index ny, nx;

    constexpr T &operator()(index y, index x) const { return data[y * nx + x]; }
    constexpr T *row(index y) const { return data + y * nx; }
    constexpr index size() const { return ny * nx; }
    constexpr operator View2D<T const>() const { return {data, ny, nx}; }
};

template <class T>
struct View3D {
    T *data;
    index nz, ny, nx;

    constexpr T &operator()(index z, index y, index x) const { return data[(z * ny + y) * nx + x]; }
    constexpr View2D<T> plane(index z) const { return {data + z * ny * nx, ny, nx}; }
    constexpr index size() const { return nz * ny * nx; }
    constexpr operator View3D<T const>() const { return {data, nz, ny, nx}; }
};

}  // namespace semrt
