"""``brainseg segment``: what it writes, what it refuses, and how it goes on after a bad case."""

import json
import os
import shutil

import nibabel
import numpy as np
import pytest
import tifffile

from napari_brainseg.core import segmentation
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import PostprocessConfig, SegmentConfig
from napari_brainseg.core.model_folders import WEIGHTS_FILE
from napari_brainseg.core.models import load_model
from napari_brainseg.core.results import RESULT_FILE, SegmentationResult
from napari_brainseg.core.volumes import read_volume


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_model(tiny_model)


@pytest.fixture(scope="module")
def expected(patients, model):
    """What core makes of anna."""
    return segmentation.segment(read_volume(find_cases(patients / "anna")[0]), model)


@pytest.fixture
def segment(brainseg, tiny_model, tmp_path):
    """Segment into the folder ``out`` with the tiny model."""
    return lambda *arguments: brainseg("segment", *arguments, "--output", tmp_path / "out", "--model", tiny_model)


def read_slices(folder, name, count=6):
    return np.stack([tifffile.imread(folder / f"{name}_{number}_mask.tif") for number in range(1, count + 1)])


def test_kaggle_masks_are_what_core_gives(segment, patients, tmp_path, expected):
    told = segment(patients / "anna")
    folder = tmp_path / "out" / "anna"

    assert told.code == 0
    assert 0.1 < expected.mask.mean() < 0.9
    assert np.array_equal(read_slices(folder, "anna"), expected.mask * 255)
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        [RESULT_FILE, *(f"anna_{number}_mask.tif" for number in range(1, 7))]
    )


def test_a_tiff_stack_is_what_core_gives(segment, patients, tmp_path, expected):
    assert segment(patients / "anna", "--format", "tiff").code == 0

    assert np.array_equal(tifffile.imread(tmp_path / "out" / "anna" / "anna_mask.tif"), expected.mask * 255)


def test_nifti_is_what_core_gives(segment, patients, tmp_path, expected):
    assert segment(patients / "anna", "--format", "nifti").code == 0

    stored = np.asarray(nibabel.load(tmp_path / "out" / "anna" / "anna_mask.nii.gz").dataobj)
    assert np.array_equal(stored.transpose(2, 1, 0), expected.mask)


def test_an_unknown_format_is_a_usage_error_that_names_those_allowed(segment, patients, tmp_path):
    told = segment(patients / "anna", "--format", "png")

    assert told.code == 2
    assert all(word in told.err for word in ("png", "kaggle", "tiff", "nifti"))
    assert not (tmp_path / "out").exists()


def test_the_line_printed_tells_size_slice_time_and_device(segment, patients, expected):
    told = segment(patients / "anna")
    voxels = np.count_nonzero(expected.mask)
    largest = np.count_nonzero(expected.mask, axis=(1, 2)).argmax() + 1

    assert told.out.startswith(f"anna: tumour {voxels} voxels, largest in slice {largest}, ")
    assert told.out.count("\n") == 1


def test_segmentation_json_records_how_it_was_made(segment, patients, tmp_path, expected, model):
    segment(patients / "anna", "--tta", "--batch-size", "2", "--threads", "1", "--threshold", "0.6")
    result = SegmentationResult.model_validate_json((tmp_path / "out" / "anna" / RESULT_FILE).read_text())

    assert result.case == "anna"
    assert (result.tumour_millilitres, result.spacing_mm, result.spacing_source) == (None, None, "unknown")
    assert result.files == tuple(f"anna_{number}_mask.tif" for number in range(1, 7))
    assert result.provenance.model == "tiny"
    assert result.provenance.weights_sha256 == model.info.provenance.weights_sha256
    assert result.provenance.settings == SegmentConfig(tta=True, batch_size=2, threads=1)
    assert result.provenance.postprocess == PostprocessConfig(threshold=0.6)
    assert result.provenance.seconds > 0
    assert {"python", "napari-brainseg", "torch", "monai", "numpy"} <= result.provenance.versions.keys()
    masks = read_slices(tmp_path / "out" / "anna", "anna")
    assert result.tumour_voxels == np.count_nonzero(masks)


@pytest.fixture
def thick_stack(patients, tmp_path):
    """A NIfTI file that states a voxel size of 1 mm."""
    array = read_volume(find_cases(patients / "anna")[0]).array[..., 1].transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / "thick.nii.gz")
    return tmp_path / "thick.nii.gz"


