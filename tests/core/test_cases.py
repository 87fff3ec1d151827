import errno
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_brainseg.core.cases import Case, Problem, find_cases, find_masks
from napari_brainseg.core.config import CHANNELS
from napari_brainseg.core.progress import Cancelled, Progress

Touch = Callable[[str, Sequence[str]], Path]


def slices(name: str, numbers: Iterable[int], *, masks: bool = True, suffix: str = ".tif") -> list[str]:
    kinds = ("", "_mask") if masks else ("",)
    return [f"{name}_{number}{kind}{suffix}" for number in numbers for kind in kinds]


def only_case(path: Path) -> Case:
    (case,) = find_cases(path)
    return case


def write_stack(file: Path, shape: tuple[int, ...] = (3, 8, 8)) -> None:
    tifffile.imwrite(file, np.zeros(shape, np.uint8), photometric="rgb" if shape[-1] == 3 else "minisblack")


def test_slices_are_in_natural_order_with_their_masks(touch: Touch) -> None:
    case = only_case(touch("p", slices("p", range(1, 12))))
    assert case.numbers == tuple(range(1, 12))
    assert [file.name for file in case.images] == [f"p_{number}.tif" for number in range(1, 12)]
    assert [file and file.name for file in case.masks] == [f"p_{number}_mask.tif" for number in range(1, 12)]
    assert (case.name, case.layout, case.problems, case.error) == ("p", "slices", (), None)
    assert case.has_masks


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["p_1.TIF", "p_1_mask.TIF", "p_2.TIF", "p_2_mask.TIF"], id="TIF"),
        pytest.param(["p_1.TIFF", "p_1_MASK.TIFF", "p_2.TIFF", "p_2_Mask.TIFF"], id="TIFF"),
        pytest.param(["p_1.tiff", "p_1_mask.tif", "p_2.Tif", "p_2_mask.tiff"], id="mixed"),
        pytest.param(["1.tif", "1_mask.tif", "2.tif", "2_mask.tif"], id="numbers alone"),
        pytest.param(["p-001.tif", "p-001_mask.tif", "p-002.tif", "p-002_mask.tif"], id="leading zeros"),
        pytest.param(
            ["Zoë 頭 1.tif", "Zoë 頭 1_mask.tif", "Zoë 頭 2.tif", "Zoë 頭 2_mask.tif"], id="unicode and spaces"
        ),
    ],
)
def test_ways_to_write_slice_names(touch: Touch, names: list[str]) -> None:
    case = only_case(touch("p", names))
    assert case.numbers == (1, 2)
    assert [file.name for file in case.images] == names[::2]
    assert [file and file.name for file in case.masks] == names[1::2]
    assert case.name == "p"
    assert case.problems == ()


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        pytest.param(slices("p", (1, 2, 5)), "no image of slices 3, 4, missing in the numbering", id="gap"),
        pytest.param([*slices("p", (1, 2)), "p_3.tif"], "no mask of slice 3", id="no mask"),
        pytest.param([*slices("p", (1, 2)), "p_3_mask.tif"], "no image for the mask of slice 3", id="no image"),
        pytest.param([*slices("p", (1, 2)), "notes.txt"], "not part of the case: notes.txt", id="stray"),
        pytest.param(
            [*slices("p", range(1, 9), masks=False), "p_8_mask.tif"],
            "no mask of slices 1, 2, 3, 4, 5 and 2 more",
            id="many without mask",
        ),
    ],
)
def test_usable_case_tells_its_problem(touch: Touch, names: list[str], problem: str) -> None:
    case = only_case(touch("p", names))
    assert [str(found) for found in case.problems] == [problem]
    assert case.error is None
    assert len(case.images) == len(case.masks) == len(case.numbers)


def test_slice_without_mask_has_none_in_its_place(touch: Touch) -> None:
    case = only_case(touch("p", ["p_1.tif", "p_2.tif", "p_2_mask.tif", "p_3.tif"]))
    assert [file and file.name for file in case.masks] == [None, "p_2_mask.tif", None]


def test_case_without_any_mask_has_no_problem(touch: Touch) -> None:
    case = only_case(touch("p", slices("p", (1, 2), masks=False)))
    assert case.problems == ()
    assert not case.has_masks


