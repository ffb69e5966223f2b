"""What is written beside the results: prototypes on their way, and those that are transparent."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from leap_audit.ingest.pictures.images import write_picture
from leap_audit.measure.prototype import Drawn
from leap_audit.measure.prototype.finish import levels
from leap_audit.pipeline.prototypes import stem
from leap_audit.pipeline.study import Study
from leap_audit.text.names import joined
from leap_audit.tracking import Tracker

__all__ = ["log_stages", "write_transparency"]

LOGGED = 5
"""The most probable classes that are logged at a stage, beside the target's own."""


def log_stages(drawn: Sequence[Drawn], study: Study, folder: Path, tracker: Tracker) -> None:
    """Write each prototype as it was at each logged step, and tell the tracker of it.

    A stage at which the target had lost ground is passed over, unless the last one is kept
    whatever became of it.
    """
    probabilities = study.model.answer.probabilities
    for each in drawn:
        name = joined(study.classes[k] for k in each.request.target)
        for stage in each.stages:
            if stage.step > each.step:
                continue
            picture = folder / f"images/{stem(each)}-step-{stage.step:05d}.png"
            write_picture(picture, levels(stage.painting.picture))
            probs = probabilities(stage.logits[:, None])[:, 0]
            top = [*each.request.target, *np.argsort(-probs, kind="stable")[:LOGGED].tolist()]
            tracker.stage(
                f"{name} #{each.request.replicate}",
                stage.step,
                {study.classes[k]: float(probs[k]) for k in top},
                picture,
            )


def write_transparency(frame: pd.DataFrame, drawn: Sequence[Drawn], folder: Path) -> pd.DataFrame:
    """Write prototypes with an alpha channel as RGBA, and name those files in the table."""
    names = {}
    for each in drawn:
        painting = each.painting
        if painting.alpha is None or painting.colour is None:
            continue
        path = folder / f"images/{stem(each)}.png"
        full = np.broadcast_to(painting.colour, (3, *painting.colour.shape[1:]))
        rgba = np.concatenate([full, np.broadcast_to(painting.alpha, full[:1].shape)])
        pixels = np.rint(rgba.transpose(1, 2, 0) * 255).astype(np.uint8)
        transparent = path.with_name(f"{stem(each)}-alpha.png")
        Image.fromarray(np.ascontiguousarray(pixels), "RGBA").save(transparent, "PNG")
        names[path.as_posix()] = transparent.as_posix()
    return frame.assign(prototype=frame["prototype"].map(lambda path: names.get(path, path)))