@pytest.mark.parametrize("stated", [False, True])
def test_a_voxel_size_that_is_given_holds_whatever_the_files_state(segment, patients, thick_stack, tmp_path, stated):
    told = segment(thick_stack if stated else patients / "anna", "--spacing", "5", "0.5", "0.75", "--format", "nifti")
    folder = tmp_path / "out" / ("thick" if stated else "anna")
    result = SegmentationResult.model_validate_json((folder / RESULT_FILE).read_text())

    assert told.code == 0
    assert (result.spacing_mm, result.spacing_source) == ((5, 0.5, 0.75), "user")
    assert result.tumour_millilitres == pytest.approx(result.tumour_voxels * 1.875 / 1000)
    assert nibabel.load(folder / result.files[0]).header.get_zooms() == pytest.approx((0.75, 0.5, 5))


@pytest.mark.parametrize("sizes", [("5", "0", "1"), ("5", "-1", "1"), ("nan", "1", "1"), ("1e300", "1", "1")], ids=str)
def test_a_voxel_size_that_cannot_be_is_a_usage_error(segment, patients, tmp_path, sizes):
    told = segment(patients / "anna", "--spacing", *sizes)

    assert told.code == 2
    assert "positive numbers" in told.err
    assert not (tmp_path / "out").exists()


def test_missing_sequences_are_recorded(segment, patients, tmp_path):
    segment(patients / "carl")
    content = json.loads((tmp_path / "out" / "carl" / RESULT_FILE).read_text())

    assert content["missing_sequences"] == ["pre-contrast", "post-contrast"]


def test_json_is_all_that_is_printed(segment, patients, expected):
    told = segment(patients / "anna", patients / "dora", "--json")
    content = json.loads(told.out)

    assert told.code == 0
    assert [case["case"] for case in content["cases"]] == ["anna", "dora"]
    assert content["cases"][0]["tumour_voxels"] == np.count_nonzero(expected.mask)
    assert content["failed"] == {}