def test_hidden_files_are_no_strays(touch: Touch) -> None:
    case = only_case(touch("p", [*slices("p", (1, 2)), ".DS_Store", "._p_1.tif"]))
    assert case.problems == ()
    assert len(case.images) == 2


def test_one_slice_is_a_case(touch: Touch) -> None:
    case = only_case(touch("p", slices("p", (7,))))
    assert case.numbers == (7,)
    assert case.error is None


@pytest.mark.parametrize(
    ("names", "error"),
    [
        pytest.param(["p_1.tif", "p_2.tif", "p_2.tiff"], "slice 2 of p is there twice", id="two suffixes"),
        pytest.param(["p_1.tif", "p_01.tif"], "slice 1 of p is there twice", id="leading zero"),
        pytest.param(["p_1.tif", "p_1_mask.tif", "p_01_mask.tif"], "slice 1 of p is there twice", id="mask twice"),
        pytest.param(["p_1_mask.tif", "p_2_mask.tif"], "holds masks of p but no images", id="masks alone"),
        pytest.param(["p_mask.tif"], "p_mask.tif is a mask without an image p.tif", id="mask stack alone"),
        pytest.param(["p.tif", "p.tiff"], "p is there twice: p.tif, p.tiff", id="stack twice"),
        pytest.param(["p_t1.nii"], "p has no FLAIR: its files are p_t1.nii", id="no FLAIR"),
        pytest.param(["p_T2.nii.gz"], "p_T2.nii.gz is, by its name, of a sequence that is not used; a FLAIR", id="T2"),
        pytest.param(["p_seg.nii.gz"], "p_seg.nii.gz has no image beside it", id="NIfTI mask alone"),
        pytest.param(["p_flair.nii", "p_flair.nii.gz"], "p has more than one FLAIR", id="FLAIR twice"),
        pytest.param(
            ["p_flair.nii", "p.nii"], "p.nii: the name does not say which sequence it is", id="sequence unclear"
        ),
    ],
)
def test_files_that_cannot_be_a_case_are_listed_with_the_reason(touch: Touch, names: list[str], error: str) -> None:
    folder = touch("p", names)
    case = only_case(folder)
    assert case.error is not None
    assert error in case.error
    for name in names:
        assert find_cases(folder / name) == [case]


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["p_T2.nii", "p_seg.nii"], "p_T2.nii is, by its name, of a sequence that is not used; a FLAIR is needed"),
        (["p_T1.nii", "p_x.nii"], "p has no FLAIR: its files are p_T1.nii, p_x.nii"),
    ],
    ids=["T2 with mask", "T1 and unknown"],
)
def test_case_without_flair_says_what_there_is(touch: Touch, names: list[str], error: str) -> None:
    assert str(only_case(touch("p", names)).error).endswith(error)


def test_bad_case_does_not_stop_the_others(touch: Touch, tmp_path: Path) -> None:
    touch("set/a", slices("a", (1, 2)))
    touch("set/b", ["b_1.tif", "b_01.tif"])
    touch("set/c", slices("c", (1, 2)))
    found = find_cases(tmp_path / "set")
    assert [(case.name, case.error is None) for case in found] == [("a", True), ("b", False), ("c", True)]


def test_cases_are_in_natural_order(touch: Touch, tmp_path: Path) -> None:
    for name in ("p10", "p9", "p1"):
        touch(f"set/{name}", slices(name, (1,)))
    assert [case.name for case in find_cases(tmp_path / "set")] == ["p1", "p9", "p10"]


def test_several_patients_in_one_folder(touch: Touch) -> None:
    found = find_cases(touch("flat", [*slices("a", (1, 2)), *slices("b", (1, 2, 3))]))
    assert [(case.name, len(case.images)) for case in found] == [("a", 2), ("b", 3)]


def test_cases_nested_below_are_found(touch: Touch, tmp_path: Path) -> None:
    name = "TCGA_CS_4941_19960909"
    touch(f"down load/lgg-mri/kaggle_3m/{name}", slices(name, (1, 2)))
    (tmp_path / "down load/lgg-mri/kaggle_3m/data.csv").touch()
    case = only_case(tmp_path / "down load")
    assert (case.name, case.folder.parent.name) == (name, "kaggle_3m")


