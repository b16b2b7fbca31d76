"""The networks for atomic columns: what they give, how far they see, and that their graphs give the same."""

import numpy as np
import pytest
import torch

from semrt_export.evaluate import onnx_run
from semrt_export.half_precision import half_precision
from semrt_export.networks.column_net import ColumnNet
from semrt_export.networks.column_unet import ColumnUNet
from semrt_export.to_onnx import to_onnx, verify


def with_weights_that_matter(network):
    """As if trained: every layer counts, and no unit is dead."""
    torch.manual_seed(0)
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=(2 / weight[0].numel()) ** 0.5)
        elif "bias" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return network.eval()


@pytest.fixture(scope="module", params=["small", "published"])
def network(request):
    """Narrow, because only the shape counts here; in double precision, so that what is equal is so to all digits."""
    kinds = {
        "small": lambda: ColumnNet(2, widths=(6, 8, 8)),
        "published": lambda: ColumnUNet(2, 2, widths=(6, 8, 8)),
    }
    return with_weights_that_matter(kinds[request.param]()).double()


def planes(rows, columns, n=1, count=2, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, count, rows, columns)))


def test_the_map_is_a_probability_and_as_large_as_the_image(network):
    with torch.no_grad():
        maps = network(1e3 * planes(3 * network.multiple, 5 * network.multiple, n=2))
    assert maps.shape == (2, 2, 3 * network.multiple, 5 * network.multiple)
    assert 0 <= maps[:, 0].min() < 0.1
    assert 0.9 < maps[:, 0].max() <= 1


def test_the_denoised_image_of_the_small_network_may_have_any_value():
    network = with_weights_that_matter(ColumnNet(2, widths=(6, 8, 8)))
    with torch.no_grad():
        clean = network(20 * planes(64, 64).float())[:, 1]
    assert clean.max() > 1
    assert clean.min() < 0


@pytest.mark.parametrize(("y", "x"), [(160, 160), (167, 167), (163, 162)])
def test_no_pixel_beyond_the_halo_matters_and_nearly_all_within_do(network, y, x):
    halo = network.receptive_field_radius()
    image = planes(328, 328).requires_grad_()
    network(image)[0, :, y, x].sum().backward()
    rows, columns = np.nonzero(image.grad.abs().sum((0, 1)).numpy())
    reach = max(y - rows.min(), rows.max() - y, x - columns.min(), columns.max() - x)
    assert halo - 3 * network.multiple < reach <= halo


def test_a_tile_with_its_halo_gives_what_the_whole_image_gives(network):
    halo = network.receptive_field_radius()
    image = planes(64 + 2 * halo + 128, 64)
    with torch.no_grad():
        whole, tile = network(image), network(image[:, :, 64 : 64 + 2 * halo + 64])
    torch.testing.assert_close(tile[:, :, halo : halo + 64], whole[:, :, 64 + halo : 128 + halo], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [ColumnNet, pytest.param(ColumnUNet, marks=pytest.mark.slow)])
def test_at_full_width_it_exports_and_runs_as_in_torch(kind):
    network = with_weights_that_matter(kind(2, **({"outputs": 2} if kind is ColumnUNet else {})))
    graph = to_onnx(network, channels=2, multiple=network.multiple)
    assert not any(value.dim_value for value in graph.graph.input[0].type.tensor_type.shape.dim[2:])

    def in_torch(channels):
        with torch.no_grad():
            return network(torch.from_numpy(channels)).numpy()

    inputs = [planes(8 * a, 8 * b, n).float().numpy() for n, a, b in ((1, 3, 5), (2, 1, 1), (1, 7, 2))]
    verify(in_torch, onnx_run(graph.SerializeToString(), threads=1), inputs)
    half = onnx_run(half_precision(graph).SerializeToString(), threads=1)
    verify(in_torch, half, inputs, limit=1e-2)


def test_the_published_network_is_the_same_for_a_tile_alone_and_in_a_batch():
    network = with_weights_that_matter(ColumnUNet(1, widths=(6, 8)))
    batch = planes(16, 16, n=3, count=1).float()
    with torch.no_grad():
        torch.testing.assert_close(network(batch)[1:2], network(batch[1:2]), rtol=0, atol=1e-6)


def test_the_small_network_takes_a_tenth_of_the_published_one():
    from torch.utils.flop_counter import FlopCounterMode

    costs = []
    for network in (ColumnNet(), ColumnUNet(2, 2)):
        with FlopCounterMode(display=False) as counter:
            network.eval()(torch.zeros(1, 2, 64, 64))
        costs.append(counter.get_total_flops() / 2 / 64**2)  # multiplications for each pixel
    assert costs[0] < 17_000
    assert costs[1] > 10 * costs[0]
    assert 2e5 < sum(weight.numel() for weight in ColumnNet().parameters()) < 6e5
    assert sum(weight.numel() for weight in ColumnUNet().parameters()) > 1.5e6
