"""The smallest recipe that learns: undo a known blur; for tests of the training loop and of the exporter."""

import signal
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
from torch import nn
from torch.nn import functional

from semrt_export.data.pool import Sample
from semrt_export.evaluate import Evaluation, gain_db
from semrt_export.schedule import Schedule


class ToyNet(nn.Module):
    multiple = 2

    def __init__(self, dropout=0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.convolution = nn.Conv2d(4, 4, 3, padding=1)
        nn.init.zeros_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)

    def receptive_field_radius(self):
        return 4

    def forward(self, blurred):
        folded = functional.pixel_unshuffle(blurred, 2)
        return blurred + functional.pixel_shuffle(self.convolution(self.dropout(folded)), 2)


def blurred_noise(index, seed=0):
    """White noise, and the mean of each pixel with its right neighbour."""
    sharp = np.random.default_rng((seed, index)).standard_normal((1, 16, 16), np.float32)
    return Sample((sharp + np.roll(sharp, -1, axis=2)) / 2, sharp)


@dataclass(frozen=True)
class PressesCtrlC:
    """Mixed into a recipe: someone presses Ctrl-C at the `interrupt_at`th sample; -1 for never."""

    interrupt_at: int = -1
    drawn: list = field(default_factory=list, compare=False)

    def options(self):
        return {name: value for name, value in super().options().items() if name not in ("interrupt_at", "drawn")}

    def augment(self, sample, rng):
        self.drawn.append(0)
        if len(self.drawn) == self.interrupt_at:
            signal.raise_signal(signal.SIGINT)
        return super().augment(sample, rng)


@dataclass(frozen=True)
class ToyRecipe:
    seed: int = 3
    pool_size: int = 12
    images: tuple[str, ...] = ()
    interrupt_at: int = -1  # the sample at which someone presses Ctrl-C; -1 for never
    loss_factor: float = 1.0
    schedule: Schedule = field(default=Schedule(batch=2, learning_rate=0.02, warm_up=3, ema_decay=0.8))
    drawn: list = field(default_factory=list, compare=False)

    name = "toy"
    input_channels = ("blurred",)
    output_channels = ("sharp",)
    normalisation = "None."
    tile = 16

    def options(self):
        return {name: value for name, value in asdict(self).items() if name in ("seed", "pool_size", "images")}

    def network(self):
        return ToyNet()

    def sample_maker(self):
        return partial(blurred_noise, seed=self.seed)

    def augment(self, sample, rng):
        self.drawn.append(float(sample.target[0, 0, 0]))
        if len(self.drawn) == self.interrupt_at:
            signal.raise_signal(signal.SIGINT)
        return sample

    def loss(self, predicted, inputs, target):
        return self.loss_factor * (predicted - target).square().mean()

    def held_out(self):
        return [blurred_noise(index, seed=self.seed + 1) for index in range(4)]

    def evaluate(self, run, held_out):
        gains = [gain_db(run(sample.inputs[None])[0], sample.inputs, sample.target) for sample in held_out]
        return Evaluation(float(np.mean(gains)), {"gain": float(np.mean(gains))}, [{"group": "all", "gain": gains[0]}])

    def objection(self, evaluation):
        return None if evaluation.score > 0 else "no gain"

    def domain(self):
        return {"coverage": [1.0, 1.0]}

    def image_names(self):
        return list(self.images)