def test_two_cases_of_one_name_are_told_apart(touch: Touch, tmp_path: Path) -> None:
    for site in ("north", "south"):
        touch(f"set/{site}/p", slices("p", (1, 2)))
    first, second = find_cases(tmp_path / "set")
    assert (first.name, second.name) == ("p", "p (2)")
    assert second.problems == (Problem("other file", "another case is called p too"),)
    assert first.folder != second.folder


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("a/x", "b/x", "c/x (2)"), ["x", "x (2)", "x (2) (2)"]),
        (("a/x", "b/x (2)", "c/x"), ["x", "x (2)", "x (3)"]),
        (("a/Anna", "b/anna"), ["Anna", "anna (2)"]),
        (("a/p:1", "b/p_1"), ["p:1", "p_1 (2)"]),
    ],
    ids=["number taken later", "number taken before", "large letters", "letters that no file has"],
)
def test_no_two_cases_have_one_name_on_any_disk(
    touch: Touch, tmp_path: Path, folders: tuple[str, ...], names: list[str]
) -> None:
    try:
        for folder in folders:
            touch(f"set/{folder}", slices("s", (1, 2)))
    except OSError:
        pytest.skip("this disk holds no such names")
    found = find_cases(tmp_path / "set")
    assert {case.name for case in found} == set(names)
    assert [bool(case.problems) for case in sorted(found, key=lambda case: case.folder)] == [
        name != Path(folder).name for name, folder in zip(names, folders, strict=True)
    ]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_which_of_two_is_the_second_does_not_depend_on_the_disk(
    touch: Touch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_reversed: bool
) -> None:
    for site in ("2", "02", "10"):
        touch(f"set/{site}/p", slices("p", (1, 2)))
    list_names = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: sorted(list_names(folder), reverse=is_reversed))
    found = find_cases(tmp_path / "set")
    assert [case.folder.parent.name for case in found] == ["02", "2", "10"]


@pytest.mark.parametrize(
    ("name", "patient"), [("TCGA_CS_4941_19960909", "TCGA_CS_4941"), ("p", "p")], ids=["TCGA", "elsewhere"]
)
def test_two_cases_of_one_name_may_be_one_patient(touch: Touch, tmp_path: Path, name: str, patient: str) -> None:
    """So that copies of a case never lie on both sides of a split."""
    for site in ("north", "south"):
        touch(f"set/{site}/{name}", slices(name, (1, 2)))
    assert [case.patient for case in find_cases(tmp_path / "set")] == [patient, patient]


def test_name_that_is_no_text_is_made_one(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"set", b"M\xfcller")
    try:
        os.makedirs(folder)
    except OSError:
        pytest.skip("this disk holds no such names")
    (file := Path(os.fsdecode(os.path.join(folder, b"M\xfcller_1.tif")))).touch()
    case = only_case(tmp_path / "set")
    assert (case.name, case.images) == ("M\ufffdller", (file,))


def test_loop_of_links_ends(touch: Touch, tmp_path: Path) -> None:
    folder = touch("set/p", slices("p", (1, 2)))
    (folder / "up").symlink_to(tmp_path / "set", target_is_directory=True)
    (tmp_path / "set" / "self").symlink_to("self")
    assert only_case(tmp_path / "set").name == "p"


def test_folder_and_a_link_to_it_are_one_case(touch: Touch, tmp_path: Path) -> None:
    folder = touch("set/p", slices("p", (1, 2)))
    (tmp_path / "set" / "a link").symlink_to(folder, target_is_directory=True)
    assert only_case(tmp_path / "set").name == "p"


@pytest.mark.parametrize(
    ("names", "images", "mask"),
    [
        pytest.param(["p.tif"], "p.tif", None, id="image alone"),
        pytest.param(["p.tif", "p_mask.tif"], "p.tif", "p_mask.tif", id="with mask"),
        pytest.param(["p_1.TIFF", "p_1_mask.TIFF"], "p_1.TIFF", "p_1_mask.TIFF", id="named like a slice"),
        pytest.param(["p.ome.tif", "p_mask.ome.tif"], "p.ome.tif", "p_mask.ome.tif", id="OME"),
    ],
)
def test_stack_with_an_optional_mask(tmp_path: Path, names: list[str], images: str, mask: str | None) -> None:
    for name in names:
        write_stack(tmp_path / name)
    case = only_case(tmp_path)
    assert (case.layout, case.error) == ("stack", None)
    assert [file.name for file in case.images] == [images]
    assert [file and file.name for file in case.masks] == [mask]


