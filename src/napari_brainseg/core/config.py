"""Every setting, defined once: forms, command-line flags, JSON and docs are read from these fields."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from .augmentation_config import AUGMENTATIONS as AUGMENTATIONS
from .augmentation_config import AugmentationConfig as AugmentationConfig
from .augmentation_config import AugmentationName as AugmentationName
from .settings import Probability, Seed, Settings, Threads

FLAIR = "FLAIR"
CHANNELS = ("pre-contrast", FLAIR, "post-contrast")
"""Channel order of the Kaggle images, and of every volume here."""

NetworkName = Literal["unet", "resunet", "attention_unet", "dynunet", "unet_vgg16", "unet_resnet50"]
DeviceName = Literal["auto", "cuda", "mps", "cpu"]
LossName = Literal["dice_bce", "dice", "bce", "focal_dice", "tversky", "mse"]
PrecisionName = Literal["auto", "float32", "bfloat16", "float16"]
EmptyMasks = Literal["one", "zero", "skip"]
QueueStrategy = Literal["combined", "entropy", "random"]
ExplainMethod = Literal["occlusion", "gradcam", "smoothgrad"]

_HALVINGS: Mapping[NetworkName, int] = {"unet_vgg16": 4, "unet_resnet50": 5}
"""How often the encoders made for photographs halve an image; the others do it between any two of their filters."""

_ENCODER_BLOCKS = 5
"""Of both."""


class NormalisationConfig(Settings):
    """How intensities are brought to a common scale, per volume and channel."""

    foreground: float = Field(
        0.04, ge=0, lt=1, title="Foreground", description="Voxels above this share of the bright end count as head."
    )
    lower: float = Field(
        0.5, ge=0, le=50, title="Lower percentile", description="Darker head voxels are clipped to this percentile."
    )
    upper: float = Field(
        99.5, ge=50, le=100, title="Upper percentile", description="Brighter head voxels are clipped to it."
    )


class ModelConfig(Settings):
    """What the network is and what it is fed: enough to build it again."""

    network: NetworkName = Field(
        "unet",
        title="Network",
        description="The architecture, one of MONAI's; dynunet is unet with residual blocks.",
    )
    filters: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (24, 48, 96, 192, 256),
        min_length=3,
        max_length=10,
        title="Filters",
        description="Feature channels at each level, finest first; unet_vgg16 and unet_resnet50 have their own.",
    )
    stem: Literal[1, 2, 4] = Field(
        2,
        title="Stem",
        description="Pixels of a block this wide become channels before the first layer, which saves most of the time.",
    )
    context: int = Field(
        1, ge=0, le=3, title="Neighbour slices", description="Slices below and above that the network also sees."
    )
    normalisation: NormalisationConfig = Field(NormalisationConfig(), title="Normalisation")
    pretrained: str = Field(
        "",
        title="Pretrained",
        description="ImageNet weights to start unet_vgg16 or unet_resnet50 from: a file, or torchvision.",
    )
    freeze_encoder_blocks: int = Field(
        0,
        ge=0,
        title="Frozen blocks",
        description="First blocks of the encoder that training leaves alone; unet_vgg16 and unet_resnet50 have 5.",
    )

    @field_validator("pretrained")
    @classmethod
    def _has_encoder(cls, pretrained: str, info: ValidationInfo) -> str:
        network = info.data.get("network")
        if pretrained and network and network not in _HALVINGS:
            raise ValueError(f"{network} has no pretrained weights, only {' and '.join(_HALVINGS)} have")
        return pretrained

    @field_validator("freeze_encoder_blocks")
    @classmethod
    def _has_blocks(cls, blocks: int, info: ValidationInfo) -> int:
        network, filters = info.data.get("network"), info.data.get("filters")
        if network and filters:
            most = _ENCODER_BLOCKS if network in _HALVINGS else len(filters)
            if blocks > most:
                raise ValueError(f"the encoder of {network} has {most} blocks, {blocks} of them cannot be frozen")
        return blocks

    @property
    def architecture(self) -> Self:
        """The same network whatever its training starts from: what a trained model needs to be built again."""
        return self.model_copy(update={"pretrained": "", "freeze_encoder_blocks": 0})

    @property
    def in_channels(self) -> int:
        """Channels the network is fed: every sequence of the slice and its neighbours."""
        return len(CHANNELS) * (2 * self.context + 1)

    @property
    def size_multiple(self) -> int:
        """What the height and width of an input must be divisible by."""
        return int(self.stem * 2 ** _HALVINGS.get(self.network, len(self.filters) - 1))


class PostprocessConfig(Settings):
    """How a probability becomes a mask."""

    threshold: Probability = Field(0.5, title="Threshold", description="Voxels at least this probable are tumour.")
    keep_share: Probability = Field(
        0.0,
        title="Keep components above",
        description="Drop 3D components smaller than this share of the largest (0 keeps all, 1 only the largest).",
    )
    min_voxels: int = Field(
        0, ge=0, title="Smallest component", description="Drop 3D components with fewer voxels than this (0 keeps all)."
    )
    fill_holes: bool = Field(False, title="Fill holes", description="Fill holes inside the mask, slice by slice.")
    closing: bool = Field(
        False, title="Close gaps", description="Close gaps with a 5 x 5 elliptical footprint, slice by slice."
    )


class SegmentConfig(Settings):
    """How the network is run."""

    device: DeviceName = Field("auto", title="Device", description="Where to compute; auto takes the fastest.")
    tta: bool = Field(
        False, title="Flip test", description="Average with the prediction on the mirrored image (twice the time)."
    )
    batch_size: int = Field(8, ge=1, le=256, title="Batch size", description="Slices sent through the network at once.")
    threads: Threads = Field(0, title="CPU threads", description="Threads to compute with; 0 lets PyTorch choose.")


class ScoreConfig(Settings):
    """How masks are compared."""

    empty: EmptyMasks = Field(
        "one", title="Both masks empty", description="What Dice and IoU are where neither mask has tumour."
    )
    distances: bool = Field(True, title="Distances", description="Also measure the distance between the surfaces.")


class QueueConfig(Settings):
    """Which slices come first in the queue of those to correct."""

    strategy: QueueStrategy = Field(
        "combined",
        title="Order",
        description="By all that speaks against a slice and spread out, by entropy alone, or at random.",
    )
    count: int = Field(20, ge=1, title="Slices", description="Slices in the queue, at most.")
    reach: float = Field(
        1.5, ge=0, title="Reach", description="Combined order: how many slices around a chosen one count less."
    )
    spread: Probability = Field(
        0.5, title="Spread", description="Combined order: how much a patient counts less for each slice chosen of it."
    )
    seed: Seed = Field(0, title="Seed", description="Start of the random order.")


class CheckConfig(Settings):
    """What of a data set is worth a person's look."""

    foreground: float = Field(
        0.04, ge=0, lt=1, title="Foreground", description="Voxels above this share of the bright end count as head."
    )
    one_value: Probability = Field(
        0.1, title="One value", description="Share of a channel's voxels that may have one value that is not dark."
    )
    outside: Probability = Field(
        0.05, title="Outside", description="Share of a slice's tumour that may lie outside the head."
    )
    island_voxels: int = Field(
        10, ge=0, title="Island", description="A piece of so few voxels apart from the rest of the tumour is named."
    )
    abrupt: Probability = Field(
        0.5,
        title="Abrupt end",
        description="A tumour whose last slice has more than this share of its largest area is named.",
    )
    smallest: int = Field(
        100, ge=0, title="Smallest tumour", description="A patient's tumour of fewer voxels is suspicious."
    )
    largest: Probability = Field(
        0.3, title="Largest tumour", description="A tumour of more than this share of the head is suspicious."
    )


