#include "layer_sharpen.hpp"

#include "layer_scene.hpp"

namespace semrt {

double sharpen_layers(LayerPalette const &palette, SeenLayers const &seen, Smoothness const &smoothness, int rounds,
                      SharpMaps const &maps, int n_threads) {
    LayerScene scene(palette, seen, smoothness, {maps.entry.data, maps.entry.ny, maps.entry.nx});
    for (int i = 0; i < rounds; ++i) {
        index moved = scene.sweep(n_threads);
        moved += scene.sweep(n_threads);
        moved += scene.settle_regions();
        if (moved == 0) break;
    }
    if (rounds > 0) scene.sweep(n_threads);
    scene.write(maps, n_threads);
    return scene.cost();
}

}  // namespace semrt
