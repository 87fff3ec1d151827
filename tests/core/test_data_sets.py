"""What is said of a data set, in numbers and files."""

import re

import numpy as np
import pytest

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import CheckConfig
from napari_brainseg.core.exploration import GRID, explore_cases
from napari_brainseg.core.exploration_figures import DARK, figure_names, figure_png
from napari_brainseg.core.exploration_reports import EXPLORATION_FILES, choose_slices, slice_rows, write_exploration
from napari_brainseg.core.masks import read_mask
from napari_brainseg.core.phantom import PhantomCase, write_phantom_cases
from napari_brainseg.core.progress import Cancelled
from napari_brainseg.core.volumes import read_volume

SHAPE = (6, 64, 64)
PATIENTS = ("TCGA_CS_0001_20000101", "TCGA_CS_0002_20000101", "TCGA_DU_0003_20000101", "TCGA_DU_0003_20010101")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three patients at two sites, one of them twice, with a table beside them."""
    folder = tmp_path_factory.mktemp("data") / "cases"
    made = [
        PhantomCase(PATIENTS[0], 1),
        PhantomCase(PATIENTS[1], 2, missing=("post-contrast",)),
        PhantomCase(PATIENTS[2], 3),
        PhantomCase(PATIENTS[3], 4, tumour=False),
    ]
    write_phantom_cases(folder, made, SHAPE)
    table = "Patient,neoplasm_histologic_grade,age_at_initial_pathologic\nTCGA_CS_0001,1,67\nTCGA_DU_0003,2,\n"
    (folder.parent / "data.csv").write_text(table)
    return folder


@pytest.fixture(scope="module")
def explored(data):
    return explore_cases(find_cases(data))


@pytest.fixture(scope="module")
def masks(data):
    return [read_mask(case, read_volume(case)) for case in find_cases(data)]


def test_counts_are_those_of_what_was_made(explored, masks):
    tumour_slices = sum(int(plane.any()) for mask in masks for plane in mask)
    totals = explored.totals

    assert (totals["patients"], totals["cases"], totals["slices"]) == (3, 4, 24)
    assert (totals["tumour slices"], totals["tumour-free slices"]) == (tumour_slices, 24 - tumour_slices)
    assert totals["tumour voxels"] == sum(int(mask.sum()) for mask in masks)
    assert totals["cases without tumour"] == 1
    assert totals["cases with missing sequences"] == 1
    assert totals["unreadable cases"] == totals["slices without mask"] == totals["cases without mask"] == 0
    assert {site: len(cases) for site, cases in explored.sites.items()} == {"CS": 2, "DU": 2}


def test_histograms_count_every_fourth_row_and_column(explored, data):
    array = read_volume(find_cases(data)[0]).array[:, ::4, ::4]

    for channel in range(3):
        expected = np.bincount(array[..., channel].ravel(), minlength=256)
        np.testing.assert_array_equal(explored.cases[0].histograms[channel], expected)
    assert not explored.cases[0].is_scaled


def test_positions_are_the_mean_of_all_masks(explored, masks):
    assert SHAPE[1] == GRID
    np.testing.assert_allclose(explored.positions, np.mean(np.concatenate(masks), axis=0))


@pytest.mark.parametrize("edge", [40, 64, 100, 128])
def test_positions_do_not_depend_on_the_size_of_slices(tmp_path, edge):
    write_phantom_cases(tmp_path, [PhantomCase("anna", 1)], (6, edge, edge))
    (case,) = find_cases(tmp_path)
    mask = read_mask(case, read_volume(case))

    positions = explore_cases([case]).positions

    assert positions.max() <= 1
    assert positions.mean() == pytest.approx(mask.mean(), rel=0.1)


def test_the_table_beside_the_cases_is_joined_by_patient(explored):
    rows = [explored.table.row(found.case) for found in explored.cases]

    assert [row.get("neoplasm_histologic_grade") for row in rows] == ["1", None, "2", "2"]


def test_slices_without_a_mask_count_neither_way(tmp_path):
    write_phantom_cases(tmp_path, [PhantomCase("anna", 1)], SHAPE)
    (tmp_path / "anna" / "anna_1_mask.tif").unlink()

    found = explore_cases(find_cases(tmp_path))

    assert found.cases[0].areas[0] is None
    assert found.totals["slices without mask"] == 1
    assert found.totals["tumour slices"] + found.totals["tumour-free slices"] == 5


def test_exploring_can_be_stopped(data):
    def stop(_):
        raise Cancelled

    with pytest.raises(Cancelled):
        explore_cases(find_cases(data), on_progress=stop)


def test_the_table_of_slices_has_every_slice_with_its_files(explored, masks, tmp_path, read_csv):
    write_exploration(explored, tmp_path)
    rows = read_csv(tmp_path / "slices.csv")

    assert len(rows) == 24
    assert [int(row["area"]) for row in rows] == [int(plane.sum()) for mask in masks for plane in mask]
    assert all((row["tumour"] == "yes") == (int(row["area"]) > 0) for row in rows)
    assert rows[0]["image"].endswith(f"{PATIENTS[0]}_1.tif")
    assert rows[0]["mask"].endswith(f"{PATIENTS[0]}_1_mask.tif")


def test_the_table_of_cases_holds_what_the_patients_table_says(explored, tmp_path, read_csv):
    write_exploration(explored, tmp_path)
    rows = read_csv(tmp_path / "cases.csv")

    assert [row["case"] for row in rows] == list(PATIENTS)
    assert [row["age_at_initial_pathologic"] for row in rows] == ["67", "", "", ""]
    assert [row["missing_sequences"] for row in rows] == ["none", "post-contrast", "none", "none"]


def test_the_page_needs_nothing_but_itself(explored, tmp_path):
    page = write_exploration(explored, tmp_path, source="my data").read_text("utf-8")

    assert "my data" in page
    assert not re.search(r"(https?:)?//\w|<script|<link", re.sub(r"data:image/png;base64,[^\"]*", "", page))
    assert all((tmp_path / name).is_file() for name in EXPLORATION_FILES)
    assert all(found.case.name in page for found in explored.cases)


def test_nothing_is_replaced_unasked(explored, tmp_path):
    (tmp_path / "cases.csv").write_text("mine")

    with pytest.raises(FileExistsError, match=r"cases\.csv"):
        write_exploration(explored, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cases.csv"]

    write_exploration(explored, tmp_path, overwrite=True)
    assert (tmp_path / "cases.csv").read_text("utf-8") != "mine"


def test_the_seed_decides_which_slices_are_shown(explored):
    def drawn(seed):
        return [(found.case.name, number) for found, number in choose_slices(explored, seed)]

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(8)}) > 1
    tumour = {(row["case"], row["slice"]) for row in slice_rows(explored) if row["tumour"] == "yes"}
    assert set(drawn(1)) <= tumour


def test_intensities_are_drawn_from_where_the_head_was_said_to_begin(data):
    cases = find_cases(data)[:1]
    one, other = (
        figure_png("intensities", explore_cases(cases, CheckConfig(foreground=share)), DARK) for share in (0.1, 0.6)
    )

    assert one != other


def test_a_data_set_without_tumour_or_masks_can_be_drawn(tmp_path):
    write_phantom_cases(tmp_path / "data", [PhantomCase("anna", 1)], SHAPE)
    for file in (tmp_path / "data").rglob("*_mask.tif"):
        file.unlink()
    found = explore_cases(find_cases(tmp_path / "data"))

    write_exploration(found, tmp_path / "out")

    assert list(figure_names(found)) == ["slices", "intensities"]
    assert not (tmp_path / "out" / "positions.png").exists()
    assert figure_png("slices", found, DARK).startswith(b"\x89PNG")


@pytest.mark.realdata
def test_real_cases(real_cases_folder):
    found = explore_cases(find_cases(real_cases_folder))

    assert (found.totals["patients"], found.totals["slices"]) == (3, sum(item.shape[0] for item in found.cases))
    assert found.totals["cases with missing sequences"] == 2
    assert [(item.kind, item.case, item.slice_number) for item in found.findings] == [
        ("cut off", "TCGA_FG_7634_20000128", 27)
    ]
    assert len(slice_rows(found)) == found.totals["slices"]
