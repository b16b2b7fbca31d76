"""From a recipe to a model in a folder, in two steps of training: what it answers is what counts, not how well."""

import pytest

from semrt_export.data.pool import SamplePool
from semrt_export.publish import publish
from semrt_export.run_folder import RunFolder, load
from semrt_export.schedule import Budget
from semrt_export.train import train


def quiet(_line):
    pass


def trained_in_two_steps(recipe, folder):
    """The folder of the model, and its network in PyTorch."""
    list(SamplePool(folder / "run" / "pool", 8).fill(recipe.sample_maker(), 8))
    train(recipe, folder / "run", budget=Budget(steps=2), workers=0, threads=1, report=quiet)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(recipe), "objection", lambda *_: None)  # two steps teach nothing
        publish(folder / "run", folder / "model", threads=1, report=quiet)
    network = recipe.network().eval()
    network.load_state_dict(load(RunFolder(folder / "run").best)["network"])
    return folder / "model", network
