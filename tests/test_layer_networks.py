"""The networks for layers: what they give, how far they see, how they learn, how large they are, and their graphs."""

import numpy as np
import pytest
import torch

from semrt.errors import InvalidOption
from semrt_export.evaluate import onnx_run
from semrt_export.half_precision import half_precision
from semrt_export.losses import laplace_likelihood, mean_over_stacks, thickness_loss, voxel_cross_entropy
from semrt_export.networks.layer_convolutions import LayerConvolutions
from semrt_export.networks.layer_hybrid import LayerHybridUNet
from semrt_export.networks.layer_net import LayerNet
from semrt_export.networks.layer_stacked import LayerStackedUNet
from semrt_export.networks.layer_unet import LayerUNet2d, LayerUNet3d
from semrt_export.to_onnx import to_onnx, verify

CHANNELS = 5
THICKNESS = {
    "3Conv": lambda: LayerConvolutions(CHANNELS, width=4),
    "UNet-to-2d": lambda: LayerUNet2d(CHANNELS, width=4),
    "stacked": lambda: LayerStackedUNet(CHANNELS, width=4),
}
VOXELS = {
    "UNet-to-3d": lambda: LayerUNet3d(CHANNELS, width=4),
    "hybrid": lambda: LayerHybridUNet(CHANNELS, width=32),
}
OURS = {
    "ours": lambda: LayerNet(CHANNELS, first_guess=1, widths=(4, 6, 6, 8)),
    "ours, at half resolution": lambda: LayerNet(CHANNELS, first_guess=1, widths=(4, 6, 8), stem_scale=2),
}
NETWORKS = THICKNESS | VOXELS | OURS


def with_weights_that_matter(network):
    """As if trained: every layer counts, and no unit is dead."""
    torch.manual_seed(0)
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=(2 / weight[0].numel()) ** 0.5)
        elif "bias" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return network.eval()


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """Narrow, because only the shape counts here; in double precision, so that what is equal is so to all digits."""
    return with_weights_that_matter(NETWORKS[request.param]()).double()


def images(rows, columns, n=1, seed=0, count=CHANNELS):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, count, rows, columns)))


# What they give


@pytest.mark.parametrize("name", THICKNESS)
def test_thickness_lies_between_nothing_and_the_thickest_layer(name):
    network = with_weights_that_matter(THICKNESS[name]())
    with torch.no_grad():
        thickness = network(1e4 * images(48, 80, n=2).float())
    assert thickness.shape == (2, 2, 48, 80)
    for material, thickest in enumerate((15, 150)):
        assert 0 <= thickness[:, material].min() < 0.01 * thickest
        assert 0.99 * thickest < thickness[:, material].max() <= thickest


@pytest.mark.parametrize("name", VOXELS)
def test_every_voxel_has_a_number_for_each_class(name):
    network = with_weights_that_matter(VOXELS[name]())
    with torch.no_grad():
        logits = network(images(3 * network.multiple, 5 * network.multiple, n=2).float())
    assert logits.shape == (2, 3, 16, 3 * network.multiple, 5 * network.multiple)
    assert logits.std(dim=1).min() > 0


def test_maps_of_the_unet_are_those_of_the_first_class_from_bottom_to_top_and_then_of_the_next():
    network = LayerUNet3d(CHANNELS, width=4, classes=3, heights=7).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.arange(21))
        logits = network(images(16, 16).float())
    assert logits[0, :, :, 3, 8].tolist() == [list(range(7)), list(range(7, 14)), list(range(14, 21))]


def test_a_stack_tells_all_its_answers_in_training_and_the_last_in_use():
    network = with_weights_that_matter(LayerStackedUNet(CHANNELS, width=4, stacks=3))
    stack = images(32, 16, n=2).float()
    with torch.no_grad():
        last = network(stack)
        network.training = True  # itself alone: neither dropout nor batch statistics
        answers = network(stack)
    assert answers.shape == (2, 3, 2, 32, 16)
    assert torch.equal(answers[:, -1], last)
    assert not torch.equal(answers[:, 0], last)


