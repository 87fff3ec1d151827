from pathlib import Path

import numpy as np
import pytest

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.masks import read_mask
from napari_brainseg.core.phantom import SAMPLE_CASES, PhantomCase, make_phantom, write_phantom_cases
from napari_brainseg.core.volumes import read_volume

SHAPE = (6, 64, 48)


def test_phantom_is_the_same_for_the_same_seed_alone() -> None:
    (one, mask), (same, same_mask), (other, other_mask) = (make_phantom(seed, SHAPE) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.array, same.array)
    np.testing.assert_array_equal(mask, same_mask)
    assert (one.array != other.array).any()
    assert (mask != other_mask).any()


def test_phantom_looks_like_kaggles_images() -> None:
    volume, mask = make_phantom(1, SHAPE, name="case")
    assert volume.array.shape == (*SHAPE, 3)
    assert volume.array.dtype == mask.dtype == np.uint8
    assert (volume.name, volume.shape, mask.shape) == ("case", SHAPE, SHAPE)
    assert volume.missing == ()
    assert set(np.unique(mask)) == {0, 1}
    assert volume.array[:, :3, :3].max() < 30  # air in the corner


def test_tumour_is_brighter_than_the_brain_in_flair() -> None:
    volume, mask = make_phantom(1, (12, 128, 128))
    flair = volume.array[..., 1].astype(float)
    brain = (flair > 50) & (mask == 0)
    assert flair[mask > 0].mean() > flair[brain].mean() + 40


def test_phantom_without_tumour_has_an_empty_mask() -> None:
    assert not make_phantom(1, SHAPE, tumour=False)[1].any()


@pytest.mark.parametrize("missing", [("pre-contrast",), ("post-contrast",), ("pre-contrast", "post-contrast")])
def test_flair_stands_in_for_missing_sequences(missing: tuple[str, ...]) -> None:
    assert make_phantom(1, SHAPE, missing=missing)[0].missing == missing


def test_sample_cases_differ_as_their_names_tell() -> None:
    """What a new user opens first: a tumour of a size worth segmenting, one case with FLAIR alone, one without."""
    for sample in SAMPLE_CASES:
        volume, mask = make_phantom(sample.seed, (12, 128, 128), tumour=sample.tumour, missing=sample.missing)
        assert (mask.sum() > 300) == ("no_tumour" not in sample.name)
        assert bool(volume.missing) == ("FLAIR_only" in sample.name)


def test_written_cases_are_read_back(tmp_path: Path) -> None:
    samples = (PhantomCase("p9", 1), PhantomCase("p10", 4, tumour=False, missing=("pre-contrast",)))
    folders = write_phantom_cases(tmp_path / "new", samples, SHAPE)
    assert folders == [tmp_path / "new" / "p9", tmp_path / "new" / "p10"]
    for case, sample in zip(find_cases(tmp_path / "new"), samples, strict=True):
        wanted, mask = make_phantom(sample.seed, SHAPE, tumour=sample.tumour, missing=sample.missing, name=sample.name)
        volume = read_volume(case)
        np.testing.assert_array_equal(volume.array, wanted.array)
        np.testing.assert_array_equal(read_mask(case, volume), mask)
        assert (volume.name, volume.missing, case.problems) == (wanted.name, wanted.missing, ())


def test_cases_that_are_there_already_are_left_alone(tmp_path: Path) -> None:
    (folder,) = write_phantom_cases(tmp_path, [PhantomCase("p", 1)], SHAPE)
    (folder / "p_1.tif").write_bytes(b"mine")
    assert write_phantom_cases(tmp_path, [PhantomCase("p", 1)], SHAPE) == [folder]
    assert (folder / "p_1.tif").read_bytes() == b"mine"


def test_case_that_could_not_be_written_is_not_taken_for_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tifffile.imwrite", full)
        with pytest.raises(OSError, match="no space left"):
            write_phantom_cases(tmp_path, [PhantomCase("p", 1)], SHAPE)
    assert not list(tmp_path.iterdir())
    (folder,) = write_phantom_cases(tmp_path, [PhantomCase("p", 1)], SHAPE)
    (case,) = find_cases(tmp_path)
    assert case.folder == folder
    assert None not in case.masks
