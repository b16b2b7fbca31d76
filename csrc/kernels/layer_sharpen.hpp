// Layers seen through a probe wider than a pixel, in images that drifted apart: at each energy, a pixel shows a
// weighted mean of the signals about it. Knowing the weights, every pixel can be told apart from its neighbours again.
#pragma once

#include "layer_choice.hpp"

#include <cstdint>
#include <vector>

namespace semrt {

// What pixels may be: of each entry the signal at each energy and the thicknesses.
struct LayerPalette {
    View2D<float const> signals;    // (entries, n)
    View2D<float const> thickness;  // (entries, 2) [nm]
    index n_common;  // the first entries, which are tried everywhere; the others spread from where they are
};

struct SeenLayers {
    View3D<float const> measured;   // (n, ny, nx)
    View3D<float const> deviation;  // (n, ny, nx), standard, of the noise; above 0
    View3D<float const> taps;       // (n, 2, k): shares, along y and x, of what lies -k/2 .. k/2 pixels away; k is odd
};

struct SharpMaps {
    View2D<std::int32_t> entry;  // (ny, nx), where to start on entry, and what was found
    View3D<float> expected;      // (n, ny, nx), what is seen of it
    View3D<float> doubt;         // (2, ny, nx) [nm], how far off lies what would cost little more; or empty
    View2D<float> alike;         // (ny, nx), pixels of the connected region of one entry; as empty
};

// Finds entries of locally least cost: half the squared deviations from what was measured, and the cost of neighbours
// that differ. Pixels take what lies about them or what they would share with it layer by layer, regions whatever costs
// least. What lies beyond the field is found as well. Returns the cost.
//
// rounds: of two passes over the pixels and one over the regions, fewer where nothing changes, 0 to look only.
// Cost of a pass: n k² for each pixel at an edge, and as much for each pixel of a region.
// Besag 1986, doi:10.1111/j.2517-6161.1986.tb01412.x, with a blurred likelihood.
double sharpen_layers(LayerPalette const &palette, SeenLayers const &seen, Smoothness const &smoothness, int rounds,
                      SharpMaps const &maps, int n_threads);

}  // namespace semrt
