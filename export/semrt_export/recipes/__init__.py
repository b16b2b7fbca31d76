"""How each model is made; one file a model, or a family of them."""

from __future__ import annotations

import importlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from semrt.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from semrt_export.train import Recipe

__all__ = ["RECIPES", "recipe"]

RECIPES = {
    "columns": "semrt_export.recipes.columns:ColumnsRecipe",
    "infill": "semrt_export.recipes.infill:InfillRecipe",
    "infill-adversarial": "semrt_export.recipes.realistic_infill:RealisticInfillRecipe",
    "infill-published": "semrt_export.recipes.published_infill:PublishedInfillRecipe",
    "infill-published-adversarial": "semrt_export.recipes.published_infill:AdversarialInfillRecipe",
    "layers-network": "semrt_export.recipes.layers:LayersRecipe",
    "layers-3conv": "semrt_export.recipes.published_layers:ConvolutionsRecipe",
    "layers-hybrid": "semrt_export.recipes.published_layers:HybridRecipe",
    "layers-stacked": "semrt_export.recipes.published_layers:StackedRecipe",
    "layers-unet-2d": "semrt_export.recipes.published_layers:UNet2dRecipe",
    "layers-unet-3d": "semrt_export.recipes.published_layers:UNet3dRecipe",
    "wedge": "semrt_export.recipes.wedge:WedgeRecipe",
}


def recipe(name: str, options: Mapping[str, Any]) -> Recipe:
    """The recipe of a model.  Raises InvalidOption for a name, or an option, that does not exist."""
    if name not in RECIPES:
        raise InvalidOption.unknown("recipe", name, RECIPES)
    module, kind = RECIPES[name].split(":")
    found = getattr(importlib.import_module(module), kind)
    known = [field.name for field in fields(found)]
    for option in options:
        if option not in known:
            raise InvalidOption.unknown(f"option of the recipe {name}:", option, known)
    return found(**options)
