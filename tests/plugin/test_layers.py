"""Reader, writers and samples: what napari is given, and what is on disk afterwards."""

import shutil

import napari
import nibabel
import numpy as np
import pytest
import tifffile
from napari.layers import Labels, Layer

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.masks import largest_slice, read_mask, write_mask_file
from napari_brainseg.core.phantom import PhantomCase, make_phantom, write_phantom_cases
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.plugin import layers as plugin_layers
from napari_brainseg.plugin.layer_metadata import METADATA
from napari_brainseg.plugin.layers import (
    COLOURS,
    get_reader,
    list_cases,
    phantom_case,
    phantom_data_set,
    read_layers,
    write_file,
    write_kaggle,
)
from napari_brainseg.plugin.tabs import find_tab

SHAPE = (6, 64, 64)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data set")
    write_phantom_cases(folder, shape=SHAPE)
    return folder


@pytest.fixture
def ras_case(tmp_path):
    """NIfTI case whose voxels are stored towards right, anterior and superior, rotated a little and off the origin."""
    volume, mask = make_phantom(2, SHAPE)
    affine = np.diag([0.5, 0.75, 3.0, 1.0])
    affine[:3, 3] = 10, -20, 30
    folder = tmp_path / "anna"
    folder.mkdir()
    flair = volume.array[..., 1].transpose(2, 1, 0)[::-1, ::-1]
    nibabel.save(nibabel.Nifti1Image(flair, affine), folder / "anna_flair.nii.gz")
    nibabel.save(nibabel.Nifti1Image(mask.transpose(2, 1, 0)[::-1, ::-1], affine), folder / "anna_seg.nii.gz")
    return folder


def labels_of(layers):
    data, meta, _ = next(layer for layer in layers if layer[2] == "labels")
    return data, meta


# reader


def test_a_case_is_three_sequences_and_its_mask(data_set):
    layers = read_layers(str(data_set / "phantom_1"))

    assert [kind for _, _, kind in layers] == ["image", "image", "image", "labels"]
    shown = {meta["name"]: meta.get("visible", True) for _, meta, _ in layers}
    assert shown == {
        "phantom_1 pre-contrast": False,
        "phantom_1 post-contrast": False,
        "phantom_1 FLAIR": True,
        "phantom_1 manual": True,
    }


def test_all_layers_of_a_case_lie_on_each_other_and_lead_back_to_it(data_set):
    layers = read_layers(str(data_set / "phantom_1"))

    for key in ("scale", "units", "axis_labels"):
        assert len({meta[key] for _, meta, _ in layers}) == 1
    assert layers[0][1]["units"] == ("pixel",) * 3
    assert all(meta["metadata"][METADATA]["volume"].name == "phantom_1" for _, meta, _ in layers)


def test_known_spacing_is_in_millimetres(ras_case):
    layers = read_layers(str(ras_case))

    assert all(meta["scale"] == pytest.approx((3.0, 0.75, 0.5)) for _, meta, _ in layers)
    assert all(meta["units"] == ("mm",) * 3 for _, meta, _ in layers)


def test_contrast_is_that_of_the_volume(data_set):
    low, high = read_layers(str(data_set / "phantom_1"))[2][1]["contrast_limits"]

    assert low < 20
    assert 150 < high <= 255


def test_a_missing_sequence_is_named_so(data_set):
    names = [meta["name"] for _, meta, _ in read_layers(str(data_set / "phantom_3_FLAIR_only"))]

    assert "phantom_3_FLAIR_only pre-contrast (missing)" in names
    assert "phantom_3_FLAIR_only FLAIR" in names


def test_stacks_and_nifti_files_are_cases_too(data_set, ras_case, tmp_path):
    volume = read_volume(find_cases(data_set / "phantom_1")[0])
    tifffile.imwrite(tmp_path / "stack.tif", volume.array, photometric="rgb")

    assert get_reader(str(tmp_path / "stack.tif")) is read_layers
    assert get_reader(str(ras_case / "anna_flair.nii.gz")) is read_layers
    assert read_layers(str(tmp_path / "stack.tif"))[2][0].shape == SHAPE


