// What `sharpen_layers` works on: an image of entries of a palette, with a margin, and what is seen of it.
#pragma once

#include "layer_sharpen.hpp"

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace semrt {

class LayerScene {
  public:
    LayerScene(LayerPalette const &palette, SeenLayers const &seen, Smoothness const &smoothness,
               View2D<std::int32_t const> entry);

    // Both return how many moved.
    index sweep(int n_threads);
    index settle_regions();

    double cost() const;
    void write(SharpMaps const &maps, int n_threads) const;

  private:
    // What the cost of moving from one entry to another hangs on: along and bent for each energy.
    struct Slope {
        std::vector<float> along, bent;
    };
    using Contacts = std::vector<std::pair<std::int32_t, float>>;  // entries of neighbours, and how much of each
    struct Region {
        std::vector<index> pixels;
        index y0, y1, x0, x1;  // of what is seen of it, inclusive
    };

    std::size_t at(index y, index x) const { return static_cast<std::size_t>(y * nx_ + x); }
    std::size_t energies_at(std::size_t pixel) const { return pixel * static_cast<std::size_t>(stride_); }
    float const *signal(std::int32_t entry) const {
        return signals_.data() + energies_at(static_cast<std::size_t>(entry));
    }

    void see();
    void update(index y, index x, Slope &slope, index &moved);
    void slope_of(index y, index x, Slope &slope) const;
    void slope_of(Region const &region, std::vector<float> const &shares, Slope &slope) const;
    void add_shares(Region const &region, std::vector<float> &shares) const;
    float change(Slope const &slope, std::int32_t from, std::int32_t to) const;
    float difference(std::int32_t one, std::int32_t other) const;
    float border(Contacts const &contacts, std::int32_t entry) const;
    void contacts_of(index y, index x, Contacts &contacts) const;
    void candidates_of(index y, index x, std::vector<std::int32_t> &candidates) const;
    void doubt_pixels(std::vector<std::array<double, 2>> &doubt, int n_threads) const;
    void doubt_regions(std::vector<std::array<double, 2>> &doubt, std::vector<float> &alike) const;
    std::array<double, 2> stairs_about(Contacts const &contacts, std::int32_t own) const;
    std::vector<Region> regions(std::vector<std::int32_t> &of_pixel) const;
    Contacts contacts_of(Region const &region, std::vector<std::int32_t> const &of_pixel, std::int32_t number) const;

    LayerPalette palette_;
    Smoothness smoothness_;
    index n_, stride_;                                 // energies, and places for them
    index width_, reach_;                              // of what is seen of a pixel, and to either side
    index ny_, nx_;                                    // with the margin
    std::vector<float> signals_, seen_from_;           // (entries, stride), (width, width, stride)
    std::vector<float> measured_, weight_, expected_;  // (ny, nx, stride)
    std::vector<std::int32_t> entry_;
    std::array<float, 2> stair_{};  // the least step between thicknesses that are tried everywhere [nm]
};

}  // namespace semrt