def test_the_models_own_threshold_holds_until_another_is_given(segment, patients, tmp_path, expected):
    segment(patients / "anna")
    assert np.array_equal(read_slices(tmp_path / "out" / "anna", "anna"), (expected.probability >= 0.45) * 255)

    segment(patients / "anna", "--overwrite", "--threshold", "0.6")
    assert np.array_equal(read_slices(tmp_path / "out" / "anna", "anna"), (expected.probability >= 0.6) * 255)


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        (["--keep-share", "1"], {"keep_share": 1}),
        (["--min-voxels", "40"], {"min_voxels": 40}),
        (["--fill-holes"], {"fill_holes": True}),
        (["--closing", "--no-fill-holes"], {"closing": True}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_clean_up_flags_change_the_mask(segment, patients, tmp_path, expected, flags, changes):
    segment(patients / "anna", *flags)
    wanted = segmentation.postprocess(expected.probability, PostprocessConfig(threshold=0.45, **changes))

    assert not np.array_equal(wanted, expected.mask)
    assert np.array_equal(read_slices(tmp_path / "out" / "anna", "anna"), wanted * 255)


def test_several_inputs_are_segmented_in_order(segment, patients, tmp_path):
    told = segment(patients / "dora", patients / "anna")

    assert [line.split(":")[0] for line in told.out.splitlines()] == ["dora", "anna"]
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == ["anna", "dora"]


@pytest.fixture
def with_bad_ones(patients, tmp_path):
    """A data set whose second case has a damaged slice and whose third has masks only."""
    folder = tmp_path / "data"
    shutil.copytree(patients, folder)
    (folder / "bert" / "bert_3.tif").write_bytes(b"II*\0 nothing")
    for file in (folder / "carl").glob("carl_?.tif"):
        file.unlink()
    return folder


def test_a_bad_case_in_the_middle_is_named_at_the_end_and_the_others_are_done(segment, with_bad_ones, tmp_path):
    told = segment(with_bad_ones)

    assert told.code == 1
    assert [line.split(":")[0] for line in told.out.splitlines()] == ["anna", "dora"]
    bert, carl, summary = told.err.splitlines()
    assert bert.startswith("bert: ")
    assert "bert_3.tif" in bert
    assert carl.startswith("carl: ")
    assert summary == "2 segmented, 2 not"
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == ["anna", "dora"]


def test_json_names_the_bad_cases_too(segment, with_bad_ones):
    told = segment(with_bad_ones, "--json")
    content = json.loads(told.out)

    assert told.code == 1
    assert list(content["failed"]) == ["bert", "carl"]
    assert len(content["cases"]) == 2


def test_a_network_that_fails_on_one_case_does_not_stop_the_others(segment, patients, monkeypatch):
    predict = segmentation.predict

    def fail_on_bert(volume, *arguments, **more):
        if volume.name == "bert":
            raise RuntimeError("the kernel does not like this shape")
        return predict(volume, *arguments, **more)

    monkeypatch.setattr(segmentation, "predict", fail_on_bert)
    told = segment(patients)

    assert told.code == 1
    assert [line.split(":")[0] for line in told.out.splitlines()] == ["anna", "carl", "dora"]
    assert "bert: the kernel does not like this shape" in told.err


def test_a_second_run_refuses_and_changes_nothing(segment, patients, tmp_path, files_of):
    segment(patients / "bert")
    before = files_of(tmp_path / "out")
    told = segment(patients, "--threshold", "0.9")

    assert told.code == 1
    assert told.out == ""
    assert told.err == (
        f"brainseg: {tmp_path / 'out' / 'bert'} holds results already; choose another --output or give --overwrite\n"
    )
    assert files_of(tmp_path / "out") == before


def test_overwrite_replaces_the_results(segment, patients, tmp_path, expected):
    segment(patients / "anna", "--threshold", "0.9")
    assert segment(patients / "anna", "--overwrite").code == 0

    assert np.array_equal(read_slices(tmp_path / "out" / "anna", "anna"), expected.mask * 255)


def test_overwriting_in_another_format_leaves_no_former_mask_behind(segment, patients, tmp_path):
    segment(patients / "anna")
    assert segment(patients / "anna", "--overwrite", "--format", "nifti").code == 0

    assert sorted(file.name for file in (tmp_path / "out" / "anna").iterdir()) == ["anna_mask.nii.gz", RESULT_FILE]


def test_overwriting_spares_files_that_are_no_results(segment, patients, tmp_path):
    segment(patients / "anna")
    (tmp_path / "out" / "anna" / "notes.txt").write_text("mine")
    segment(patients / "anna", "--overwrite", "--format", "tiff")

    assert (tmp_path / "out" / "anna" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("place", ["data", ".", "data/anna", "data/anna/deeper", "link"])
def test_a_folder_among_the_data_is_refused_and_manual_masks_stay(
    brainseg, tiny_model, patients, tmp_path, files_of, place
):
    data = shutil.copytree(patients, tmp_path / "data")
    (tmp_path / "link").symlink_to(data)
    before = files_of(tmp_path)
    told = brainseg("segment", data, "--output", tmp_path / place, "--model", tiny_model, "--overwrite")

    assert told.code == 1
    assert told.err == (
        f"brainseg: {tmp_path / place} is not apart from the data, which lies in {data / 'anna'}; "
        "choose another --output\n"
    )
    assert files_of(tmp_path) == before


def test_a_file_may_be_segmented_into_the_folder_it_lies_in_but_not_into_a_cases_own(
    brainseg, tiny_model, thick_stack, tmp_path
):
    assert brainseg("segment", thick_stack, "--output", tmp_path, "--model", tiny_model).code == 0
    own = tmp_path / "data" / "thick"
    own.mkdir(parents=True)
    told = brainseg("segment", thick_stack.rename(own / "thick.nii.gz"), "--output", own.parent, "--model", tiny_model)

    assert told.code == 1
    assert "is not apart from the data" in told.err
    assert [file.name for file in own.iterdir()] == ["thick.nii.gz"]


def test_overwrite_never_replaces_what_no_earlier_run_wrote(segment, patients, tmp_path, files_of):
    anna, bert, carl = (tmp_path / "out" / name for name in ("anna", "bert", "carl"))
    segment(patients / "anna", "--format", "nifti")
    (anna / "anna_2_mask.tif").write_bytes(b"mine")
    bert.mkdir()
    (bert / "bert_3_mask.tif").write_bytes(b"mine")
    carl.mkdir()
    (carl / RESULT_FILE).write_text('{"mine": 1}')
    before = files_of(tmp_path / "out")
    told = segment(patients, "--overwrite")

    assert told.code == 1
    assert [line.split(":")[0] for line in told.out.splitlines()] == ["dora"]
    assert f"anna: {anna / 'anna_2_mask.tif'} exists already and is not the mask of a former segmentation" in told.err
    assert f"bert: {bert / 'bert_3_mask.tif'} exists already" in told.err
    assert f"carl: {carl / RESULT_FILE} is no record of a segmentation" in told.err
    assert before.items() < files_of(tmp_path / "out").items()


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_what_is_wrong_with_a_case_that_can_be_used_is_told(segment, patients, tmp_path, flags):
    folder = shutil.copytree(patients / "anna", tmp_path / "anna")
    (folder / "anna_3.tif").unlink()
    told = segment(folder, *flags)

    assert told.code == 0
    assert told.err.splitlines() == [
        "anna: no image of slice 3, missing in the numbering",
        "anna: no image for the mask of slice 3",
    ]


def test_overwriting_is_not_suggested_where_there_are_no_results(segment, patients, tmp_path):
    (tmp_path / "out" / "anna").mkdir(parents=True)
    (tmp_path / "out" / "anna" / "notes.txt").write_text("mine")
    told = segment(patients / "anna")

    assert told.err == (
        f"brainseg: {tmp_path / 'out' / 'anna'} holds files that are no results; choose another --output\n"
    )


def test_two_cases_of_one_name_are_refused(segment, patients, tmp_path):
    shutil.copytree(patients / "anna", tmp_path / "elsewhere" / "anna")
    told = segment(patients / "anna", tmp_path / "elsewhere")

    assert told.code == 1
    assert told.err == (
        f"brainseg: two cases are called anna, {patients / 'anna'} and {tmp_path / 'elsewhere' / 'anna'}: their "
        "results would be written to the same folder\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_case_that_is_given_twice_is_segmented_once(segment, patients, tmp_path):
    (tmp_path / "link").symlink_to(patients)
    told = segment(patients / "anna", patients / "anna", tmp_path / "link" / "anna", patients / "anna" / ".." / "anna")

    assert told.code == 0
    assert told.out.count("\n") == 1


def test_inputs_that_hold_no_case_are_named_at_the_end_and_the_others_are_done(segment, patients, tmp_path):
    table = tmp_path / "data.csv"
    table.write_text("patient,grade")
    told = segment(patients / "anna", tmp_path / "nowhere", table)

    assert told.code == 1
    nowhere, csv, summary = told.err.splitlines()
    assert nowhere == f"{tmp_path / 'nowhere'} does not exist"
    assert csv.startswith(f"{table}: no case found")
    assert summary == "1 segmented, 2 not"
    assert [folder.name for folder in (tmp_path / "out").iterdir()] == ["anna"]


def test_a_folder_that_holds_no_model_is_refused(brainseg, patients, tmp_path):
    told = brainseg("segment", patients / "anna", "--output", tmp_path / "out", "--model", tmp_path)

    assert told.code == 1
    assert told.err.startswith(f"brainseg: {tmp_path} is not a model: allowed are 'default', 'fast' and ")
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_refused(brainseg, patients, tmp_path, tiny_model):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / WEIGHTS_FILE).write_bytes(b"nothing")
    told = brainseg("segment", patients / "anna", "--output", tmp_path / "out", "--model", folder)

    assert told.code == 1
    assert "is damaged" in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_named(segment, patients, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    told = segment(patients / "anna", "--device", "cuda")

    assert told.code == 1
    assert "the device 'cuda' is not available here" in told.err


@pytest.mark.parametrize("moment", ["segmenting", "writing"])
def test_ctrl_c_ends_with_130_and_leaves_only_whole_files(
    segment, patients, tmp_path, monkeypatch, files_of, moment, expected
):
    """In the second case: the first one's results stay."""
    calls = []
    target, name = (segmentation, "predict") if moment == "segmenting" else (tifffile, "imwrite")
    function = getattr(target, name)

    def interrupted(*arguments, **more):
        calls.append(arguments)
        if len(calls) == (2 if moment == "segmenting" else 8):
            raise KeyboardInterrupt
        return function(*arguments, **more)

    monkeypatch.setattr(target, name, interrupted)
    told = segment(patients)
    files = files_of(tmp_path / "out")

    assert told.code == 130
    assert told.err == "stopped\n"
    assert {file.split("/")[0] for file in files} == {"anna"}
    assert not [file for file in files if "/." in file]
    assert np.array_equal(read_slices(tmp_path / "out" / "anna", "anna"), expected.mask * 255)


def test_a_full_disk_is_told_and_leaves_nothing_half_written(segment, patients, tmp_path, monkeypatch, files_of):
    write, calls = tifffile.imwrite, []

    def full(path, *arguments, **more):
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **more)

    monkeypatch.setattr(tifffile, "imwrite", full)
    told = segment(patients / "anna")

    assert told.code == 1
    assert f"anna: {tmp_path / 'out' / 'anna' / 'anna_3_mask.tif'} cannot be written: no space left" in told.err
    assert files_of(tmp_path) == {}


def test_a_case_whose_name_is_no_text_has_its_record_too(segment, patients, tmp_path):
    try:
        shutil.copytree(patients / "anna", os.fsdecode(os.path.join(os.fsencode(tmp_path), b"data", b"caf\xe9")))
    except OSError:
        pytest.skip("this disk holds no such names")
    told = segment(tmp_path / "data")

    assert told.code == 0, told.err
    assert (tmp_path / "out" / "caf\ufffd" / RESULT_FILE).is_file()
