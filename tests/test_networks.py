"""The infill network: what it is before training, how far it sees, and that tiles can replace the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt_export.networks.infill_net import InfillNet

FIRST_GUESS = 2


@pytest.fixture(scope="module")
def trained():
    """A network with weights that matter everywhere, as if trained; narrow, because only its shape counts here."""
    torch.manual_seed(0)
    network = InfillNet(widths=(8, 8, 8, 8)).double().eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return network


def channels(rows, columns, n=1, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 9, rows, columns)))


@settings(deadline=None, max_examples=8)
@given(n=st.integers(1, 2), rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_before_training_the_estimate_is_the_first_guess_with_its_own_error(n, rows, columns):
    network = InfillNet(widths=(8, 8, 8, 8))
    given_channels = channels(32 * rows, 32 * columns, n).float()
    first_guess, error = given_channels[:, FIRST_GUESS : FIRST_GUESS + 2].unbind(1)
    estimate, stated = network(given_channels).unbind(1)
    assert torch.equal(estimate, first_guess)
    torch.testing.assert_close(stated, error + network.error_floor)


def test_the_correction_is_in_units_of_the_error_of_the_first_guess(trained):
    quiet = channels(64, 64)
    quiet[:, 3] = -trained.error_floor  # no error at all, and not even the floor
    estimate, stated = trained(quiet).unbind(1)
    assert torch.equal(estimate, quiet[:, FIRST_GUESS])
    assert not stated.any()


@pytest.mark.parametrize(("y", "x"), [(256, 256), (287, 287), (271, 270)])
def test_no_pixel_beyond_the_halo_matters_and_nearly_all_within_do(trained, y, x):
    halo = trained.receptive_field_radius()
    image = channels(544, 544).requires_grad_()
    trained(image)[0, :, y, x].sum().backward()
    rows, columns = np.nonzero(image.grad.abs().sum((0, 1)).numpy())
    reach = max(y - rows.min(), rows.max() - y, x - columns.min(), columns.max() - x)
    assert halo - 64 < reach <= halo
    assert halo <= 192


def test_a_tile_with_its_halo_gives_what_the_whole_image_gives(trained):
    halo = trained.receptive_field_radius()
    image = channels(64 + 2 * halo + 128, 64)
    image[:, 6:] = image[:, 6:, :1, :1]
    with torch.no_grad():
        whole, tile = trained(image), trained(image[:, :, 64 : 64 + 2 * halo + 64])
    torch.testing.assert_close(tile[:, :, halo : halo + 64], whole[:, :, 64 + halo : 128 + halo], rtol=0, atol=1e-12)


def test_a_shift_of_the_image_by_the_stride_shifts_the_estimate(trained):
    halo = trained.receptive_field_radius()
    image = channels(2 * halo + 96, 32)
    with torch.no_grad():
        here, there = trained(image[:, :, :-32]), trained(image[:, :, 32:])
    torch.testing.assert_close(here[:, :, halo + 32 :][:, :, :32], there[:, :, halo:][:, :, :32], rtol=0, atol=1e-12)


def test_the_network_stays_small_enough_for_a_microscope_computer():
    from torch.utils.flop_counter import FlopCounterMode

    network = InfillNet()
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, network.in_channels, 256, 256))
    assert sum(weight.numel() for weight in network.parameters()) < 3e6
    # A twentieth of the published generator's 61e9 multiplications for 512², at a quarter of the pixels.
    assert counter.get_total_flops() / 2 < 61e9 / 20 / 4