class ExplainConfig(Settings):
    """How a prediction is explained."""

    method: ExplainMethod = Field(
        "occlusion",
        title="Method",
        description="Cover parts of the image (occlusion, seconds), weigh deep features (gradcam, quick and coarse), "
        "or follow gradients of noisy copies (smoothgrad).",
    )
    patch: int = Field(28, ge=4, le=128, title="Patch", description="Occlusion: edge of what is covered, in pixels.")
    samples: int = Field(12, ge=1, le=200, title="Samples", description="SmoothGrad: noisy copies to average over.")
    noise: float = Field(
        0.05,
        ge=0,
        le=1,
        title="Noise",
        description="SmoothGrad: SD of the noise, as a share of the range of intensities.",
    )
    seed: Seed = Field(0, title="Seed", description="SmoothGrad: start of the noise.")


class DoubtConfig(Settings):
    """When a model's disagreement with a manual mask is worth a look."""

    sure: float = Field(
        0.9, gt=0.5, lt=1, title="Sure", description="How probable it must be to the model that the mask is wrong."
    )
    min_voxels: int = Field(
        30,
        ge=1,
        title="Smallest doubt",
        description="Slices with fewer such voxels are left out; thin rims never count.",
    )
    per_case: int = Field(2, ge=1, title="Per case", description="Slices of one case in the list, at most.")
    count: int = Field(20, ge=1, title="Slices", description="Slices in the list, at most.")


MOST_EPOCHS = 1_000_000
"""However long somebody allows a training to take."""

FINE_TUNING: Mapping[str, Any] = {"epochs": 10, "learning_rate": 1e-3}
"""What is set differently where there is a model to start from: it has learned most of it, and must not forget it."""

AIMS: Mapping[str, Mapping[str, Any]] = {
    "overlap": {"loss": "dice_bce", "missed_weight": 0.7},
    "missing less": {"loss": "tversky", "missed_weight": 0.7},
    "fewer false alarms": {"loss": "tversky", "missed_weight": 0.3},
}
"""What a training can be optimised for in plain words, and the settings that this stands for."""