@pytest.mark.parametrize("name", ["UNet-to-2d", "stacked", "UNet-to-3d"])
def test_dropout_works_in_training_and_not_in_use(name):
    network = with_weights_that_matter(NETWORKS[name]())
    stack = images(32, 32).float()
    with torch.no_grad():
        assert torch.equal(network(stack), network(stack))
        for part in network.modules():
            part.training = isinstance(part, (torch.nn.Dropout, torch.nn.Dropout2d))
        assert not torch.equal(network(stack), network(stack))


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (2, 3, 5)])
def test_before_training_the_estimate_is_the_first_guess_and_its_error_one_unit(name, n, rows, columns):
    network = OURS[name]()
    given = images(rows * network.multiple, columns * network.multiple, n).float()
    maps = network(given)
    assert torch.equal(maps[:, :2], given[:, 1:3])
    assert torch.equal(maps[:, 2:], torch.zeros_like(maps[:, 2:]))


@pytest.mark.parametrize("name", OURS)
def test_what_is_added_to_the_first_guess_may_have_any_sign_and_is_not_bounded(name):
    network = with_weights_that_matter(OURS[name]())
    given = 1e3 * images(32, 32).float()
    with torch.no_grad():
        correction = network(given)[:, :2] - given[:, 1:3]
    for material in range(2):
        assert correction[:, material].min() < -100
        assert correction[:, material].max() > 100


# How far they see