@pytest.mark.parametrize("name", ["anna_mask.nii.gz", "anna_mask.tif", "expert.nii", "expert.tif"])
def test_a_mask_by_itself_is_opened_as_one(ras_case, tmp_path, name):
    mask, volume = labels_of(read_layers(str(ras_case)))[0], read_volume(find_cases(ras_case)[0])
    file = write_mask_file(mask, tmp_path / name, volume)

    assert get_reader(str(file)) is read_layers
    ((data, meta, kind),) = read_layers(str(file))
    assert kind == "labels"
    np.testing.assert_array_equal(data, mask)
    assert meta["scale"] == pytest.approx(volume.spacing)
    assert meta["units"] == ("mm",) * 3
    assert meta["name"] == file.name.split("_")[0].split(".")[0] + " mask"


def test_a_mask_without_tumour_is_a_mask_too(ras_case, tmp_path):
    file = write_mask_file(np.zeros(SHAPE, np.uint8), tmp_path / "expert.nii", read_volume(find_cases(ras_case)[0]))

    ((data, _, kind),) = read_layers(str(file))
    assert kind == "labels"
    assert not data.any()


def test_a_folder_of_masks_alone_is_a_mask(data_set, tmp_path):
    data, meta = labels_of(read_layers(str(data_set / "phantom_1")))
    write_kaggle(str(tmp_path / "mine"), data, meta)

    assert get_reader(str(tmp_path / "mine")) is read_layers
    ((mask, _, kind),) = read_layers(str(tmp_path / "mine"))
    assert kind == "labels"
    np.testing.assert_array_equal(mask, data)


def test_the_mask_beside_the_images_is_opened_by_itself(ras_case):
    ((data, _, kind),) = read_layers(str(ras_case / "anna_seg.nii.gz"))

    assert kind == "labels"
    np.testing.assert_array_equal(data, labels_of(read_layers(str(ras_case)))[0])


def test_a_mask_opened_by_itself_and_saved_keeps_its_place(ras_case, tmp_path):
    file = ras_case / "anna_seg.nii.gz"
    (written,) = write_file(str(tmp_path / "again.nii.gz"), *read_layers(str(file))[0][:2])

    before, after = nibabel.load(file), nibabel.load(written)
    np.testing.assert_allclose(after.affine, before.affine)
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(before.dataobj))


def test_a_file_of_several_labels_is_no_mask(tmp_path):
    file = tmp_path / "tumour_seg.nii.gz"
    labels = np.zeros((5, 6, 3), np.uint8)
    labels[1], labels[2] = 2, 4
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), file)

    with pytest.raises(ValueError, match=r"tumour_seg\.nii\.gz is not a binary mask: it holds 0, 2, 4"):
        read_layers(str(file))


@pytest.mark.parametrize("name", ["photo.tif", "photo_1.tif"])
@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3)])
def test_a_single_photograph_is_left_to_others(tmp_path, name, shape):
    tifffile.imwrite(tmp_path / name, np.zeros(shape, np.uint8))

    assert get_reader(str(tmp_path / name)) is None


def test_what_is_not_one_case_is_left_to_others(data_set, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")

    assert get_reader(str(data_set / "phantom_1" / "phantom_1_2.tif")) is None
    assert get_reader([str(data_set / "phantom_1"), str(data_set / "phantom_2")]) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "nowhere")) is None


def test_a_folder_of_cases_is_listed_in_the_cases_tab(make_napari_viewer, plugin, data_set, qtbot):
    assert get_reader(str(data_set)) is get_reader(str(data_set.parent)) is list_cases
    with pytest.raises(ValueError, match="holds cases; open one of them"):
        list_cases(str(data_set))
    viewer = make_napari_viewer()
    assert viewer.open(str(data_set), plugin="napari-brainseg") == []
    qtbot.waitUntil(lambda: find_tab(viewer, "Cases") is not None, timeout=10_000)
    cases = find_tab(viewer, "Cases")
    qtbot.waitUntil(lambda: not cases.is_busy and cases.folder == data_set, timeout=30_000)


def test_a_case_that_napari_opens_shows_its_largest_tumour(make_napari_viewer, plugin, tmp_path):
    case = find_cases(write_phantom_cases(tmp_path, [PhantomCase("eva", 4)], (13, 64, 64))[0])[0]
    largest = largest_slice(read_mask(case, read_volume(case)))
    viewer = make_napari_viewer()
    viewer.open(str(case.folder), plugin="napari-brainseg")

    assert largest == 4  # of 13, which is far from the middle
    assert viewer.dims.current_step[0] == largest


