"""The published network for partial scans and its opponents: layer by layer as published, at any width."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.nn.utils.parametrize import is_parametrized

from semrt_export.evaluate import onnx_run
from semrt_export.networks.multiscale_discriminators import MultiscaleDiscriminators, multiscale_crops
from semrt_export.networks.multiscale_generator import MultiscaleGenerator
from semrt_export.to_onnx import to_onnx

NARROW = 1 / 32


def layers_of(network):
    """(kind, kernel, inputs, outputs, stride, slope of what follows) of each convolution, in order."""
    found = []
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            kind = "up" if isinstance(part, nn.ConvTranspose2d) else "conv"
            found.append([kind, part.kernel_size[0], part.in_channels, part.out_channels, part.stride[0], None])
        elif isinstance(part, nn.LeakyReLU):
            found[-1][-1] = part.negative_slope
    return [tuple(layer) for layer in found]


@pytest.fixture(scope="module")
def published():
    with torch.device("meta"):  # counted, not made
        return MultiscaleGenerator(2, plain_first=True)


@pytest.fixture(scope="module")
def narrow():
    """A network whose layers are scaled to scans, as before training; narrow, because only its shape counts here."""
    torch.manual_seed(0)
    network = MultiscaleGenerator(3, seen=2, width=NARROW)
    network.scale_layers(torch.randn(2, 3, 64, 64))
    return network.double()


def test_the_generator_has_the_published_layers(published):
    middle = [("conv", 3, 768, 768, 1, 0.01)] * 18
    assert layers_of(published.inner) == [
        ("conv", 5, 2, 64, 1, 0.1),
        ("conv", 3, 64, 128, 2, 0.01),
        ("conv", 3, 128, 256, 2, 0.01),
        ("conv", 3, 256, 512, 2, 0.01),
        ("conv", 3, 512, 768, 2, 0.01),
        *middle,
        ("up", 3, 768, 512, 2, 0.01),
        ("up", 3, 512, 256, 2, 0.01),
        ("up", 3, 256, 128, 2, 0.01),
        ("up", 3, 128, 64, 2, 0.01),
    ]
    assert layers_of(published.trainer) == [("conv", 3, 64, 64, 1, 0.01), ("conv", 3, 64, 1, 1, None)]
    assert layers_of(published.encoder) == [("conv", 5, 2, 32, 1, 0.1), ("conv", 3, 32, 64, 2, 0.1)]
    assert layers_of(published.decoder) == [
        *[("conv", 3, 64, 64, 1, 0.01)] * 9,
        ("up", 3, 64, 32, 2, 0.01),
        ("conv", 3, 32, 32, 1, 0.01),
        ("conv", 3, 32, 1, 1, None),
    ]


def test_the_generator_has_the_published_106_million_parameters(published):
    inner = 25 * 2 * 64 + 9 * (64 * 128 + 128 * 256 + 256 * 512 + 512 * 768) + 18 * 9 * 768**2
    inner += 9 * (768 * 512 + 512 * 256 + 256 * 128 + 128 * 64)
    trainer = 9 * (64 * 64 + 64)
    outer = 25 * 2 * 32 + 9 * 32 * 64 + 9 * 9 * 64**2 + 9 * (64 * 32 + 32 * 32 + 32)
    biases = 64 + 128 + 256 + 512 + 768 * 19 + 512 + 256 + 128 + 64 + (64 + 1) + (32 + 64 + 9 * 64 + 32 + 32 + 1)
    lengths = biases - 64  # of normalised weights, one a channel; those of the first convolution are not normalised
    found = sum(weight.numel() for weight in published.parameters())
    assert found == inner + trainer + outer + biases + lengths
    assert found == pytest.approx(106e6, rel=0.005)


def test_the_generator_takes_the_published_63_billion_multiplications_for_512_pixels_squared(published):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        published.train()(torch.zeros(1, 2, 512, 512, device="meta"))
    assert counter.get_total_flops() / 2 == pytest.approx(63e9, rel=0.01)


def test_width_scales_every_layer_but_what_goes_in_and_out():
    wide, narrow = (layers_of(MultiscaleGenerator(2, width=width)) for width in (2 * NARROW, NARROW))
    for full, half in zip(wide, narrow, strict=True):
        assert full[2] == (2 if half[2] == 2 and half[1] == 5 else 2 * half[2])
        assert full[3] == (1 if half[5] is None else 2 * half[3])


def test_in_training_the_output_holds_the_image_and_the_half_size_one_of_the_trainer(narrow):
    channels = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        outer, inner = narrow.train().unpacked(narrow(channels))
        alone = narrow.eval()(channels)
        features = narrow.inner(nn.functional.avg_pool2d(channels[:, :2], 2))
        half = narrow.trainer(features)
    assert torch.equal(outer, alone)
    assert torch.equal(inner, half)
    assert inner.shape == (2, 1, 32, 48)
    assert narrow.unpacked(alone)[1] is None


def test_without_a_trainer_training_gives_the_image_alone():
    network = MultiscaleGenerator(2, width=NARROW, trainer=False).train()
    assert network(torch.randn(1, 2, 64, 64)).shape == (1, 1, 64, 64)


def test_the_network_looks_at_its_channels_alone():
    network = MultiscaleGenerator(3, first=1, seen=1, width=NARROW).eval()
    channels = torch.randn(1, 3, 32, 32, requires_grad=True)
    network(channels).square().sum().backward()
    seen = channels.grad.abs().sum((0, 2, 3)) > 0
    assert seen.tolist() == [False, True, False]


@pytest.mark.parametrize("plain_first", [False, True])
def test_a_new_network_has_layers_of_mean_0_and_variance_1_on_scans_it_was_scaled_to(plain_first):
    torch.manual_seed(1)
    network = MultiscaleGenerator(2, width=NARROW, plain_first=plain_first).double()
    scans = torch.randn(3, 2, 64, 64, dtype=torch.float64)
    network.scale_layers(scans)
    outputs = {}
    for name, part in network.named_modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.register_forward_hook(lambda _part, _inputs, output, name=name: outputs.update({name: output}))
    with torch.no_grad():
        network(scans)
    plain = [name for name, output in outputs.items() if (output.var(correction=0) - 1).abs() > 0.01]
    assert plain == (["inner.0.0"] if plain_first else [])
    for name in outputs.keys() - plain:
        np.testing.assert_allclose(outputs[name].mean((0, 2, 3)).detach(), 0, atol=1e-6)
        np.testing.assert_allclose(outputs[name].var((0, 2, 3), correction=0).detach(), 1, atol=1e-3)


def test_no_pixel_beyond_the_halo_matters_and_nearly_all_within_do(narrow):
    halo = narrow.receptive_field_radius()
    channels = torch.randn((1, 3, 32, 1504), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    channels.requires_grad_()
    reaches = []
    for at in range(736, 768):  # every pixel of a cell of the coarsest scale
        (gradient,) = torch.autograd.grad(narrow.eval()(channels)[0, 0, 16, at], channels)
        (columns,) = np.nonzero(gradient.abs().sum((0, 1, 2)).numpy())
        reaches.append(max(at - columns.min(), columns.max() - at))
    assert halo - 32 < max(reaches) <= halo
    assert halo == 672


@pytest.mark.parametrize("normalised", [weight_norm, spectral_norm])
def test_normalised_weights_are_exported_as_numbers_and_stay_normalised_in_the_network(normalised):
    torch.manual_seed(0)
    network = nn.Sequential(normalised(nn.Conv2d(2, 4, 3, padding=1)), nn.LeakyReLU(), nn.Conv2d(4, 1, 1)).eval()
    image = torch.randn(1, 2, 16, 24)
    with torch.no_grad():
        before = network(image)
        graph = to_onnx(network, channels=2, multiple=8)
        assert torch.equal(network(image), before)
    assert [node.op_type for node in graph.graph.node] == ["Conv", "LeakyRelu", "Conv"]
    np.testing.assert_allclose(onnx_run(graph.SerializeToString(), threads=1)(image.numpy()), before, atol=1e-6)
    assert is_parametrized(network[0])


# --- opponents


def test_the_opponents_have_the_published_layers_and_parameters():
    with torch.device("meta"):
        opponents = MultiscaleDiscriminators()
    for scale in opponents.scales:
        assert layers_of(scale) == [
            ("conv", 4, 1, 64, 2, 0.2),
            ("conv", 4, 64, 128, 2, 0.2),
            ("conv", 4, 128, 256, 2, 0.2),
            ("conv", 4, 256, 512, 2, 0.2),
        ]
    one = 16 * (64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + 128 + 256 + 512
    assert sum(weight.numel() for weight in opponents.parameters()) == 3 * one == 8_263_488
    # 70 px become 34, 16, 7 and 2, as no padding is given.
    assert opponents.scales[0](torch.zeros(1, 1, 70, 70, device="meta")).shape == (1, 512, 2, 2)


def test_what_an_opponent_says_is_the_sum_of_its_last_layer():
    torch.manual_seed(0)
    opponents = MultiscaleDiscriminators(width=NARROW).eval()
    crops = [torch.randn(2, 1, 46, 46) for _ in range(3)]
    with torch.no_grad():
        said = opponents(crops)
        expected = [scale(crop).reshape(2, -1).sum(1) for scale, crop in zip(opponents.scales, crops, strict=True)]
    torch.testing.assert_close(said, torch.stack(expected))
    assert said.shape == (3, 2)


def test_the_weights_of_the_opponents_stretch_nothing():
    torch.manual_seed(0)
    opponents = MultiscaleDiscriminators(width=NARROW).train()
    with torch.no_grad():
        for weight in opponents.parameters():
            weight.mul_(7)  # which the normalisation takes back
        for _ in range(30):
            opponents([torch.zeros(1, 1, 46, 46)] * 3)
    for part in opponents.eval().modules():
        if isinstance(part, nn.Conv2d):
            largest = torch.linalg.svdvals(part.weight.detach().flatten(1))[0]
            assert largest.item() == pytest.approx(1, rel=0.02)


def test_crops_of_three_sizes_show_the_same_place_of_all_images():
    rows, columns = torch.meshgrid(torch.arange(300.0), torch.arange(400.0), indexing="ij")
    images = torch.stack((rows, columns, rows + columns))[None]
    for seed in range(8):
        rng = np.random.default_rng(seed)
        for factor, crop in zip((1, 2, 4), multiscale_crops(images, 50, rng), strict=True):
            assert crop.shape == (1, 3, 50, 50)
            torch.testing.assert_close(crop[:, 0] + crop[:, 1], crop[:, 2], rtol=1e-4, atol=1e-3)
            for part in crop[0, :2]:
                assert part.max() - part.min() <= 50 * factor - 1 + 1e-3  # less where a border mirrors


def test_crops_reach_beyond_the_borders_by_twice_their_side():
    image = torch.zeros(1, 1, 120, 120)
    image[..., 0, 0] = 1  # what stands in the corner is seen at four places once mirrored, or at one
    corners = [multiscale_crops(image, 50, np.random.default_rng(seed))[0].max().item() > 0 for seed in range(100)]
    # 320 - 50 + 1 places each way, of which 50 show the corner, that stands at 100 of them: (50 / 271)² of all.
    assert 0 < np.mean(corners) < 0.1
