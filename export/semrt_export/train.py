"""The one training loop: every shipped model is a Recipe, and `train` turns it into weights."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from semrt.errors import DeviceUnavailable, InvalidOption, SemrtError
from semrt.models.manifest import Manifest
from semrt_export.data.pool import Sample, SamplePool, filling
from semrt_export.objective import Objective, objective_of
from semrt_export.run_folder import RunFolder, environment, load, save
from semrt_export.warm_start import begin_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from semrt_export.evaluate import Evaluation, Run
    from semrt_export.schedule import Budget, Schedule

__all__ = ["Recipe", "make_pool", "train"]

LOG_EVERY = 50  # steps
LIST_POOL_EVERY = 25  # steps
SAVE_EVERY = 120.0  # seconds
FIRST_SAMPLES = 64  # to wait for before the first step


class Recipe(Protocol):
    """What one model needs, and no other has: data, network, loss and proof.

    It may say its `task`, of those that semrt.tasks knows, where that is not called as the model is, and its
    `half_precision_limit`, the relative RMS by which the graph in half precision may differ. It may have an
    `objective()` in place of `loss`: a new Objective, for a loss that remembers, or an opponent that learns too; and a
    `calibrate(network, held_out)` that sets, before it is published, what held-out data alone tell, and says what.
    """

    @property
    def name(self) -> str:
        """Its key in RECIPES, and the name of the model."""
        ...

    @property
    def schedule(self) -> Schedule:
        """How it is optimised."""
        ...

    @property
    def pool_size(self) -> int:
        """Samples kept for training."""
        ...

    input_channels: Sequence[str]
    output_channels: Sequence[str]
    normalisation: str
    """What the numbers of the channels mean, in a sentence."""
    tile: int
    """Side of the tiles that the runtime should cut [px]."""

    def options(self) -> Mapping[str, Any]:
        """What makes the same recipe again, for JSON."""
        ...

    def network(self) -> Any:
        """A new nn.Module, with `multiple` and `receptive_field_radius()` [px] to say how it may be cut into tiles."""
        ...

    def sample_maker(self) -> Callable[[int], Sample]:
        """What makes sample i, the same one in any process; picklable."""
        ...

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample as drawn in one step: symmetries that change neither physics nor statistics."""
        ...

    def loss(self, predicted: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
        """A number to make small."""
        ...

    def held_out(self) -> Sequence[Any]:
        """The data of `evaluate`, never trained on."""
        ...

    def evaluate(self, run: Run, held_out: Sequence[Any]) -> Evaluation:
        """How good the network `run` is, (n, c, h, w) -> (n, k, h, w)."""
        ...

    def objection(self, evaluation: Evaluation) -> str | None:
        """Why a network that does so is not to be published; None when it may be."""
        ...

    def domain(self) -> Mapping[str, Any]:
        """What the training covers, as the task's `outside_domain` reads it."""
        ...

    def image_names(self) -> Sequence[str]:
        """File names of the real images trained on."""
        ...


def make_pool(recipe: Recipe, folder: Path, *, count: int, workers: int, report: Callable[[str], None] = print) -> None:
    """Make the first `count` training samples and keep them in the run's folder; what is there is not made again."""
    run = RunFolder(folder)
    if run.config.exists():  # whose seed, device and beginning are those of the training
        run.check_recipe(recipe.options())
    else:
        run.write_config(_config(recipe, "cpu", seed=0))
    pool = _pool(recipe, folder)
    reached = 0
    with filling(pool, recipe.sample_maker(), count=count, workers=workers) as working:
        while working():
            time.sleep(0.2)
            made = len(pool.indices())
            if made >= reached + 100:
                reached = made
                report(f"{made} of {count} samples")
    report(f"{len(pool.indices())} samples in {pool.folder}")


def train(
    recipe: Recipe,
    folder: Path,
    *,
    budget: Budget,
    device: str = "cpu",
    threads: int | None = None,
    workers: int = 1,
    resume: bool = False,
    start_from: Path | None = None,
    seed: int = 0,
    evaluate_every: float = 600.0,
    report: Callable[[str], None] = print,
) -> Evaluation:
    """Train until the budget is spent or Ctrl-C, saving as it goes; returns the last evaluation.

    Each step draws its samples, and what its network drops out, by (seed, step) alone, so that going on needs no state
    of a random generator.  seed: of a new run; one that goes on keeps its own.
    workers: processes that make further samples meanwhile; 0 trains on the samples that are there.
    start_from: folder of a model whose weights a new run begins with.  evaluate_every [s].
    Raises InvalidOption (the folder holds a run and `resume` is not set), DeviceUnavailable, ModelDamaged, and
    SemrtError where the model to start from has no layer in common.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable(device, "torch sees no CUDA device", "use --device cpu")
    if threads:
        torch.set_num_threads(threads)
    run = RunFolder(folder)
    if run.checkpoint.exists() and not resume:
        raise InvalidOption(f"{folder}: holds a training run; use --resume to go on with it, or choose another --out")
    state = _State.resumed(recipe, run, device) if resume else _State.new(recipe, device, seed, start_from)
    if resume:
        before = run.read_config()
        seed, started = before["seed"], before.get("started_from")
    else:
        started = _named(start_from)
    run.write_config(_config(recipe, device, seed) | ({"started_from": started} if started else {}))
    held_out = recipe.held_out()
    pool = _pool(recipe, folder)
    report(f"{recipe.name}: {sum(p.numel() for p in state.network.parameters()) / 1e6:.2f} M parameters on {device}")
    at_least = min(FIRST_SAMPLES, pool.size)
    with (
        filling(pool, recipe.sample_maker(), count=_ENDLESS, workers=workers, at_least=at_least) as working,
        _stop_requests() as stop,
    ):
        return _loop(recipe, run, state, pool, budget, held_out, seed, evaluate_every, working, stop, report)


_ENDLESS = 10**9


@dataclass
class _State:
    """What changes from step to step."""

    network: nn.Module
    averaged: nn.Module
    optimiser: torch.optim.Optimizer
    objective: Objective
    device: str
    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf

    @classmethod
    def new(cls, recipe: Recipe, device: str, seed: int, start_from: Path | None = None) -> _State:
        torch.manual_seed(seed)
        network = recipe.network()
        if start_from is not None:
            begin_with(network, Manifest.read(start_from).load(start_from))
        network = network.to(device)
        averaged = copy.deepcopy(network).eval().requires_grad_(False)
        decay = recipe.schedule.weight_decay
        optimiser = torch.optim.AdamW(
            network.parameters(), recipe.schedule.learning_rate, weight_decay=decay, fused=True
        )
        return cls(network, averaged, optimiser, objective_of(recipe).to(device), device)

    @classmethod
    def resumed(cls, recipe: Recipe, run: RunFolder, device: str) -> _State:
        state = cls.new(recipe, device, seed=0)
        saved = load(run.checkpoint)
        for part in ("network", "averaged", "optimiser"):
            getattr(state, part).load_state_dict(saved[part])
        state.objective.load_state_dict(saved.get("objective", {}))  # older checkpoints have none
        state.step, state.seconds, state.best = saved["step"], saved["seconds"], saved["best"]
        for table in ("curve", "held_out"):
            run.drop_rows_after(table, state.step)
        return state

    def save(self, run: RunFolder) -> None:
        named = ("network", "averaged", "optimiser", "objective")
        parts = {part: getattr(self, part).state_dict() for part in named}
        save(run.checkpoint, parts | {"step": self.step, "seconds": self.seconds, "best": self.best})

    def advance(
        self, schedule: Schedule, samples: Sequence[Sample], spent: float, rng: np.random.Generator
    ) -> tuple[float, float]:
        """One step; returns loss and norm of the gradient."""
        for group in self.optimiser.param_groups:
            group["lr"] = schedule.learning_rate_at(self.step, spent)
        inputs = torch.from_numpy(np.stack([sample.inputs for sample in samples])).to(self.device).float()
        target = torch.from_numpy(np.stack([sample.target for sample in samples])).to(self.device).float()
        # On a CPU bfloat16 is ten times slower than float32.
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            predicted = self.network(inputs)
        loss = self.objective(predicted.float(), inputs, target, spent, rng)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), schedule.largest_gradient)
        if not torch.isfinite(norm):
            raise SemrtError(f"step {self.step}: the gradient is not finite; lower the learning rate of the recipe")
        self.optimiser.step()
        self.objective.learn()
        with torch.no_grad():
            decay = schedule.ema_decay_at(self.step)
            for mean, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
            for mean, value in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
                mean.copy_(value)
        self.step += 1
        return loss.item(), norm.item()

    def run(self, channels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The averaged network, (n, c, h, w) -> (n, k, h, w)."""
        with torch.inference_mode():
            return self.averaged(torch.from_numpy(channels).to(self.device)).cpu().numpy()


def _loop(
    recipe: Recipe,
    run: RunFolder,
    state: _State,
    pool: SamplePool,
    budget: Budget,
    held_out: Sequence[Any],
    seed: int,
    evaluate_every: float,
    working: Callable[[], bool],
    stop: threading.Event,
    report: Callable[[str], None],
) -> Evaluation:
    started = time.monotonic() - state.seconds
    saved = evaluated = time.monotonic()
    losses: list[float] = []
    indices: list[int] = []
    evaluation, judged_at = None, -1
    while not stop.is_set() and (spent := budget.spent(state.step, state.seconds)) < 1:
        if not indices or state.step % LIST_POOL_EVERY == 0:
            working()  # raises when a process that makes samples has failed
            indices = pool.indices()
        rng = np.random.default_rng((seed, state.step))
        drawn = state.objective.draw(pool, rng, recipe.schedule.batch, indices)
        samples = [recipe.augment(sample, rng) for sample in drawn]
        torch.manual_seed(int(np.random.default_rng((seed, state.step, 1)).integers(2**63)))  # of dropout
        loss, norm = state.advance(recipe.schedule, samples, spent, rng)
        state.seconds = time.monotonic() - started
        losses.append(loss)
        if state.step % LOG_EVERY == 0:
            rate = state.optimiser.param_groups[0]["lr"]
            row = {"step": state.step, "seconds": state.seconds, "loss": float(np.mean(losses))}
            row |= {"gradient_norm": norm, "learning_rate": rate, "pool": len(indices)}
            run.append("curve", row | dict(state.objective.figures()))
            report(f"step {state.step}  {state.seconds:.0f} s  loss {row['loss']:.4f}  pool {len(indices)}")
            losses.clear()
        if time.monotonic() - evaluated > evaluate_every:
            evaluation, judged_at = _evaluate(recipe, run, state, held_out, report), state.step
            state.seconds = time.monotonic() - started
            evaluated = time.monotonic()
        if time.monotonic() - saved > SAVE_EVERY:
            state.save(run)
            saved = time.monotonic()
    if evaluation is None or judged_at < state.step:
        evaluation = _evaluate(recipe, run, state, held_out, report)
    state.save(run)
    return evaluation


def _evaluate(
    recipe: Recipe, run: RunFolder, state: _State, held_out: Sequence[Any], report: Callable[[str], None]
) -> Evaluation:
    evaluation = recipe.evaluate(state.run, held_out)
    run.append(
        "held_out", {"step": state.step, "seconds": state.seconds, "score": evaluation.score, **evaluation.figures}
    )
    run.plot("score")
    report(f"step {state.step}  held out: {evaluation}")
    if evaluation.score > state.best:
        state.best = evaluation.score
        save(run.best, {"network": state.averaged.state_dict(), "step": state.step, "seconds": state.seconds})
    return evaluation


def _pool(recipe: Recipe, folder: Path) -> SamplePool:
    return SamplePool(folder / "pool", recipe.pool_size)


def _config(recipe: Recipe, device: str, seed: int) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "seed": seed,
        "recipe": dict(recipe.options()),
        "schedule": asdict(recipe.schedule),
        "environment": environment(device),
    }


def _named(folder: Path | None) -> dict[str, str] | None:
    """What a model to start from is called."""
    if folder is None:
        return None
    model = Manifest.read(folder)
    return {"name": model.name, "version": model.version, "sha256": model.sha256}


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Ctrl-C and a polite kill wait for the end of the step, so that what is saved is whole."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
