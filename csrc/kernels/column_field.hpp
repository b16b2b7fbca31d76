// An image of columns taken apart: columns, a smooth background, and the residual. What is not residual is the model.
#pragma once

#include "column_normal.hpp"
#include "column_profile.hpp"
#include "parallel.hpp"
#include "view.hpp"

#include <vector>

namespace semrt {

// Variance of a count: gain * (what is expected) + floor.
struct CountNoise {
    double gain, floor;
    double least;  // of what is expected [counts]: below it the variance stays what it is there
};

// A plane about a place: b0 + b_y (y - place.y) + b_x (x - place.x) [counts, px].
struct Plane {
    double y, x, b0, b_y, b_x;
};

class ColumnField {
  public:
    // image: kept by the caller.  blur: see set_blur.
    ColumnField(View2D<float const> image, double blur);

    View2D<float const> image() const { return image_; }
    View2D<float const> residual() const { return {residual_.data(), image_.ny, image_.nx}; }
    View2D<float const> weight() const { return {weight_.data(), image_.ny, image_.nx}; }

    // Starts again from the image less the background and these columns.
    void draw(std::vector<Column> const &columns, ColumnProfile const &profile, int n_threads);

    // One column becomes another; changes the residual within profile.reach() of both.
    void replace(Column const &before, Column const &after, ColumnProfile const &profile);

    // weight = 1 / variance of the model.
    void weigh(CountNoise const &noise, int n_threads);

    // Adds planes to the background, blended by Gaussians; nothing where none is within three blurs. The residual loses
    // what the background gains.
    void add_background(std::vector<Plane> const &planes, int n_threads);

    // From here on planes are blended by Gaussians of standard deviation blur [px]; draw() has to follow.
    void set_blur(double blur);

    // Goes on with another image of the same columns; draw() has to follow.
    void set_image(View2D<float const> image) { image_ = image; }

    double background(double y, double x) const;

  private:
    void subtract(std::vector<float> const &knots, View2D<float const> from, int n_threads);

    View2D<float const> image_;
    std::vector<float> residual_, weight_;
    double blur_;
    index step_, n_ky_, n_kx_;  // of the knots of the background [px], and their numbers
    std::vector<float> knots_;  // (n_ky, n_kx); between them the background is bilinear
};

// Places sorted into bands of rows, so high that places in every second band are more than twice `reach` apart: what
// they change within that reach they change alone, and in one order for any number of threads.
class Bands {
  public:
    Bands(index ny, double reach);

    void add(double y, std::size_t member);

    // Calls work(members) for each band, the even ones before the odd ones.
    template <class Work>
    void for_each(int n_threads, Work const &work) const {
        auto const count = static_cast<index>(members_.size());
        for (index parity = 0; parity < 2; ++parity) {
            parallel_for((count + 1 - parity) / 2, n_threads,
                         [&](index i) { work(members_[static_cast<std::size_t>(2 * i + parity)]); });
        }
    }

  private:
    double height_;
    std::vector<std::vector<std::size_t>> members_;
};

}  // namespace semrt