class TrainConfig(Settings):
    """How a network is trained; `default` gives what suits the start."""

    epochs: int = Field(
        30,
        ge=1,
        le=MOST_EPOCHS,
        title="Epochs",
        description=f"Passes over the training slices; from a trained model {FINE_TUNING['epochs']} by default.",
    )
    epoch_slices: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Slices per epoch",
        description="Slices drawn per epoch; 0 takes twice the tumour slices.",
    )
    batch_size: int = Field(
        16, ge=2, le=4096, title="Batch size", description="Slices sent through the network at once."
    )
    accumulate: int = Field(
        1, ge=1, le=1024, title="Accumulate", description="Batches whose gradients are added up for one training step."
    )
    window: int = Field(
        192, ge=32, le=2048, title="Window", description="Edge of the square cut out of each slice, in pixels."
    )
    tumour_share: Probability = Field(0.5, title="Tumour share", description="Share of slices drawn with tumour.")
    rehearsal: float = Field(
        0.5,
        ge=0,
        le=0.9,
        title="Rehearsal",
        description="Share of slices from patients that the model to start from knows, lest it forget them; the others "
        "come from new and corrected patients.",
    )
    loss: LossName = Field(
        "dice_bce", title="Loss", description="What is made small: Dice and cross-entropy of the batch, or another."
    )
    missed_weight: Probability = Field(
        0.7,
        title="Missed weight",
        description="Tversky loss: share of the blame that missed voxels get, the rest goes to those too many.",
    )
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        "adamw", title="Optimiser", description="How the weights follow the gradient."
    )
    momentum: float = Field(0.9, ge=0, lt=1, title="Momentum", description="Nesterov momentum of SGD.")
    weight_decay: float = Field(
        0.01, ge=0, le=10, title="Weight decay", description="The optimiser's pull towards zero."
    )
    learning_rate: float = Field(
        2e-3,
        gt=0,
        le=10,
        title="Learning rate",
        description=f"Highest rate of the schedule; from a trained model {FINE_TUNING['learning_rate']} by default.",
    )
    schedule: Literal["one-cycle", "cosine", "plateau", "cyclical", "constant"] = Field(
        "one-cycle", title="Schedule", description="How the learning rate rises and falls."
    )
    plateau_factor: float = Field(
        0.5, gt=0, lt=1, title="Plateau factor", description="Schedule plateau: factor on the rate where Dice rests."
    )
    plateau_patience: int = Field(
        10, ge=1, title="Plateau patience", description="Schedule plateau: epochs without a better validation Dice."
    )
    cycle_epochs: int = Field(
        10, ge=1, title="Cycle", description="Schedule cyclical: epochs in which the rate rises and falls once."
    )
    clip_norm: float = Field(5.0, ge=0, title="Clip", description="Largest norm of the gradient; 0 sets no limit.")
    ema: float = Field(
        0.998,
        ge=0,
        lt=1,
        title="Averaging",
        description="Decay of the averaged weights, which are the ones kept; 0 keeps the plain ones.",
    )
    precision: PrecisionName = Field(
        "auto", title="Precision", description="Number type of the arithmetic; auto takes the fastest that is safe."
    )
    validate_every: int = Field(5, ge=1, title="Validate every", description="Epochs between validations.")
    patience: int = Field(
        0, ge=0, title="Patience", description="Stop after so many epochs without a better validation Dice; 0 never."
    )
    keep: Literal["last", "best"] = Field(
        "last",
        title="Weights kept",
        description="Those of the last epoch, whose score is honest, or of the best one, whose score flatters.",
    )
    keep_every: int = Field(
        0, ge=0, title="Keep every", description="Epochs between weights that are kept beside the model; 0 keeps none."
    )
    cache: Literal["auto", "memory", "disk"] = Field(
        "auto", title="Cache", description="Where decoded images are kept; auto takes the disk where memory is short."
    )
    tensorboard: bool = Field(
        False, title="TensorBoard", description="Also write logs for TensorBoard, which must be installed."
    )
    device: DeviceName = Field("auto", title="Device", description="Where to compute; auto takes the fastest.")
    threads: Threads = Field(0, title="CPU threads", description="Threads to compute with; 0 lets PyTorch choose.")
    seed: Seed = Field(0, title="Seed", description="Start of every random draw.")
    augmentation: AugmentationConfig = Field(AugmentationConfig(), title="Augmentation")

    @classmethod
    def default(cls, *, fine_tunes: bool) -> Self:
        """Settings where none are given: those of a model to start from are shorter and gentler."""
        return cls.model_validate(FINE_TUNING if fine_tunes else {})

    @property
    def aim(self) -> str | None:
        """Which of `AIMS` these settings are, None if they are of one's own."""
        return next((name for name, settings in AIMS.items() if self == self.changed(settings)), None)

    @property
    def step_slices(self) -> int:
        """Slices that one training step learns from."""
        return self.batch_size * self.accumulate

    def validates_after(self, epoch: int) -> bool:
        """Whether there is a validation after an epoch, counted from 1."""
        return epoch % self.validate_every == 0 or epoch == self.epochs
