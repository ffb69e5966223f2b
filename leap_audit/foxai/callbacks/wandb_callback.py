"""Explanations of validation pictures, logged to Weights & Biases while a model is trained."""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from leap_audit.foxai.array_utils import convert_standardized_float_to_uint8, standardize_array
from leap_audit.foxai.arrays import numbers_of
from leap_audit.foxai.context_manager import ExplainerWithParams, FoXaiExplainer
from leap_audit.measure.attribution.entry import as_map
from leap_audit.report.overlay import overlay
from leap_audit.run.session import Array

__all__ = ["WandBCallback"]


def _base() -> type:
    """Lightning's Callback, where Lightning is installed: its trainer calls every hook there is."""
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            found: type = importlib.import_module(f"{name}.callbacks").Callback
        except ImportError:
            continue
        return found
    return object


class WandBCallback(_base()):  # type: ignore[misc]
    """Log pictures at the start of training, and their explanations after each validation.

    wandb_logger: Lightning's WandbLogger, or anything with its `log_table` and `log_image`.
    explainers: which explain each picture, for its own label. idx_to_label: names of the classes.
    max_artifacts: pictures at most.
    """

    def __init__(
        self,
        wandb_logger: Any,
        explainers: Sequence[ExplainerWithParams],
        idx_to_label: Mapping[int, Any],
        max_artifacts: int = 3,
    ) -> None:
        super().__init__()
        self.wandb_logger = wandb_logger
        self.explainers = list(explainers)
        self.idx_to_label = dict(idx_to_label)
        self.max_artifacts = max_artifacts

    def iterate_dataloader(self, dataloader_list: Any, max_items: int) -> Iterator[tuple[Any, Any]]:
        """Yield at most so many (picture, label) of a dataloader, or of several."""
        several = (
            dataloader_list if isinstance(dataloader_list, list | tuple) else [dataloader_list]
        )
        left = max_items
        for loader in several:
            for pictures, labels in loader:
                for pair in zip(pictures, labels, strict=True):
                    if left <= 0:
                        return
                    left -= 1
                    yield pair

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Log the names of the classes, and the pictures."""
        if trainer.val_dataloaders is None:
            return
        rows = [[index, label] for index, label in self.idx_to_label.items()]
        self.wandb_logger.log_table(key="idx2label", columns=["index", "label"], data=rows)
        pairs = list(self.iterate_dataloader(trainer.val_dataloaders, self.max_artifacts))
        if pairs:
            self.wandb_logger.log_image(
                key="validation_data",
                images=[_image(standardize_array(numbers_of(picture))) for picture, _ in pairs],
                caption=[self._caption(label) for _, label in pairs],
            )

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Explain the pictures by every explainer, and log the maps and the maps over pictures."""
        if trainer.val_dataloaders is None:
            return
        pairs = self.iterate_dataloader(trainer.val_dataloaders, self.max_artifacts)
        self.log_explanations(self.explain(pl_module, pairs))

    def explain(
        self, model: Any, pairs: Iterable[tuple[Any, Any]]
    ) -> dict[str, list[tuple[Array, Array, str]]]:
        """Return name -> (map in 0..1, map over the picture, caption) of each picture.

        Arrays are (height, width, channels), in 0..1.
        """
        found: dict[str, list[tuple[Array, Array, str]]] = {}
        with FoXaiExplainer(model, self.explainers) as explained:
            for picture, label in pairs:
                explained.target = int(label)
                like = getattr(model, "device", None)
                batch = picture[None] if like is None else picture[None].to(like)
                _, maps = explained(batch)
                shown = standardize_array(numbers_of(picture))
                for name, attributions in maps.items():
                    values = as_map(numbers_of(attributions)[0], shown.shape[1:])
                    whole = np.moveaxis(overlay(shown, values), 0, -1)
                    one = (standardize_array(values)[..., None], whole, self._caption(label))
                    found.setdefault(name, []).append(one)
        return found

    def log_explanations(
        self, explanations: Mapping[str, Sequence[tuple[Array, Array, str]]]
    ) -> None:
        """Log what `explain` returned: the maps under each name, over pictures as _explanations."""
        for name, several in explanations.items():
            captions = [caption for _, _, caption in several]
            for place, key in ((0, name), (1, f"{name}_explanations")):
                shown = [(each[0], each[1])[place] for each in several]
                images = [convert_standardized_float_to_uint8(np.clip(x, 0, 1)) for x in shown]
                self.wandb_logger.log_image(key=key, images=images, caption=captions)

    def _caption(self, label: Any) -> str:
        return f"label: {self.idx_to_label.get(int(label), int(label))}"


def _image(picture: Array) -> Array:
    """(channels, height, width) in 0..1 as (height, width, channels) in 0..255."""
    return convert_standardized_float_to_uint8(np.moveaxis(picture, 0, -1))
