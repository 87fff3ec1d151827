import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_brainseg.core.config import ModelConfig, PostprocessConfig, TrainConfig
from napari_brainseg.core.model_folders import SCHEMA_VERSION, ModelInfo, Provenance, file_sha256, read_model_info
from napari_brainseg.core.models import TrainedModel, load_model, save_model
from napari_brainseg.core.networks import create_network, read_weights
from napari_brainseg.core.preprocessing import measure_intensities, neighbours, normalise
from napari_brainseg.core.volumes import Array

FROZEN = Path(__file__).parent / "frozen"


@pytest.fixture
def saved(untrained: TrainedModel, tmp_path: Path) -> Path:
    save_model(untrained, tmp_path / "mödel 1")
    return tmp_path / "mödel 1"


def change_info(folder: Path, **values: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def pattern() -> Array:
    """(3, 32, 32, 3) of grey values that no random generator can change."""
    z, y, x, c = np.meshgrid(np.arange(3), np.arange(32), np.arange(32), np.arange(3), indexing="ij")
    return ((z * 31 + y * 7 + x * 13 + c * 50 + (y * x) % 29) % 251).astype(np.uint8)


@pytest.mark.parametrize("folder", sorted(FROZEN.glob("model-v*")), ids=lambda folder: folder.name)
def test_models_of_every_version_load_forever_and_say_the_same(folder: Path) -> None:
    """Never make these files anew: they stand for all models that users have trained."""
    model = load_model(folder)
    array, config = pattern(), model.info.model
    slices = normalise(torch.from_numpy(array).permute(0, 3, 1, 2), [measure_intensities(array, config.normalisation)])
    batch = torch.stack([slices[neighbours(index, 3, config.context)].flatten(0, 1) for index in range(3)])
    with torch.no_grad():
        logits = model.network(batch)[:, 0].numpy()
    np.testing.assert_allclose(logits, np.load(folder / "logits.npy").astype(np.float32), atol=5e-3)


def test_first_version_is_understood_word_for_word() -> None:
    info = read_model_info(FROZEN / "model-v1")
    assert info.name == "model-v1"
    assert info.model == ModelConfig(filters=(2, 3, 4), stem=2, context=1)
    assert info.postprocess == PostprocessConfig()
    assert info.training is not None
    assert (info.training.epochs, info.training.seed, info.training.learning_rate) == (3, 5, 0.01)
    assert (info.train_cases, info.validation_cases) == (("anna", "bert"), ("carl",))
    assert list(info.validation_dice) == ["carl"]
    assert info.mean_dice == info.validation_dice["carl"]
    assert info.provenance.command == "brainseg train data --output model-v1 --parent parent"
    assert info.provenance.parent_sha256 is not None
    assert len(info.provenance.parent_sha256) == 64


def test_second_version_is_understood_word_for_word() -> None:
    info = read_model_info(FROZEN / "model-v2")
    assert (info.name, info.epoch, info.parent_dice) == ("model-v2", 3, {"carl": 0.25})
    assert info.training is not None
    assert (info.training.loss, info.training.patience) == ("tversky", 3)
    assert info.seen_cases == ("dora", "anna", "bert")
    assert info.provenance.notes == ("a note",)
    assert not info.corrected_slices


def test_saved_model_is_loaded_as_it_was(untrained: TrainedModel, tmp_path: Path) -> None:
    info = untrained.info.model_copy(
        update={
            "postprocess": PostprocessConfig(threshold=0.4, min_voxels=9),
            "training": TrainConfig(epochs=7),
            "train_cases": ("a", "ü"),
            "validation_dice": {"b": 0.5, "c": 0.7},
            "provenance": Provenance(command="brainseg train", device="CPU", seconds=3.5, parent_sha256="00"),
        }
    )
    written = save_model(TrainedModel(info, untrained.network), tmp_path / "deep" / "model")
    loaded = load_model(tmp_path / "deep" / "model")
    assert loaded.info == written.info
    assert loaded.info.mean_dice == pytest.approx(0.6)
    assert loaded.info.model_copy(update={"provenance": info.provenance}) == info
    for name, tensor in read_weights(loaded.network).items():
        own = read_weights(untrained.network)[name]
        wanted = own.half().float() if own.is_floating_point() else own
        assert torch.equal(tensor, wanted), name
        assert tensor.dtype == own.dtype


def test_saving_records_versions_and_check_sum(saved: Path) -> None:
    provenance = read_model_info(saved).provenance
    assert provenance.weights_sha256 == file_sha256(saved / "weights.safetensors")
    assert provenance.versions["torch"] == torch.__version__
    assert provenance.versions.keys() == {"python", "napari-brainseg", "torch", "monai", "numpy"}


def test_loaded_network_is_ready_to_segment(saved: Path) -> None:
    network = load_model(str(saved)).network
    assert not network.training
    assert all(tensor.device.type == "cpu" for tensor in network.parameters())


def test_model_folder_holds_two_files(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "weights.safetensors"]


def test_saving_leaves_the_network_alone(untrained: TrainedModel, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in read_weights(untrained.network).items()}
    save_model(untrained, tmp_path / "m")
    assert all(torch.equal(tensor, before[name]) for name, tensor in read_weights(untrained.network).items())


def flip_byte(folder: Path) -> None:
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-5] ^= 1
    (folder / "weights.safetensors").write_bytes(data)


