// Scan paths: where the probe goes, in order.
//
// Positions are (y, x) [px] with (0, 0) at the centre of the top-left pixel; a pixel is visited by the positions that
// round to it. `coverage`, in (0, 1], is the fraction of the pixels to visit; every path ends with the pixel that
// completes it, unless said otherwise. Continuous paths move by at most a pixel from sample to sample, so that the
// pixels they visit touch; samples outside the field are left out unless said otherwise. The same arguments give the
// same path on every platform: random numbers are our own, and curved paths are rounded to 1/1024 px, which hides the
// last bits of libm. All throw std::invalid_argument where a path cannot visit so many pixels, or only in unreasonable
// time.
#pragma once

#include "position.hpp"
#include "view.hpp"

#include <cstdint>
#include <vector>

namespace semrt {

struct Shape {
    index ny, nx;
    constexpr index size() const { return ny * nx; }
};

using Path = std::vector<Position>;

// ------------------------------------------------------------------------------------------------ along the rows

// Whole rows, evenly spaced, as near to the coverage as whole rows allow; every other one backwards if `snake`.
Path raster(Shape shape, double coverage, bool snake);

// Every skip-th pixel of every skip-th row, then the same lattice shifted to where it leaves most room, and so on.
//
// skip: [px]; 0 for the smallest of at least 2 whose first pass fits the coverage.  The last pass is thinned evenly.
// Velazco et al. 2021, arXiv:2105.01617.
Path interleaved(Shape shape, double coverage, index skip);

// Bands of equal height crossed back and forth; every `run` samples the probe hops to another row of its band.
//
// Kovarik et al. 2016, doi:10.1063/1.4965720.
Path line_hop(Shape shape, double coverage, index run, std::uint64_t seed);

// Random walks along the rows, then along the columns: each step forwards strays to one side, or to neither.
//
// amplitude: how far [px] a walk may stray from the middle of its band; negative for all of its band.
// After the "jittered gridlike" path of Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0.
Path random_walk(Shape shape, double coverage, double amplitude, std::uint64_t seed);

// --------------------------------------------------------------------------------------------------- curved paths

enum class Spiral { archimedean, fermat, clv };

// A spiral from `centre` out to the farthest corner.
//
// archimedean: equally spaced arms at constant angular velocity.  clv: the same arms at constant linear velocity.
// fermat: equal areas in equal times at constant angular velocity, `angle_step` [rad] from sample to sample, so that
// its samples are single pixels unless the step is small.  angle: [rad] of the start, from +x towards +y.
// keep_outside: keep the samples outside the field, so that the path has no jumps across the corners.
// Sang et al. 2016, doi:10.1186/s40679-016-0020-3.
Path spiral(Shape shape, double coverage, Spiral kind, Position centre, double angle, double angle_step,
            bool keep_outside);

// Sinusoids on both axes whose frequencies (y over x) have an irrational ratio, so that the curve never closes.
//
// phase: [rad] of the y axis.  Equal times: the probe is fastest in the centre, where it moves a pixel a sample.
Path lissajous(Shape shape, double coverage, double ratio, double phase);

// The Hilbert curve, generalised to any rectangle, drawn on a lattice as coarse as the coverage asks.
Path hilbert(Shape shape, double coverage);

// -------------------------------------------------------------------------------------------------- single pixels

// One pixel out of each of equal cells, back and forth.  jitter: the part of its cell that a sample may fall in.
Path jittered_grid(Shape shape, double coverage, double jitter, std::uint64_t seed);

// Pixels in random order, none twice.
Path random_pixels(Shape shape, double coverage, std::uint64_t seed);

// ----------------------------------------------------------------------------------------------- published spiral

// The spiral of Ede & Beanland 2020, doi:10.1038/s41598-020-65261-0, pixel by pixel: r = nominal·θ / 2π in 10,000 equal
// steps of θ out to half the side of a canvas of ceil(√2·max(shape)), joined by lines of one pixel, cropped.
Path ede_spiral(Shape shape, double nominal);

// The nominal whose ede_spiral covers nearest to `coverage`.
double ede_nominal(Shape shape, double coverage);

}  // namespace semrt