@pytest.mark.parametrize("turned", [False, True], ids=["down", "across"])
def test_no_pixel_beyond_the_halo_matters_and_some_near_it_do(network, turned):
    halo, multiple = network.receptive_field_radius(), network.multiple
    assert halo % multiple == 0

    def at(stack, y):
        maps = network(stack.transpose(2, 3) if turned else stack)
        return (maps.transpose(-2, -1) if turned else maps)[..., y, :]

    stack, other = images(2 * halo + 4 * multiple, multiple), 10 * images(2 * halo + 4 * multiple, multiple, seed=1)
    rows = torch.arange(stack.shape[2])
    changed = []
    with torch.no_grad():
        for y in (halo + 2 * multiple - 1, halo + 2 * multiple, halo + 2 * multiple + multiple // 2):
            before = at(stack, y)
            for farther_than in (halo, halo - 2 * multiple):
                beyond = (rows - y).abs() > farther_than
                after = at(torch.where(beyond[:, None], other, stack), y)
                changed.append(not torch.equal(after, before))
                assert beyond.any()
    assert not any(changed[::2])
    assert any(changed[1::2])


def test_a_tile_with_its_halo_gives_what_the_whole_image_gives(network):
    halo, step = network.receptive_field_radius(), 2 * network.multiple
    stack = images(2 * halo + 3 * step, 2 * network.multiple)
    with torch.no_grad():
        whole, tile = network(stack), network(stack[:, :, step : 2 * step + 2 * halo])
    inside, tile = whole[..., step + halo : 2 * step + halo, :], tile[..., halo : halo + step, :]
    torch.testing.assert_close(tile, inside, rtol=0, atol=1e-12)


def test_an_image_alone_gives_what_it_gives_in_a_batch(network):
    batch = images(network.multiple, 3 * network.multiple, n=3)
    with torch.no_grad():
        torch.testing.assert_close(network(batch)[1:2], network(batch[1:2]), rtol=0, atol=1e-12)


# How they learn


@pytest.mark.parametrize("name", NETWORKS)
def test_the_loss_reaches_every_weight(name):
    """Batch statistics aside: with them, the bias before a normalisation cannot matter."""
    network = with_weights_that_matter(NETWORKS[name]()).double()
    network.training = True
    predicted = network(images(2 * max(16, network.multiple), 32, n=2))
    rng = np.random.default_rng(3)
    labels = torch.from_numpy(rng.integers(0, 3, (2, 16, 32, 32)))
    target = torch.from_numpy(rng.uniform(0, 15, (2, 2, 32, 32)))
    if name in VOXELS:
        loss = voxel_cross_entropy(predicted, labels)
    elif name in OURS:
        loss = laplace_likelihood(predicted, target, floor=0.1)
    elif name == "stacked":
        loss = mean_over_stacks(thickness_loss, predicted, target)
    else:
        loss = thickness_loss(predicted, target)
    loss.backward()
    untouched = [part for part, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert untouched == []


# How large they are


@pytest.mark.parametrize(
    ("kind", "published", "tolerance"),
    [(LayerUNet2d, 16.5e6, 0.005), (LayerStackedUNet, 75e6, 0.005), (LayerHybridUNet, 3.5e6, 0.01)],
)
def test_at_full_width_they_have_as_many_weights_as_published(kind, published, tolerance):
    with torch.device("meta"):  # counted, not made
        network = kind()
    assert network.in_channels == 31
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(published, rel=tolerance)


def test_the_smallest_published_network_stays_below_a_hundred_thousand_weights_in_three_convolutions():
    network = LayerConvolutions()
    assert 5e4 < sum(weight.numel() for weight in network.parameters()) < 1e5
    kernels = [part.kernel_size for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
    assert kernels == [(3, 3)] * 3


def test_the_unet_to_voxels_has_the_trunk_of_that_to_thickness():
    with torch.device("meta"):
        flat, solid = LayerUNet2d(), LayerUNet3d()
    shapes = [[(name, weight.shape) for name, weight in part.trunk.named_parameters()] for part in (flat, solid)]
    assert shapes[0] == shapes[1]


def test_ours_takes_a_small_part_of_what_the_best_published_network_takes():
    from torch.utils.flop_counter import FlopCounterMode

    costs = []
    for network in (LayerNet(10), LayerUNet2d()):
        with FlopCounterMode(display=False) as counter:
            network.eval()(torch.zeros(1, network.in_channels, 64, 64))
        costs.append(counter.get_total_flops() / 2 / 64**2)  # multiplications for each pixel
    assert costs[0] < 60_000
    assert costs[1] > 8 * costs[0]
    assert 3e5 < sum(weight.numel() for weight in LayerNet(10).parameters()) < 6e5
    assert 40 <= LayerNet(10).receptive_field_radius() <= 70


def test_a_width_that_cannot_be_shared_out_to_heights_is_refused():
    with pytest.raises(InvalidOption, match="multiple of 32, got 40"):
        LayerHybridUNet(width=40)


# Their graphs


def in_torch(network):
    def run(channels):
        with torch.inference_mode():
            return network(torch.from_numpy(channels)).numpy()

    return run


def graph_of(network):
    return to_onnx(network, channels=network.in_channels, multiple=network.multiple)


def batches(network):
    """Of sizes that the graph was not traced at."""
    for n, rows, columns in ((1, 1, 1), (1, 2, 7), (3, 4, 1)):
        yield images(rows * network.multiple, columns * network.multiple, n, count=network.in_channels).float().numpy()


@pytest.mark.parametrize(
    "name", ["3Conv", "UNet-to-2d", *(pytest.param(name, marks=pytest.mark.slow) for name in ("stacked", *VOXELS))]
)
def test_the_published_networks_have_graphs_that_give_the_same_at_any_size(name):
    network = with_weights_that_matter(NETWORKS[name]())
    graph = graph_of(network)
    for value in (*graph.graph.input, *graph.graph.output):
        axes = value.type.tensor_type.shape.dim
        assert [axes[axis].dim_param for axis in (0, -2, -1)] == ["batch", "height", "width"]
    errors = verify(in_torch(network), onnx_run(graph.SerializeToString(), threads=1), batches(network))
    assert errors["relative_rms"] < 1e-5
    half = onnx_run(half_precision(graph).SerializeToString(), threads=1)
    verify(in_torch(network), half, batches(network), limit=1e-2)


@pytest.mark.parametrize(
    "options", [{}, {"widths": (40, 64, 96), "stem_scale": 2}], ids=["full resolution", "half resolution"]
)
def test_at_full_width_ours_exports_in_both_precisions_by_what_every_backend_runs_fast(options):
    network = with_weights_that_matter(LayerNet(10, **options))
    graph = graph_of(network)
    assert {node.op_type for node in graph.graph.node} <= {
        *("Conv", "Relu", "Add", "Concat", "Slice", "SpaceToDepth", "DepthToSpace", "Gather")
    }
    verify(in_torch(network), onnx_run(graph.SerializeToString(), threads=1), batches(network))
    half = onnx_run(half_precision(graph).SerializeToString(), threads=1)
    verify(in_torch(network), half, batches(network), limit=1e-2)


def test_half_precision_leaves_the_first_guess_exact():
    network = with_weights_that_matter(LayerNet(CHANNELS, widths=(4, 6)))
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    run = onnx_run(half_precision(graph_of(network)).SerializeToString(), threads=1)
    given = images(8, 8).float().numpy()
    given[:, :2] += 100
    assert np.array_equal(run(given)[:, :2], given[:, :2])