def test_a_damaged_file_is_named(data_set, tmp_path):
    case = tmp_path / "phantom_1"
    shutil.copytree(data_set / "phantom_1", case)
    (case / "phantom_1_4.tif").write_bytes(b"")

    reader = get_reader(str(case))

    assert reader is not None
    with pytest.raises(ValueError, match=r"phantom_1_4\.tif"):
        reader(str(case))


def test_masks_are_outlines_in_the_colour_of_their_kind(make_napari_viewer, data_set):
    viewer = make_napari_viewer()
    viewer.add_labels(np.zeros(SHAPE, np.uint8), name="foreign")
    for layer in read_layers(str(data_set / "phantom_1")):
        viewer._add_layer_from_data(*layer)  # as napari does with what a reader returns
    viewer.add_labels(np.zeros(SHAPE, np.uint8), name="foreign too")

    mask = viewer.layers["phantom_1 manual"]
    assert mask.contour == 2
    np.testing.assert_allclose(mask.get_color(1)[:3], [0x56 / 255, 0xB4 / 255, 0xE9 / 255], atol=0.01)
    assert COLOURS["manual"] == "#56B4E9"
    assert viewer.layers["foreign"].contour == viewer.layers["foreign too"].contour == 0


def test_what_a_person_makes_of_a_mask_later_is_left_alone(make_napari_viewer, plugin, data_set):
    viewer = make_napari_viewer()
    for names in (["phantom_1"], ["phantom_2", "phantom_3_FLAIR_only"]):  # one after the other, and in one go
        viewer.open([str(data_set / name) for name in names], plugin="napari-brainseg")
    masks = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert [mask.contour for mask in masks] == [2, 2, 2]

    viewer.dims.set_current_step(0, 0)
    viewer.add_layer(Layer.create(*masks[0].as_layer_data_tuple()))  # as napari duplicates a layer
    assert viewer.dims.current_step[0] == 0
    assert viewer.layers[-1].contour == 0


# writers


@pytest.mark.parametrize("name", ["mask.tif", "mask.TIFF", "mask.nii", "mask.nii.gz"])
def test_a_file_is_written_at_exactly_the_path(data_set, tmp_path, name):
    data, meta = labels_of(read_layers(str(data_set / "phantom_1")))
    (tmp_path / name).write_text("napari's dialog has asked whether this may be replaced")

    assert write_file(str(tmp_path / name), data, meta) == [str(tmp_path / name)]

    assert [file.name for file in tmp_path.iterdir()] == [name]
    if "nii" in name:
        assert nibabel.load(tmp_path / name).shape == SHAPE[::-1]
    else:
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), data * 255)


def test_kaggle_layout_comes_back_as_it_was(data_set, tmp_path):
    case = tmp_path / "phantom_1"
    shutil.copytree(data_set / "phantom_1", case)
    data, meta = labels_of(read_layers(str(case)))
    for mask in case.glob("*_mask.tif"):
        mask.unlink()
    data[2, 3, 4] = 1

    written = write_kaggle(str(case), data, meta)

    assert len(written) == SHAPE[0]
    np.testing.assert_array_equal(labels_of(read_layers(str(case)))[0], data)


def test_kaggle_layout_never_replaces_a_mask(data_set, tmp_path):
    data, meta = labels_of(read_layers(str(data_set / "phantom_1")))
    write_kaggle(str(tmp_path), data, meta)

    with pytest.raises(FileExistsError, match=r"phantom_1_1_mask\.tif exists already"):
        write_kaggle(str(tmp_path), 1 - data, meta)

    assert tifffile.imread(tmp_path / "phantom_1_1_mask.tif").max() == data[0].max() * 255


def test_nifti_comes_back_in_the_directions_it_was_stored_in(ras_case, tmp_path):
    data, meta = labels_of(read_layers(str(ras_case)))
    original = nibabel.load(ras_case / "anna_seg.nii.gz")

    write_file(str(tmp_path / "again.nii.gz"), data, meta)

    again = nibabel.load(tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(again.dataobj), np.asanyarray(original.dataobj))
    np.testing.assert_allclose(again.affine, original.affine)
    assert data.any()


