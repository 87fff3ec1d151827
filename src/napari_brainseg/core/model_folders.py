"""What stands in a model folder, read without loading the network."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from statistics import fmean

from pydantic import Field

from .cases import patient_of
from .config import ModelConfig, PostprocessConfig, TrainConfig
from .durations import now
from .settings import Settings, read_versioned

SCHEMA_VERSION = 4
"""2 added what tells of ancestors and of the epoch, 3 of corrections and of what was forgotten, 4 the temperature;
older ones are read as they are."""

INFO_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
DEFAULT_MODEL = "default"


class Provenance(Settings):
    """Where a model comes from."""

    created: str = Field(default_factory=now)
    command: str = ""
    device: str = ""
    seconds: float = 0.0
    versions: Mapping[str, str] = {}
    parent_sha256: str | None = None
    weights_sha256: str = ""
    notes: tuple[str, ...] = Field((), description="What had to be changed on the way, such as for want of memory.")


class Ancestor(Settings):
    """A model that a model was made from, or one that that was made from."""

    name: str
    weights_sha256: str
    train_cases: tuple[str, ...]


class ModelInfo(Settings):
    """The content of ``model.json``: everything about a trained model but its weights."""

    schema_version: int = SCHEMA_VERSION
    name: str
    model: ModelConfig
    postprocess: PostprocessConfig = PostprocessConfig()
    temperature: float = Field(
        1.0,
        gt=0,
        description="What logits are divided by, so that of voxels with a probability of 0.8 eight in ten are tumour; "
        "one half stays one half.",
    )
    training: TrainConfig | None = None
    train_cases: tuple[str, ...] = ()
    validation_cases: tuple[str, ...] = ()
    validation_dice: Mapping[str, float] = {}
    recipe_dice: Mapping[str, float] = Field(
        {}, description="Dice of cases by models that were trained in the same way and had not seen them."
    )
    parent_dice: Mapping[str, float] = Field(
        {}, description="Dice of the same validation cases by the model that training started from."
    )
    corrected_slices: Mapping[str, int] = Field(
        {}, description="Slices with a correction by case, of those that were learned from and those that validate."
    )
    base_dice: Mapping[str, float] = Field(
        {}, description="Dice of patients that the model training started from had learned from."
    )
    parent_base_dice: Mapping[str, float] = Field(
        {}, description="Dice of the same patients by the model that training started from."
    )
    lineage: tuple[Ancestor, ...] = Field((), description="Models that this one comes from, its parent last.")
    epoch: int | None = Field(None, description="The epoch after which the weights were these.")
    provenance: Provenance = Provenance()

    @property
    def seen_cases(self) -> tuple[str, ...]:
        """Cases that the model or one of its ancestors was trained on."""
        names = [name for ancestor in self.lineage for name in ancestor.train_cases]
        return tuple(dict.fromkeys([*names, *self.train_cases]))

    @property
    def seen_patients(self) -> frozenset[str]:
        """The patients of these: what the model says of them does not tell how well it does on new ones."""
        return frozenset(map(patient_of, self.seen_cases))

    @property
    def mean_dice(self) -> float | None:
        """Mean Dice per volume over the validation cases, None where there were none."""
        return fmean(self.validation_dice.values()) if self.validation_dice else None


def as_ancestor(info: ModelInfo) -> Ancestor:
    """What the descendants of a model say of it."""
    return Ancestor(name=info.name, weights_sha256=info.provenance.weights_sha256, train_cases=info.train_cases)


def model_folder(name: str | Path) -> Path:
    """Folder of a model given by its folder, or by the name of a shipped one.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    shipped = [_shipped() / str(name)] if str(name) in shipped_models() else []  # a folder here is ./NAME
    for folder in (*shipped, Path(name)):
        if (folder / INFO_FILE).is_file():
            return folder
    allowed = ", ".join(map(repr, shipped_models()))
    raise FileNotFoundError(
        f"{name} is not a model: allowed are {allowed} and a folder with {INFO_FILE} and {WEIGHTS_FILE}"
    )


def shipped_models() -> tuple[str, ...]:
    """Names of the models in the package, `DEFAULT_MODEL` first."""
    names = (path.parent.name for path in _shipped().glob(f"*/{INFO_FILE}"))
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_MODEL, name)))


def _shipped() -> Path:
    return Path(str(files("napari_brainseg"))) / "models"


def read_model_info(name: str | Path) -> ModelInfo:
    """All that is known of a model, without its weights and without torch.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If ``model.json`` is damaged, or was written by a newer version.
    """
    return read_versioned(model_folder(name) / INFO_FILE, ModelInfo, "the description of a model")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
