"""The options of `generate`, by the names that leap_ie gave them.

Each is described here, once; docs/from-leap-ie.md makes its table of this class. What they mean to
the engine is written below them, in the options that an audit has.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from leap_audit.config import IsolationOptions, Options, PrototypeOptions, Transform
from leap_audit.errors import ConfigRefused
from leap_audit.ingest.sandbox.config_files import read_table_in_child

__all__ = ["Settings", "isolate_lists", "read_settings"]

STEPS_PER_ISOLATION_STEP = 4
"""A prototype takes this many times the steps of an isolation."""


def _no_name(value: object) -> object:
    return "none" if value is None else value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Transform = Annotated[Transform, BeforeValidator(_no_name)]
_Count = Annotated[int, BeforeValidator(_whole)]


class Settings(Options):
    """What `config` may hold. None means: chosen by the size and kind of the input."""

    alpha_mask: bool = False
    """See prototypes only through a soft window in the middle: minimal, centred, concentrated."""
    alpha_only: bool = False
    """Optimise only an alpha channel: shapes and textures without colour."""
    alpha_weight: float = Field(default=0.0, ge=0)
    """With an alpha channel: how much opaque area costs, relative to the spread of the logits."""
    always_update: bool = False
    """Keep the last picture even if the target's logit has fallen since an earlier one."""
    baseline_init: Annotated[float, Field(ge=0, le=1)] | Literal["r"] | None = None
    """Grey that prototypes start from, 0 black to 1 white, or 'r' for random noise."""
    blur_max: float = Field(default=1.0, gt=0)
    """With use_blur: standard deviation of the blur at the first step, in pixels."""
    blur_min: float = Field(default=0.01, gt=0)
    """With use_blur: standard deviation of the blur at the last step, in pixels."""
    channel_ix: Literal[1, 3, -1, -3] | None = None
    """Axis of the channels in the model's input: 1 first, 3 last; None: as mode or the file say."""
    diversity_weight: float = Field(default=0.0, ge=0)
    """How hard several prototypes of one class are pushed apart."""
    equalise: float = Field(default=0.0, ge=0, le=1)
    """How much of a finished prototype's histogram is equalised, against dark or pale pictures."""
    find_lr_steps: _Count = Field(default=0, ge=0, le=10_000)
    """Steps of a range test that finds the learning rate before the run; 0 takes lr as it is."""
    hf_weight: float | None = Field(default=None, ge=0)
    """Penalty on high frequencies (total variation), relative to the spread of the logits."""
    input_dim: tuple[_Count, ...] | None = None
    """Of the model's input: 3 numbers, or 4 with the batch in front."""
    isolate_classes: tuple[int | tuple[int, ...], ...] | None = None
    """Classes to isolate: one list for all targets, or one list for each."""
    isolation: bool = True
    """Whether to isolate the entangled classes in each prototype."""
    isolation_alpha_weight: float = Field(default=1.0, gt=0)
    """How much the isolated part is to hold: its missing share of the probability is 0.2 / this."""
    isolation_hf_weight: float = Field(default=1.0, ge=0)
    """Penalty on high frequencies in the mask: the width of its blur, relative to the usual."""
    isolation_lr: float = Field(default=0.1, gt=0)
    """How far the mask moves at a step."""
    leap_api_key: Any = None
    """Not needed, and ignored: nothing leaves the machine."""
    log_freq: _Count = Field(default=32, ge=1)
    """Steps between two looks at a prototype on its way, each logged with its picture."""
    logit_scale: float = Field(default=1.0, gt=0)
    """What logits are multiplied by before a softmax in an objective (baseline and isolation)."""
    lr: float = Field(default=0.05, gt=0)
    """How far a prototype moves at a step, in units of its cosine coefficients."""
    max_isolate_classes: _Count = Field(default=3, ge=1)
    """For how many classes features are isolated, unless isolate_classes names them."""
    max_steps: _Count = Field(default=192, ge=1, le=100_000)
    """Steps of a prototype; an isolation takes a quarter of them."""
    mlflow_tracking_uri: str | None = None
    """Log to this MLflow store as well, such as sqlite:///leap_files/mlflow.db."""
    objective_weight: float = 1.0
    """Weight of the target's logit; -1 minimises it: anti-prototypes, class 0 of one logit."""
    output: str | None = None
    """Output, or tensor inside the graph, that holds the scores; None: chosen, with the reason."""
    seed: _Count = Field(default=0, ge=0)
    """Of every random draw."""
    transform: _Transform = "auto"
    """How far the random views go: s, m, l, xl, or None where the place in the picture matters."""
    use_alpha: bool = False
    """Give prototypes an alpha channel: what is transparent does not change the answer."""
    use_baseline: bool = False
    """Start from a picture on which all classes are equally probable."""
    use_blur: bool = False
    """Blur what the model sees, from blur_max down to blur_min."""
    wandb_api_key: str | None = Field(default=None, repr=False)
    """Log to Weights & Biases with this key."""
    wandb_entity: str | None = None
    """Entity to log to on Weights & Biases."""

    def prototype(self) -> PrototypeOptions:
        """Return what these options mean for making prototypes."""
        start: Literal["flat", "noise", "even"] = "flat"
        if self.use_baseline:
            start = "even"
        elif self.baseline_init == "r":
            start = "noise"
        return PrototypeOptions(
            steps=self.max_steps,
            lr=self.lr,
            find_lr_steps=self.find_lr_steps,
            transform=self.transform,
            blur=(self.blur_max, self.blur_min) if self.use_blur else None,
            background=self.baseline_init if isinstance(self.baseline_init, float) else None,
            start=start,
            total_variation=self.hf_weight,
            objective_weight=self.objective_weight,
            logit_scale=self.logit_scale,
            diversity=self.diversity_weight,
            alpha=self.use_alpha,
            alpha_only=self.alpha_only,
            alpha_mask=self.alpha_mask,
            alpha_weight=self.alpha_weight,
            equalise=self.equalise,
            log_every=self.log_freq,
            keep_best=not self.always_update,
        )

    def isolations(self) -> IsolationOptions:
        """Return what these options mean for isolating."""
        return IsolationOptions(
            steps=max(1, self.max_steps // STEPS_PER_ISOLATION_STEP),
            lr=self.isolation_lr,
            per_prototype=self.max_isolate_classes,
            least=0.0,  # every class that was asked for
            enough=max(0.05, 1 - 0.2 / self.isolation_alpha_weight),
            smoothing=self.isolation_hf_weight,
            logit_scale=self.logit_scale,
        )


def read_settings(config: dict[str, Any] | str | Path | None) -> Settings:
    """Return the options in a dict, or in the JSON (or TOML) file at a path.

    Raises ConfigRefused: the file cannot be read, an option is unknown (the nearest is named), or
    a value does not fit.
    """
    if isinstance(config, str | Path):
        return Settings.parse(read_table_in_child(Path(config))[0], str(config))
    return Settings.parse(dict(config or {}), "config")


def isolate_lists(settings: Settings, targets: int) -> list[tuple[int, ...]] | None:
    """Return, for each target, the classes named to be isolated; None where none are named.

    Raises ConfigRefused: there is not one list for each target.
    """
    named = settings.isolate_classes
    if named is None:
        return None
    flat = [each for each in named if isinstance(each, int)]
    nested = [each for each in named if isinstance(each, tuple)]
    if not nested:
        return [tuple(flat)] * targets
    if flat or len(nested) != targets:
        raise ConfigRefused(
            f"config: isolate_classes has {len(named)} entries for {targets} targets; give one "
            "list of classes for all, or a list of lists with one for each."
        )
    return nested
