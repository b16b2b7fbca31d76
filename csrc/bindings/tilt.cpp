#include "arrays.hpp"

#include "kernels/tilt.hpp"

#include <exception>

namespace semrt::bindings {

namespace {

semrt::TiltGeometry geometry_of(Array<double> const &angles, index nz, index nx, index n_detector, double axis_offset) {
    return {view1(angles, "angles"), nz, nx, n_detector, axis_offset};
}

semrt::View3D<float const> volume_view(Array<float> const &volume, index nz, index nx) {
    auto const view = view3(volume, "volume");
    if (view.nz != nz || view.nx != nx) throw py::value_error("volume: expected (nz, ny, nx) as the geometry has");
    return view;
}

semrt::View3D<float const> series_view(Array<float> const &series, Array<double> const &angles, index n_detector) {
    auto const view = view3(series, "series");
    if (view.nz != angles.shape(0) || view.nx != n_detector)
        throw py::value_error("series: expected (tilt, y, s) as the geometry has");
    return view;
}

// Tells Python of the work, and keeps what Python raises (Ctrl-C too) until the kernel has ended.
class Teller {
  public:
    explicit Teller(py::object progress) : progress_(std::move(progress)) {}

    bool operator()(semrt::index done, semrt::index total) {
        py::gil_scoped_acquire const held;
        try {
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            if (!progress_.is_none()) progress_(done, total);
            return true;
        } catch (...) {
            raised_ = std::current_exception();
            return false;
        }
    }

    void raise_again() {
        if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
    }

  private:
    py::object progress_;
    std::exception_ptr raised_;
};

Array<float> tilt_project(Array<float> const &volume, Array<double> const &angles, index n_detector, double axis_offset,
                          int n_threads) {
    auto const view = view3(volume, "volume");
    auto const geometry = geometry_of(angles, view.nz, view.nx, n_detector, axis_offset);
    auto series = new_array<float>({angles.shape(0), view.ny, n_detector});
    auto const series_out = out3(series);
    py::gil_scoped_release const released;
    semrt::project(geometry, view, series_out, n_threads);
    return series;
}

Array<float> tilt_back_project(Array<float> const &series, Array<double> const &angles, std::pair<index, index> shape,
                               double axis_offset, int n_threads) {
    auto const view = series_view(series, angles, series.ndim() == 3 ? series.shape(2) : 0);
    auto const geometry = geometry_of(angles, shape.first, shape.second, view.nx, axis_offset);
    auto volume = new_array<float>({shape.first, view.ny, shape.second});
    auto const volume_out = out3(volume);
    py::gil_scoped_release const released;
    semrt::back_project(geometry, view, volume_out, n_threads);
    return volume;
}

template <class How, class Reconstruct>
void reconstruct(Array<float> const &series, Array<double> const &angles, Array<float> &volume, double axis_offset,
                 How const &how, py::object const &progress, int n_threads, Reconstruct const &solve) {
    auto const measured = view3(series, "series");
    series_view(series, angles, measured.nx);
    auto const start = view3(volume, "volume");
    volume_view(volume, start.nz, start.nx);
    if (start.ny != measured.ny) throw py::value_error("volume: expected as many slices as series");
    auto const geometry = geometry_of(angles, start.nz, start.nx, measured.nx, axis_offset);
    auto const density = out3(volume);
    Teller teller(progress);
    {
        py::gil_scoped_release const released;
        solve(
            geometry, measured, density, how, [&](index done, index total) { return teller(done, total); }, n_threads);
    }
    teller.raise_again();
}

void tilt_sirt(Array<float> const &series, Array<double> const &angles, Array<float> volume, double axis_offset,
               int iterations, double relaxation, bool nonnegative, py::object const &progress, int n_threads) {
    reconstruct(series, angles, volume, axis_offset, semrt::Sirt{iterations, relaxation, nonnegative}, progress,
                n_threads, semrt::reconstruct_sirt);
}

void tilt_tv(Array<float> const &series, Array<double> const &angles, Array<float> volume, double axis_offset,
             int iterations, double weight, bool nonnegative, py::object const &progress, int n_threads) {
    reconstruct(series, angles, volume, axis_offset, semrt::TotalVariation{iterations, weight, nonnegative}, progress,
                n_threads, semrt::reconstruct_tv);
}

}  // namespace

void bind_tilt(py::module_ &m) {
    using namespace py::literals;
    m.def("tilt_project", &tilt_project, "volume"_a.noconvert(), "angles"_a.noconvert(), "n_detector"_a,
          "axis_offset"_a, "n_threads"_a);
    m.def("tilt_back_project", &tilt_back_project, "series"_a.noconvert(), "angles"_a.noconvert(), "shape"_a,
          "axis_offset"_a, "n_threads"_a);
    m.def("tilt_sirt", &tilt_sirt, "series"_a.noconvert(), "angles"_a.noconvert(), "volume"_a.noconvert(),
          "axis_offset"_a, "iterations"_a, "relaxation"_a, "nonnegative"_a, "progress"_a, "n_threads"_a);
    m.def("tilt_tv", &tilt_tv, "series"_a.noconvert(), "angles"_a.noconvert(), "volume"_a.noconvert(), "axis_offset"_a,
          "iterations"_a, "weight"_a, "nonnegative"_a, "progress"_a, "n_threads"_a);
}

}  // namespace semrt::bindings