def cut_weights(folder: Path) -> None:
    data = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(data[: len(data) // 2])


def remove_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def take_weights_of_another_network(folder: Path) -> None:
    config = ModelConfig(filters=(4, 8, 8), context=0)
    other = save_model(TrainedModel(ModelInfo(name="x", model=config), create_network(config)), folder / "other")
    shutil.copy(folder / "other" / "weights.safetensors", folder)
    change_info(folder, provenance=other.info.provenance.model_dump())


def take_what_are_no_weights(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"no weights")
    change_info(folder, provenance={"weights_sha256": file_sha256(folder / "weights.safetensors")})


def cut_info(folder: Path) -> None:
    (folder / "model.json").write_text((folder / "model.json").read_text("utf-8")[:100], "utf-8")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_older_versions_have_no_temperature(version: int) -> None:
    assert read_model_info(FROZEN / f"model-v{version}").temperature == 1


def test_temperature_is_kept(untrained: TrainedModel, tmp_path: Path) -> None:
    save_model(TrainedModel(untrained.info.model_copy(update={"temperature": 1.5}), untrained.network), tmp_path)
    assert load_model(tmp_path).info.temperature == 1.5


def write_bytes(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("harm", "file", "message"),
    [
        pytest.param(
            flip_byte, "weights.safetensors", "is damaged: its SHA-256 is not the one in model.json", id="bit"
        ),
        pytest.param(cut_weights, "weights.safetensors", "is damaged: its SHA-256", id="weights cut short"),
        pytest.param(
            take_weights_of_another_network,
            "weights.safetensors",
            "does not fit the network that model.json describes",
            id="another network",
        ),
        pytest.param(
            take_what_are_no_weights, "weights.safetensors", "does not fit the network", id="no weights at all"
        ),
        pytest.param(cut_info, "model.json", "is damaged: it is not the description of a model", id="json cut short"),
        pytest.param(write_bytes, "model.json", "is damaged: it is not the description of a model", id="no text"),
        pytest.param(
            lambda folder: (folder / "model.json").write_text("[1]"), "model.json", "is damaged: it is not", id="a list"
        ),
        pytest.param(
            lambda folder: (folder / "model.json").write_text("{}"), "model.json", "is damaged: it is not", id="empty"
        ),
        pytest.param(
            lambda folder: change_info(folder, schema_version=5, new=1),
            "model.json",
            "has schema version 5, but up to 4 can be read here: update napari-brainseg",
            id="newer schema",
        ),
        pytest.param(
            lambda folder: change_info(folder, schema_version="new"), "model.json", "has schema version new", id="text"
        ),
        pytest.param(
            lambda folder: change_info(folder, colour="red"), "model.json", "is damaged: colour: ", id="unknown field"
        ),
        pytest.param(
            lambda folder: change_info(folder, model={"filters": [4, 8, 8], "stem": 3}),
            "model.json",
            "is damaged: model.stem: ",
            id="wrong value",
        ),
    ],
)
def test_damaged_model_is_refused(saved: Path, harm: Callable[[Path], None], file: str, message: str) -> None:
    harm(saved)
    with pytest.raises(ValueError, match=re.escape(f"{saved / file} {message}")):
        load_model(saved)


def test_model_without_weights_is_refused(saved: Path) -> None:
    remove_weights(saved)
    with pytest.raises(FileNotFoundError, match=re.escape(f"{saved / 'weights.safetensors'} is missing")):
        load_model(saved)


@pytest.mark.parametrize("name", ["empty", "nowhere", "file", "weights alone"])
def test_what_is_no_model_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "weights alone").mkdir()
    shutil.copy(saved / "weights.safetensors", tmp_path / "weights alone")
    message = f"{tmp_path / name} is not a model: allowed are 'default', 'fast' and a folder with model.json and "
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        load_model(tmp_path / name)


@pytest.mark.parametrize("when", ["weights", "description"])
def test_model_whose_saving_fails_is_no_model(
    untrained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    write = "write_bytes" if when == "weights" else "write_text"

    def full(path: Path, *_: object) -> None:
        with path.open("wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, write, full)
        file = tmp_path / "m" / ("weights.safetensors" if when == "weights" else "model.json")
        with pytest.raises(OSError, match=re.escape(f"{file} cannot be written: no space left on device")):
            save_model(untrained, tmp_path / "m")
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(tmp_path / "m")
    assert not [path for path in (tmp_path / "m").iterdir() if path.name.startswith(".")]


def test_saving_over_a_model_is_refused_and_changes_nothing(saved: Path, untrained: TrainedModel) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(FileExistsError, match=r"model\.json exists already"):
        save_model(untrained, saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_model_whose_saving_anew_fails_is_not_half_the_old_one(
    saved: Path, untrained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match=r"model\.json cannot be written"):
            save_model(untrained, saved, overwrite=True)
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(saved)


def test_model_saved_anew_has_the_newest_schema(saved: Path, untrained: TrainedModel) -> None:
    old = TrainedModel(untrained.info.model_copy(update={"schema_version": 1}), untrained.network)
    assert save_model(old, saved, overwrite=True).info.schema_version == SCHEMA_VERSION
    assert load_model(saved).info.schema_version == SCHEMA_VERSION


def test_folder_here_does_not_stand_in_for_a_shipped_model(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved.rename(tmp_path / "default")
    monkeypatch.chdir(tmp_path)
    assert read_model_info("default").train_cases != read_model_info("./default").train_cases