def test_folder_of_numbered_stacks_holds_a_case_each(tmp_path: Path) -> None:
    for name in ("p_1.tif", "p_1_mask.tif", "p_2.tif", "p_10.tif"):
        write_stack(tmp_path / name)
    found = find_cases(tmp_path)
    assert [(case.name, case.layout, case.has_masks) for case in found] == [
        ("p_1", "stack", True),
        ("p_2", "stack", False),
        ("p_10", "stack", False),
    ]


def test_numbered_stack_written_page_by_page_is_a_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "p_1.tif") as writer:
        for _ in range(3):
            writer.write(np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    assert only_case(tmp_path).layout == "stack"


@pytest.mark.parametrize(
    ("names", "channels", "mask"),
    [
        pytest.param(["p.nii"], (), None, id="one file"),
        pytest.param(["p_flair.nii.gz"], ("FLAIR",), None, id="FLAIR alone"),
        pytest.param(
            ["p_flair.nii.gz", "p_seg.nii.gz", "p_t1.nii.gz", "p_t1ce.nii.gz"],
            ("pre-contrast", "FLAIR", "post-contrast"),
            "p_seg.nii.gz",
            id="BraTS",
        ),
        pytest.param(
            ["p_FLAIR.nii", "p_post.nii", "p_pre.nii"], ("pre-contrast", "FLAIR", "post-contrast"), None, id="words"
        ),
        pytest.param(["p_flair.nii", "p_t1_gd.nii"], ("FLAIR", "post-contrast"), None, id="t1 with gd is post"),
        pytest.param(["p.nii.gz", "p_mask.nii.gz"], (), "p_mask.nii.gz", id="4D with mask"),
    ],
)
def test_nifti_names_say_the_sequence(
    touch: Touch, names: list[str], channels: tuple[str, ...], mask: str | None
) -> None:
    case = only_case(touch("folder", names))
    assert (case.name, case.layout, case.error) == ("p", "nifti", None)
    assert case.channels == channels
    assert [file and file.name for file in case.masks] == [mask]


def test_nifti_images_are_in_the_order_of_the_channels(touch: Touch) -> None:
    case = only_case(touch("p", ["flair.nii", "t1.nii", "t1ce.nii"]))
    assert case.name == "p"
    assert [file.name for file in case.images] == ["t1.nii", "flair.nii", "t1ce.nii"]


def test_nifti_of_an_unused_sequence_is_a_problem(touch: Touch) -> None:
    case = only_case(touch("p", ["flair.nii", "t2.nii"]))
    assert case.problems == (Problem("other file", "not used: t2.nii"),)
    assert case.channels == ("FLAIR",)


def test_nifti_of_no_known_sequence_is_not_used_beside_those_that_are_named(touch: Touch) -> None:
    used = [f"UCSF-PDGM-0004_{kind}.nii.gz" for kind in ("T1", "FLAIR", "T1gad", "tumor_segmentation")]
    kinds = ("ADC", "ASL", "DTI_eddy_FA", "HARDI", "SWI", "brain_segmentation")
    other = [f"UCSF-PDGM-0004_{kind}.nii.gz" for kind in kinds]
    folder = touch("UCSF-PDGM-0004_nifti", [*used, *other, "UCSF-PDGM-00041.nii.gz"])
    case, apart = find_cases(folder)
    assert (case.name, case.channels, case.error) == ("UCSF-PDGM-0004", CHANNELS, None)
    assert [file.name for file in (*case.images, *filter(None, case.masks))] == used
    assert {str(found) for found in case.problems} == {f"not used: {name}" for name in other}
    assert (apart.name, apart.error, apart.problems) == ("UCSF-PDGM-00041", None, ())


def test_nifti_of_no_known_sequence_is_not_used_of_the_visit_that_it_belongs_to(touch: Touch) -> None:
    first, second = find_cases(touch("set", ["p_flair.nii", "p_2_flair.nii", "p_2_x.nii"]))
    assert (first.problems, second.problems) == ((), (Problem("other file", "not used: p_2_x.nii"),))


def test_nifti_of_no_known_sequence_can_be_opened_by_itself(touch: Touch) -> None:
    folder = touch("set", ["p_flair.nii", "p_x.nii", "p_t2.nii"])
    assert only_case(folder / "p_x.nii").images == (folder / "p_x.nii",)
    assert "a FLAIR is needed" in str(only_case(folder / "p_t2.nii").error)


def test_mask_that_is_not_used_beside_a_case_can_be_opened_by_itself(touch: Touch) -> None:
    folder = touch("set", ["p_flair.nii", "p_seg.nii", "p_colleague_seg.nii"])
    (mask,) = find_masks(folder / "p_colleague_seg.nii")
    assert (mask.images, mask.masks, mask.error) == ((), (folder / "p_colleague_seg.nii",), None)


def test_nifti_files_that_name_no_sequence_are_a_case_each(touch: Touch) -> None:
    found = find_cases(touch("set", ["p.nii", "p_2.nii", "q.nii", "q_mask.nii"]))
    assert [(case.name, case.has_masks, case.problems) for case in found] == [
        ("p", False, ()),
        ("p_2", False, ()),
        ("q", True, ()),
    ]


def test_nifti_names_keep_letters_of_every_alphabet(touch: Touch) -> None:
    found = find_cases(touch("set", ["Müller_flair.nii", "山田_flair.nii"]))
    assert {case.name for case in found} == {"Müller", "山田"}


@pytest.mark.parametrize("visits", [("1", "2"), ("pre", "post")], ids=["numbers", "before and after an operation"])
def test_visits_of_a_bids_patient_are_cases_of_one_patient(touch: Touch, visits: tuple[str, str]) -> None:
    found = find_cases(
        touch("set", [f"sub-01_ses-{visit}_{kind}.nii.gz" for visit in visits for kind in ("FLAIR", "T1w")])
    )
    assert {case.name for case in found} == {f"sub-01_ses-{visit}" for visit in visits}
    assert {case.patient for case in found} == {"sub-01"}
    assert all(case.channels == ("pre-contrast", "FLAIR") for case in found)


def test_flair_before_and_after_an_operation_is_never_mixed(touch: Touch) -> None:
    case = only_case(touch("p", ["p_pre_FLAIR.nii", "p_post_FLAIR.nii"]))
    assert case.error == "p has more than one FLAIR: p_post_FLAIR.nii, p_pre_FLAIR.nii"


def test_sequences_as_brats_calls_them_since_2023(touch: Touch) -> None:
    names = [f"BraTS-GLI-00005-001-{kind}.nii.gz" for kind in ("seg", "t1c", "t1n", "t2f", "t2w")]
    case = only_case(touch("set", names))
    assert (case.name, case.patient, case.error) == ("BraTS-GLI-00005-001", "BraTS-GLI-00005", None)
    assert [file.name for file in (*case.images, *filter(None, case.masks))] == [names[at] for at in (2, 3, 1, 0)]


def test_one_file_stands_for_its_case(touch: Touch) -> None:
    folder = touch("p", [*slices("p", (1, 2)), "other.tif"])
    case = only_case(folder / "p_2.tif")
    assert len(case.images) == 2


def test_one_nifti_file_stands_for_all_sequences(touch: Touch) -> None:
    folder = touch("p", ["a_flair.nii", "a_t1.nii", "b_flair.nii"])
    assert [file.name for file in only_case(folder / "a_t1.nii").images] == ["a_t1.nii", "a_flair.nii"]


@pytest.mark.parametrize("name", ["empty", "ümläut and space"])
def test_folder_without_a_case_says_what_is_allowed(touch: Touch, name: str) -> None:
    folder = touch(name, [])
    with pytest.raises(ValueError, match=re.escape(f"{folder}: no case found; allowed are")):
        find_cases(folder)


def test_file_that_is_no_case_is_refused(touch: Touch) -> None:
    folder = touch("p", [*slices("p", (1, 2)), "notes.txt"])
    with pytest.raises(ValueError, match=r"notes\.txt: no case found"):
        find_cases(folder / "notes.txt")


def test_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        find_cases(tmp_path / "nowhere")


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a folder unreadable, which permissions do not for root."""

    def make(folder: Path) -> None:
        listdir = os.listdir

        def guarded(path: Any) -> Any:
            if Path(path) == folder:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return listdir(path)

        monkeypatch.setattr(os, "listdir", guarded)

    return make


def test_folder_without_permission_is_refused(touch: Touch, forbid: Callable[[Path], None]) -> None:
    folder = touch("p", slices("p", (1,)))
    forbid(folder)
    with pytest.raises(PermissionError, match=re.escape(f"{folder} may not be read: permission denied")):
        find_cases(folder)


def test_case_folder_without_permission_is_listed_with_the_reason(
    touch: Touch, tmp_path: Path, forbid: Callable[[Path], None]
) -> None:
    touch("set/a", slices("a", (1,)))
    forbid(touch("set/b", slices("b", (1,))))
    found = find_cases(tmp_path / "set")
    assert [case.name for case in found] == ["a", "b"]
    assert found[0].error is None
    assert found[1].error == f"{tmp_path / 'set' / 'b'} may not be read: permission denied"


@pytest.mark.parametrize("mode", [0o000, 0o600], ids=["nothing", "names alone"])
def test_folder_that_this_user_may_not_enter_does_not_stop_the_others(touch: Touch, tmp_path: Path, mode: int) -> None:
    touch("set/a", slices("a", (1,)))
    closed = touch("set/b", slices("b", (1,)))
    closed.chmod(mode)
    try:
        if os.access(closed, os.X_OK):
            pytest.skip("this user may enter every folder")
        found = find_cases(tmp_path / "set")
    finally:
        closed.chmod(0o700)
    assert [(case.name, case.error) for case in found] == [
        ("a", None),
        ("b", f"{closed} may not be read: permission denied"),
    ]


def test_looking_into_a_folder_that_is_closed_does_not_stop_the_others(
    touch: Touch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user who is not root meets it: to ask for a file in there is forbidden as well."""
    touch("set/a", slices("a", (1,)))
    closed = touch("set/b", slices("b", (1,)))
    for module, name in ((os, "listdir"), (os, "stat")):
        ask = getattr(module, name)

        def guarded(path: Any, *args: Any, ask: Any = ask, name: str = name, **options: Any) -> Any:
            if str(path).startswith(str(closed)) and (name == "listdir" or str(path) != str(closed)):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return ask(path, *args, **options)

        monkeypatch.setattr(module, name, guarded)
    assert [(case.name, case.error is None) for case in find_cases(tmp_path / "set")] == [("a", True), ("b", False)]


def test_case_knows_its_patient_and_site() -> None:
    case = Case("TCGA_CS_4941_19960909", Path(), "slices")
    assert (case.patient, case.site) == ("TCGA_CS_4941", "CS")


def test_single_picture_beside_the_slices_is_no_case(touch: Touch) -> None:
    case = only_case(touch("p", [*slices("p", (1, 2)), "overview.tif"]))
    assert case.name == "p"
    assert case.problems == (Problem("other file", "not part of the case: overview.tif"),)


@pytest.mark.parametrize("path", [".", "../p", "x/.."], ids=["here", "beside", "up"])
def test_relative_folder_gives_the_case_its_real_name(touch: Touch, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    folder = touch("p", slices("p", (1, 2)))
    (folder / "x").mkdir()
    monkeypatch.chdir(folder)
    assert [case.name for case in find_cases(path)] == ["p"]


def test_results_among_the_data_are_passed_over(touch: Touch) -> None:
    folder = touch("data/p", slices("p", (1, 2))).parent
    touch("data/results/p", ["p_1_mask.tif", "p_2_mask.tif", "segmentation.json"])
    assert [case.error for case in find_cases(folder)] == [None]


def test_looking_for_cases_tells_each_folder_and_can_be_stopped_there(touch: Touch, tmp_path: Path) -> None:
    for name in ("a", "b", "c/d"):
        touch(f"set/{name}", slices("p", (1,)))
    seen: list[Progress] = []
    find_cases(tmp_path / "set", on_progress=seen.append)
    assert [report.done for report in seen] == [1, 2, 3, 4, 5]
    assert [report.total for report in seen][:2] == [1, 4]  # those known so far
    assert seen[-1].total == 5

    def stop(report: Progress) -> None:
        stopped_at.append(report.done)
        if report.done == 2:
            raise Cancelled

    stopped_at: list[int] = []
    with pytest.raises(Cancelled):
        find_cases(tmp_path / "set", on_progress=stop)
    assert stopped_at == [1, 2]
