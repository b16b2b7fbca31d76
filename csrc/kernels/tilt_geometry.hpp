// Parallel-beam projection of one slice across the tilt axis, and its adjoint.
//
// A slice is (z, x), a sinogram (tilt, s). At tilt θ the beam runs along (z, x) = (cos θ, -sin θ), and what it meets at
// (z, x) falls on s = x cos θ + z sin θ, measured from where the axis falls on the detector; z and x from the centre
// (n - 1) / 2. A projection is density × path length [px], averaged over each detector pixel.
//
// In two steps, each a mean by area or by linear interpolation, so that what a projection sums to is what the slice
// sums to: the slice is sheared until the beam runs along one of its axes and summed along it (Joseph's method, with
// one fraction of a pixel for a whole row, hence fast), and the profile is shared out to the detector's pixels. Joseph
// 1982, doi:10.1109/TMI.1982.4307572.
#pragma once

#include "view.hpp"

#include <array>
#include <vector>

namespace semrt {

// What lies between a slice and its sinogram, kept so that repeated projections need no new memory.
struct TiltWorkspace {
    struct Rows {
        std::vector<float> value, step;  // each pixel, and what the pixel before has more; zeros around each row
    };
    Rows upright, turned;  // rows along x, and along z
    std::vector<float> profile, profile_step;
    std::vector<float> along_z;  // (x, z), what the profiles of steep tilts give back
};

class TiltGeometry {
  public:
    // angles: [degrees], any.  n_detector: pixels of the detector.  axis_offset: where the axis falls on the detector,
    // right of its centre [px].
    TiltGeometry(View1D<double const> angles, index nz, index nx, index n_detector, double axis_offset);

    index nz() const { return nz_; }
    index nx() const { return nx_; }
    index n_angles() const { return static_cast<index>(tilts_.size()); }
    index n_detector() const { return n_detector_; }

    TiltWorkspace workspace() const;

    // slice: (nz, nx).  sinogram: (n_angles, n_detector), overwritten.  O(nz·nx·n_angles).
    void project(View2D<float const> slice, View2D<float> sinogram, TiltWorkspace &work, int n_threads) const;

    // The adjoint of project, to rounding.  slice: overwritten.
    void back_project(View2D<float const> sinogram, View2D<float> slice, TiltWorkspace &work, int n_threads) const;

  private:
    // Which pixels of the profile a detector pixel covers, and how much of each.
    struct Ray {
        index first;
        std::array<float, 3> share;
    };

    struct Tilt {
        bool upright;         // the rows along x are shifted, otherwise those along z
        double slope;         // from row to row [px]
        index base;           // shift of the middle row [px]
        index start, length;  // of its profile in the workspace
    };

    // A row's shift: whole pixels and the rest.
    struct Shift {
        index whole;
        float rest;
    };

    Shift shift(Tilt const &tilt, index row) const;
    void sum_rows(Tilt const &tilt, TiltWorkspace &work) const;
    void smear_rows(bool upright, index row0, index row1, float *rows, TiltWorkspace const &work) const;

    index nz_, nx_, n_detector_;
    std::vector<Tilt> tilts_;
    std::vector<Ray> rays_;                // (n_angles, n_detector)
    std::vector<index> upright_, turned_;  // tilts
    index profile_size_ = 0;
};

}  // namespace semrt
