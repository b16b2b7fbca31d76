"""How close labels, or the thickness of layers, come to the truth.

Labels are whole numbers from 0 to n_classes - 1 in arrays of any shape, pixels or voxels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semrt.errors import InvalidOption, InvalidShape, InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["accuracy", "iou", "label_scores", "recall", "thickness_mae"]


def iou(labels: ArrayLike, truth: ArrayLike, n_classes: int = 3) -> NDArray[np.float64]:
    """Intersection over union of each class, (n_classes,); 1 for a class that neither map holds.

    Raises InvalidShape, InvalidValue, InvalidOption.
    """
    met = _confusion(labels, truth, n_classes)
    both = np.diagonal(met)
    return _share(both, met.sum(0) + met.sum(1) - both)


def recall(labels: ArrayLike, truth: ArrayLike, n_classes: int = 3) -> NDArray[np.float64]:
    """Share of the places of each class that were found, (n_classes,); 1 for a class that the truth does not hold.

    Raises InvalidShape, InvalidValue, InvalidOption.
    """
    met = _confusion(labels, truth, n_classes)
    return _share(np.diagonal(met), met.sum(1))


def accuracy(labels: ArrayLike, truth: ArrayLike, n_classes: int = 3) -> NDArray[np.float64]:
    """Share of all places at which labels and truth agree whether they are of a class, (n_classes,); 1 if absent.

    Raises InvalidShape, InvalidValue, InvalidOption.
    """
    met = _confusion(labels, truth, n_classes)
    wrong = met.sum(0) + met.sum(1) - 2 * np.diagonal(met)
    return np.asarray(1 - wrong / met.sum())


def label_scores(labels: ArrayLike, truth: ArrayLike, n_classes: int = 3) -> dict[str, float]:
    """Score a map of labels in three numbers, as microtomography publishes them: miou, recall, accuracy.

    miou and recall are means over the classes. accuracy is the share of all places with the right label, not the mean
    of `accuracy`, in which a wrong label counts against two classes.
    Raises InvalidShape, InvalidValue, InvalidOption.
    """
    met = _confusion(labels, truth, n_classes)
    both = np.diagonal(met)
    return {
        "miou": float(_share(both, met.sum(0) + met.sum(1) - both).mean()),
        "recall": float(_share(both, met.sum(1)).mean()),
        "accuracy": float(both.sum() / met.sum()),
    }


def thickness_mae(thickness: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Mean absolute error of each layer's thickness, (k,) [nm].

    thickness, truth: (k, ny, nx) [nm].  Raises InvalidShape.
    """
    thickness, truth = np.asarray(thickness, np.float64), np.asarray(truth, np.float64)
    if thickness.ndim != 3 or thickness.size == 0:
        raise InvalidShape("thickness", "(k, ny, nx) with at least one pixel", thickness.shape)
    if thickness.shape != truth.shape:
        raise InvalidShape("thickness", f"{truth.shape}, as truth has", thickness.shape)
    return np.asarray(np.abs(thickness - truth).mean((1, 2)))


def _confusion(labels: ArrayLike, truth: ArrayLike, n_classes: int) -> NDArray[np.intp]:
    """How often each class of the truth, by row, was given each label, by column: (n_classes, n_classes)."""
    if n_classes < 1:
        raise InvalidOption(f"n_classes: expected one or more, got {n_classes}")
    labels, truth = np.asarray(labels), np.asarray(truth)
    if labels.shape != truth.shape:
        raise InvalidShape("labels", f"{truth.shape}, as truth has", labels.shape)
    if labels.size == 0:
        raise InvalidShape("labels", "any with at least one label", labels.shape)
    for name, given in (("labels", labels), ("truth", truth)):
        if given.dtype.kind not in "bui":
            raise InvalidValue(name, "whole numbers", f"dtype {given.dtype}")
        if given.min() < 0 or given.max() >= n_classes:
            raise InvalidValue(name, f"0 to {n_classes - 1}", f"{given.min()} to {given.max()}", "check n_classes")
    pairs = truth.astype(np.intp).ravel() * n_classes + labels.astype(np.intp).ravel()
    return np.bincount(pairs, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def _share(part: NDArray[np.intp], whole: NDArray[np.intp]) -> NDArray[np.float64]:
    """The part of a whole, 1 where there is nothing to find."""
    return np.where(whole > 0, part / np.maximum(whole, 1), 1.0)