def test_tiff_stack_keeps_the_spacing_and_is_a_mask_again(ras_case, tmp_path):
    data, meta = labels_of(read_layers(str(ras_case)))
    volume = meta["metadata"][METADATA]["volume"]
    tifffile.imwrite(
        tmp_path / "anna.tif",
        volume.array[..., 1],
        imagej=True,
        resolution=(1 / 0.5, 1 / 0.75),
        metadata={"axes": "ZYX", "spacing": 3.0, "unit": "mm"},
    )

    write_file(str(tmp_path / "anna_mask.tif"), data, meta)

    case = find_cases(tmp_path / "anna.tif")[0]
    with tifffile.TiffFile(tmp_path / "anna_mask.tif") as tif:
        assert tif.imagej_metadata["spacing"] == 3.0
        assert tif.pages.first.tags["XResolution"].value == (2, 1)
    np.testing.assert_array_equal(read_mask(case, read_volume(case)), data)


def test_a_plain_layer_is_written_with_its_own_scale(tmp_path):
    layer = Labels(np.ones((4, 8, 9), np.int32), name="mine", scale=(5, 1, 2), units=("mm",) * 3)
    data, meta, _ = layer.as_layer_data_tuple()

    write_file(str(tmp_path / "mine.nii"), data, meta)
    written = write_kaggle(str(tmp_path / "slices"), data, meta)

    assert nibabel.load(tmp_path / "mine.nii").header.get_zooms() == (2, 1, 5)
    assert [path.rsplit("/", 1)[-1] for path in written] == [f"mine_{number}_mask.tif" for number in range(1, 5)]


def test_a_plain_slice_is_a_volume_of_one(tmp_path):
    data, meta, _ = Labels(np.ones((8, 9), np.uint8), name="mine").as_layer_data_tuple()

    write_file(str(tmp_path / "mine.tif"), data, meta)

    assert tifffile.imread(tmp_path / "mine.tif").squeeze().shape == (8, 9)


def test_a_movie_of_volumes_is_refused(tmp_path):
    data, meta, _ = Labels(np.ones((2, 3, 8, 9), np.uint8), name="mine").as_layer_data_tuple()

    with pytest.raises(ValueError, match=r"mine has shape \(2, 3, 8, 9\)"):
        write_file(str(tmp_path / "mine.tif"), data, meta)


def test_labels_of_something_else_are_not_merged_in_silence(tmp_path):
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    data, meta, _ = Labels(labels, name="cells").as_layer_data_tuple()

    with pytest.raises(ValueError, match=r"cells holds the labels 1, 2, 3, 4, \.\.\.; a mask holds one"):
        write_file(str(tmp_path / "cells.nii"), data, meta)

    assert not list(tmp_path.iterdir())


def test_whatever_label_is_painted_is_seen_and_written_as_tumour(data_set, tmp_path):
    layer = Layer.create(*read_layers(str(data_set / "phantom_1"))[-1])
    layer.data[0, 0, 0] = 7

    write_file(str(tmp_path / "mask.tif"), *layer.as_layer_data_tuple()[:2])

    np.testing.assert_allclose(layer.get_color(7), layer.get_color(1))
    assert tifffile.imread(tmp_path / "mask.tif")[0, 0, 0] == 255


# samples


def test_phantom_case_is_ready_to_be_segmented(monkeypatch):
    monkeypatch.setattr(napari, "current_viewer", lambda: None)

    layers = phantom_case()

    assert [kind for _, _, kind in layers] == ["image", "image", "image", "labels"]
    assert labels_of(layers)[0].any()


def test_phantom_data_set_is_written_once(monkeypatch, tmp_path):
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    monkeypatch.setattr(plugin_layers, "sample_folder", lambda: tmp_path)
    phantom_data_set()
    first = tmp_path / "phantom_1" / "phantom_1_1.tif"
    before = first.stat().st_mtime_ns

    layers = phantom_data_set()

    assert labels_of(layers)[1]["name"] == "phantom_1 manual"
    assert first.stat().st_mtime_ns == before
