"""A model is made ready once, and again only where something changed."""

import numpy as np
import pytest

from napari_brainseg.core import models
from napari_brainseg.core.config import PostprocessConfig, SegmentConfig
from napari_brainseg.core.model_folders import WEIGHTS_FILE
from napari_brainseg.plugin.engine import prepare_engine, segment_in_task
from napari_brainseg.plugin.task import Task

CPU = SegmentConfig(device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, save_tiny_model):
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def loaded(monkeypatch):
    """Names of the models that are loaded from disk."""
    names = []
    load = models.load_model

    def load_and_note(name):
        names.append(name)
        return load(name)

    monkeypatch.setattr(models, "load_model", load_and_note)
    return names


def test_engine_says_where_it_computes_why_and_how_fast(folder):
    engine = prepare_engine(str(folder), CPU)

    assert engine.device.startswith("CPU, ")
    assert "chosen by the user" in engine.reason
    assert 0 < engine.seconds_per_slice < 60
    assert engine.model.info.name == "tiny"


def test_a_known_engine_is_used_again(folder, loaded):
    engine = prepare_engine(str(folder), CPU)

    assert prepare_engine(str(folder), CPU, engine) is engine
    assert loaded == [str(folder)]


def test_other_settings_keep_the_loaded_model(folder, loaded):
    engine = prepare_engine(str(folder), CPU)
    other = prepare_engine(str(folder), SegmentConfig(device="cpu", batch_size=2), engine)

    assert other.model is engine.model
    assert other.settings.batch_size == 2
    assert loaded == [str(folder)]


def test_another_model_is_loaded(folder, tmp_path, save_tiny_model, loaded):
    engine = prepare_engine(str(folder), CPU)
    another = save_tiny_model(tmp_path / "another", seed=3)

    assert prepare_engine(str(another), CPU, engine).model.info.name == "another"
    assert loaded == [str(folder), str(another)]


def test_a_model_that_changed_on_disk_is_loaded_anew(tmp_path, save_tiny_model):
    folder = save_tiny_model(tmp_path / "tiny", seed=1)
    engine = prepare_engine(str(folder), CPU)
    before = engine.model.info.provenance.weights_sha256
    save_tiny_model(folder, seed=3)

    assert prepare_engine(str(folder), CPU, engine).model.info.provenance.weights_sha256 != before


def test_a_damaged_model_is_refused(tmp_path, save_tiny_model):
    folder = save_tiny_model(tmp_path / "tiny")
    weights = np.fromfile(folder / WEIGHTS_FILE, np.uint8)
    weights[-1] ^= 1
    weights.tofile(folder / WEIGHTS_FILE)

    with pytest.raises(ValueError, match="is damaged"):
        prepare_engine(str(folder), CPU)


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a model"):
        prepare_engine(str(tmp_path), CPU)


def test_each_batch_brings_how_it_was_made_as_the_whole_says(folder, tiny_volume, monkeypatch):
    sent = []
    monkeypatch.setattr(Task, "send", lambda _, value: sent.append(value))
    engine = prepare_engine(str(folder), SegmentConfig(device="cpu", batch_size=4))
    own = PostprocessConfig(threshold=0.3)
    whole = segment_in_task(Task(lambda _: None), engine, tiny_volume, own, 0, ()).provenance

    assert [slices.indices for slices, _ in sent] == [(0,), (1, 2, 3, 4), (5,)]
    seconds = [made.seconds for _, made in sent]
    assert 0 < seconds[0] < seconds[1] <= whole.seconds + 0.1
    for _, made in sent:
        assert made.changed({"seconds": whole.seconds, "created": whole.created}) == whole
