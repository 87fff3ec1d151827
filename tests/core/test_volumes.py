import gzip
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from nibabel import orientations

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.masks import read_mask
from napari_brainseg.core.niftis import read_nifti
from napari_brainseg.core.tiffs import read_slice, read_stack
from napari_brainseg.core.volumes import Array, Volume, read_volume, tissue_range, volume_of_array

SHAPE = (4, 6, 5)


def noise(shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def write_slices(folder: Path, array: Array, name: str = "p", **options: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, plane in enumerate(array, start=1):
        photometric = "rgb" if plane.ndim == 3 else "minisblack"
        tifffile.imwrite(
            folder / f"{name}_{number}.tif", plane, **({"photometric": photometric, "metadata": None} | options)
        )
    return folder


def read(path: Path) -> Volume:
    (case,) = find_cases(path)
    return read_volume(case)


def write_nifti(path: Path, array: Array, affine: Array | None = None, unit: str = "mm") -> Path:
    """Write (Z, Y, X[, C]) in our directions, so that the file's own come from its affine."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) if affine is None else affine
    stored = nibabel.aff2axcodes(affine)
    turn = orientations.ornt_transform(orientations.axcodes2ornt("LPS"), orientations.axcodes2ornt(stored))
    image = nibabel.Nifti1Image(orientations.apply_orientation(np.moveaxis(array, (0, 1, 2), (2, 1, 0)), turn), affine)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


# Slices


def test_slices_are_read_in_order(tmp_path: Path) -> None:
    array = noise((11, 6, 5, 3))
    volume = read(write_slices(tmp_path / "p", array))
    np.testing.assert_array_equal(volume.array, array)
    assert volume.slice_numbers == tuple(range(1, 12))
    assert (volume.name, volume.shape, volume.missing) == ("p", (11, 6, 5), ())
    assert (volume.spacing, volume.spacing_source) == (None, "unknown")
    assert volume.source == tmp_path / "p"


def test_numbers_with_a_gap_are_kept(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "p", noise((4, 6, 5, 3)))
    (folder / "p_2.tif").unlink()
    assert read(folder).slice_numbers == (1, 3, 4)


def test_paths_with_unicode_and_spaces_are_read(tmp_path: Path) -> None:
    array = noise((2, 6, 5, 3))
    volume = read(write_slices(tmp_path / "Größe – 頭", array, name="Größe – 頭"))
    np.testing.assert_array_equal(volume.array, array)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        pytest.param(np.uint8, {}, id="uint8"),
        pytest.param(np.uint16, {}, id="uint16"),
        pytest.param(np.uint16, {"byteorder": ">"}, id="uint16 big-endian"),
        pytest.param(np.int16, {}, id="int16"),
        pytest.param(np.float32, {}, id="float32"),
        pytest.param(np.uint8, {"planarconfig": "separate"}, id="planar"),
        pytest.param(np.uint8, {"compression": "zlib"}, id="compressed"),
    ],
)
def test_slices_keep_their_type_and_values(tmp_path: Path, dtype: npt.DTypeLike, options: dict[str, Any]) -> None:
    array = noise((3, 6, 5, 3), dtype)
    stored = np.moveaxis(array, -1, 1) if "planarconfig" in options else array
    volume = read(write_slices(tmp_path / "p", stored, photometric="rgb", **options))
    np.testing.assert_array_equal(volume.array, array)
    assert volume.array.dtype == np.dtype(dtype)
    assert volume.array.dtype.isnative


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the files that were decoded, not just read."""
    sizes: list[int] = []
    decode = imagecodecs.tiff_decode
    monkeypatch.setattr(imagecodecs, "tiff_decode", lambda data: sizes.append(len(data)) or decode(data))
    return sizes


def test_slices_alike_and_not_compressed_are_read_without_decoding(tmp_path: Path, decoded: list[int]) -> None:
    array = noise((7, 30, 20, 3))
    np.testing.assert_array_equal(read(write_slices(tmp_path / "p", array)).array, array)
    assert len(decoded) == 1


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"description": "other words"}, id="description"),
        pytest.param({"byteorder": ">"}, id="big-endian"),
        pytest.param({"compression": "zlib"}, id="compressed"),
        pytest.param({"compression": "zlib", "compressionargs": {"level": 0}}, id="packed but not compressed"),
        pytest.param({"rowsperstrip": 7}, id="strips"),
        pytest.param({"tile": (16, 16)}, id="tiles"),
        pytest.param({"planarconfig": "separate"}, id="planar"),
        pytest.param({"bigtiff": True}, id="BigTIFF"),
    ],
)
@pytest.mark.parametrize("number", [1, 3], ids=["first", "other"])
def test_slice_stored_in_another_way_than_the_others_is_read_all_the_same(
    tmp_path: Path, options: dict[str, Any], number: int
) -> None:
    array = noise((5, 30, 20, 3))
    folder = write_slices(tmp_path / "p", array)
    plane = array[number - 1]
    stored = np.moveaxis(plane, -1, 0) if "planarconfig" in options else plane
    tifffile.imwrite(folder / f"p_{number}.tif", stored, **({"photometric": "rgb", "metadata": None} | options))
    np.testing.assert_array_equal(read(folder).array, array)


@pytest.mark.parametrize("start", [slice(0, 1), slice(0, 5)], ids=["first", "all"])
def test_black_slices_do_not_hide_where_the_pixels_begin(tmp_path: Path, start: slice) -> None:
    """In a black slice the pixels cannot be told from zeros before and after them."""
    array = noise((5, 30, 20, 3))
    array[:, -1] = array[start] = 0
    folder = write_slices(tmp_path / "p", array)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes() + bytes(8))
    np.testing.assert_array_equal(read(folder).array, array)


def test_slices_whose_first_reads_the_same_in_either_byte_order(tmp_path: Path) -> None:
    array = noise((3, 6, 5, 3), np.uint16)
    array[0] *= 257
    np.testing.assert_array_equal(read(write_slices(tmp_path / "p", array, byteorder=">")).array, array)


def test_what_stands_after_the_pixels_must_be_alike_too(tmp_path: Path, decoded: list[int]) -> None:
    array = noise((5, 30, 20, 3))
    folder = write_slices(tmp_path / "p", array)
    for number in range(1, 6):
        file = folder / f"p_{number}.tif"
        file.write_bytes(file.read_bytes() + (b"longer end" if number == 4 else b"end"))
    np.testing.assert_array_equal(read(folder).array, array)
    assert len(decoded) == 2


def test_grey_slices_become_flair_that_stands_in_for_the_others(tmp_path: Path) -> None:
    array = noise(SHAPE)
    volume = read(write_slices(tmp_path / "p", array))
    np.testing.assert_array_equal(volume.array, np.stack([array] * 3, axis=-1))
    assert volume.missing == ("pre-contrast", "post-contrast")


def test_one_slice_is_a_volume(tmp_path: Path) -> None:
    assert read(write_slices(tmp_path / "p", noise((1, 6, 5, 3)))).shape == (1, 6, 5)


@pytest.mark.parametrize(
    ("same", "missing"),
    [
        pytest.param((), (), id="none"),
        pytest.param((0,), ("pre-contrast",), id="pre"),
        pytest.param((2,), ("post-contrast",), id="post"),
        pytest.param((0, 2), ("pre-contrast", "post-contrast"), id="both"),
    ],
)
def test_sequence_that_equals_flair_is_missing(same: tuple[int, ...], missing: tuple[str, ...]) -> None:
    array = noise((*SHAPE, 3))
    for channel in same:
        array[..., channel] = array[..., 1]
    volume = volume_of_array(array, "p")
    assert volume.missing == missing
    assert volume.same_as_flair == tuple(channel in same for channel in range(3))


def test_sequence_that_differs_from_flair_in_one_voxel_is_not_missing() -> None:
    array = np.stack([noise(SHAPE)] * 3, axis=-1)
    array[0, 0, 0, 2] += 1
    assert volume_of_array(array, "p").missing == ("pre-contrast",)


# Slices that cannot be read


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def blank(file: Path) -> None:
    file.write_bytes(b"")


def scribble(file: Path) -> None:
    file.write_text("this is no image")


def remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("harm", [halve, blank, scribble, remove])
@pytest.mark.parametrize("number", [1, 2], ids=["first", "other"])
def test_damaged_slice_is_named(tmp_path: Path, harm: Callable[[Path], None], number: int) -> None:
    folder = write_slices(tmp_path / "p", noise((3, 6, 5, 3)))
    (case,) = find_cases(folder)
    harm(folder / f"p_{number}.tif")
    with pytest.raises(ValueError, match=re.escape(f"{folder / f'p_{number}.tif'} cannot be read as a TIFF image: ")):
        read_volume(case)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_slice_cut_short_is_never_read(tmp_path: Path, compression: str | None) -> None:
    file = tmp_path / "p_1.tif"
    tifffile.imwrite(file, noise((30, 20, 3)), photometric="rgb", compression=compression, metadata=None)
    data = file.read_bytes()
    for length in range(0, len(data), 23):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"p_1\.tif cannot be read as a TIFF image: "):
            read_slice(file)


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        pytest.param(
            noise((6, 4, 3)),
            "p_2.tif has shape (6, 4, 3) and type uint8, but the first slice p_1.tif has (6, 5, 3) and uint8; "
            "all slices of a case must be alike",
            id="size",
        ),
        pytest.param(noise((5, 6, 3)), "p_2.tif has shape (5, 6, 3) and type uint8, but the first", id="turned"),
        pytest.param(
            noise((6, 5, 3), np.uint16),
            "p_2.tif has shape (6, 5, 3) and type uint16, but the first slice p_1.tif has (6, 5, 3) and uint8",
            id="type",
        ),
        pytest.param(noise((6, 5, 4)), "p_2.tif has 4 channels (RGBA); allowed are grey (FLAIR) and RGB", id="RGBA"),
        pytest.param(noise((6, 5, 2)), "p_2.tif has 2 channels; allowed are grey (FLAIR) and RGB", id="two channels"),
        pytest.param(
            np.full((6, 5, 3), np.nan, np.float32), "p_2.tif holds 90 values that are NaN or infinite", id="NaN"
        ),
        pytest.param(
            np.full((6, 5, 3), -np.inf, np.float64), "p_2.tif holds 90 values that are NaN or infinite", id="inf"
        ),
        pytest.param(
            np.ones((6, 5, 3), np.complex64),
            "p_2.tif holds complex64; allowed are integers and floating-point numbers",
            id="complex",
        ),
    ],
)
def test_slice_that_is_not_allowed_is_named(tmp_path: Path, plane: Array, message: str) -> None:
    folder = write_slices(tmp_path / "p", noise((3, 6, 5, 3)))
    options: dict[str, Any] = {"extrasamples": ["unassalpha"]} if plane.shape[-1] == 4 else {}
    kind = "rgb" if plane.shape[-1] > 2 else "minisblack"
    tifffile.imwrite(folder / "p_2.tif", plane, photometric=kind, planarconfig="contig", metadata=None, **options)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(folder)
    assert str(folder) in str(caught.value)


def test_slice_with_nan_among_others_of_its_type_is_named(tmp_path: Path) -> None:
    array = noise((3, 6, 5, 3), np.float32)
    array[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"p_2\.tif holds 3 values that are NaN or infinite"):
        read(write_slices(tmp_path / "p", array))


def test_case_that_cannot_be_used_is_not_read(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "p", noise((2, 6, 5, 3)))
    (folder / "p_01.tif").write_bytes((folder / "p_1.tif").read_bytes())
    with pytest.raises(ValueError, match="slice 1 of p is there twice"):
        read(folder)


@pytest.mark.realdata
def test_real_slices_agree_with_tifffile_voxel_for_voxel(real_cases_folder: Path) -> None:
    found = find_cases(real_cases_folder)
    assert found
    for case in found:
        volume = read_volume(case)
        mask = read_mask(case, volume)
        assert mask is not None
        for index, (image, manual) in enumerate(zip(case.images, case.masks, strict=True)):
            assert manual is not None
            np.testing.assert_array_equal(volume.array[index], tifffile.imread(image))
            np.testing.assert_array_equal(mask[index], tifffile.imread(manual) // 255)
        assert mask.any()


# Stacks

STACKS = {
    "grey": ({"photometric": "minisblack"}, "ZYX"),
    "RGB": ({"photometric": "rgb"}, "ZYXS"),
    "ImageJ grey": ({"imagej": True, "metadata": {"axes": "ZYX"}}, "ZYX"),
    "ImageJ RGB": ({"imagej": True, "metadata": {"axes": "ZYXS"}}, "ZYXS"),
    "ImageJ channels": ({"imagej": True, "metadata": {"axes": "ZCYX"}}, "ZCYX"),
    "OME grey": ({"ome": True, "metadata": {"axes": "ZYX"}}, "ZYX"),
    "OME channels": ({"ome": True, "metadata": {"axes": "CZYX"}}, "CZYX"),
    "OME RGB": ({"ome": True, "photometric": "rgb", "metadata": {"axes": "ZYXS"}}, "ZYXS"),
    "planar": ({"photometric": "rgb", "planarconfig": "separate", "metadata": None}, "ZSYX"),
}


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(kind, dtype) for kind in STACKS for dtype in (np.uint8, np.uint16) if (kind, dtype) != ("ImageJ RGB", np.uint16)],
)
def test_stack_is_read_whatever_wrote_it(tmp_path: Path, kind: str, dtype: npt.DTypeLike) -> None:
    options, axes = STACKS[kind]
    array = noise((*SHAPE, 3) if "S" in axes or "C" in axes else SHAPE, dtype)
    stored = np.moveaxis(array, -1, axes.index("C" if "C" in axes else "S")) if array.ndim == 4 else array
    tifffile.imwrite(tmp_path / "p.tif", stored, **options)
    volume = read(tmp_path)
    wanted = array if array.ndim == 4 else np.stack([array] * 3, axis=-1)
    np.testing.assert_array_equal(volume.array, wanted)
    assert volume.array.dtype == dtype
    assert volume.slice_numbers == (1, 2, 3, 4)
    assert volume.source == tmp_path / "p.tif"


def test_stack_written_page_by_page_is_read_whole(tmp_path: Path) -> None:
    array = noise((*SHAPE, 3))
    with tifffile.TiffWriter(tmp_path / "p.tif") as writer:
        for plane in array:
            writer.write(plane, photometric="rgb")
    np.testing.assert_array_equal(read(tmp_path).array, array)


@pytest.mark.parametrize(
    ("array", "options"),
    [
        pytest.param(noise((6, 5)), {}, id="grey"),
        pytest.param(noise((6, 5, 3)), {"photometric": "rgb"}, id="RGB"),
        pytest.param(noise((3, 6, 5)), {"imagej": True, "metadata": {"axes": "CYX"}}, id="ImageJ channels"),
    ],
)
def test_stack_of_one_slice_is_a_volume(tmp_path: Path, array: Array, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "p.tif", array, **options)
    volume = read(tmp_path)
    assert volume.array.shape == (1, 6, 5, 3)
    flair = {2: array, 3: array[1] if options.get("imagej") else array[..., 1]} if array.ndim == 3 else {2: array}
    np.testing.assert_array_equal(volume.array[0, ..., 1], flair[array.ndim])


def test_pages_of_different_shapes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "p.tif") as writer:
        writer.write(noise((6, 5)))
        writer.write(noise((6, 4)))
    message = "p.tif cannot be read as a TIFF stack: it holds images of different shapes, such as (6, 5) and (6, 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        pytest.param(
            noise((4, 6, 5, 4)), {"photometric": "rgb"}, "p.tif has 4 channels (RGBA); allowed are grey", id="RGBA"
        ),
        pytest.param(
            noise((4, 2, 6, 5)),
            {"imagej": True, "metadata": {"axes": "ZCYX"}},
            "p.tif has 2 channels",
            id="two channels",
        ),
        pytest.param(
            noise((2, 4, 3, 6, 5)),
            {"imagej": True, "metadata": {"axes": "TZCYX"}},
            "p.tif has shape (2, 4, 6, 5, 3); allowed is (Z, Y, X) without or with 3 channels",
            id="time",
        ),
        pytest.param(
            np.where(noise(SHAPE) > 100, np.inf, 0).astype(np.float32), {}, "that are NaN or infinite", id="infinity"
        ),
    ],
)
def test_stack_that_is_not_allowed_is_refused(
    tmp_path: Path, array: Array, options: dict[str, Any], message: str
) -> None:
    tifffile.imwrite(tmp_path / "p.tif", array, **({"photometric": "minisblack"} | options))
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path)


@pytest.mark.parametrize("harm", [halve, blank, scribble, remove])
def test_damaged_stack_is_named(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    tifffile.imwrite(tmp_path / "p.tif", noise(SHAPE), photometric="minisblack")
    (case,) = find_cases(tmp_path)
    harm(tmp_path / "p.tif")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'p.tif'} cannot be read as a TIFF stack: ")):
        read_volume(case)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"metadata": None, "compression": "zlib"}, id="compressed"),
        pytest.param({"imagej": True, "metadata": {"axes": "ZYX"}}, id="ImageJ"),
        pytest.param({"ome": True, "metadata": {"axes": "ZYX"}}, id="OME"),
    ],
)
def test_stack_cut_short_is_never_read_as_a_smaller_one(tmp_path: Path, options: dict[str, Any]) -> None:
    file, array = tmp_path / "p.tif", noise((6, 8, 9))
    tifffile.imwrite(file, array, photometric="minisblack", **options)
    data = file.read_bytes()
    refused = 0
    for length in range(0, len(data), 31):
        file.write_bytes(data[:length])
        try:
            found, _ = read_stack(file)
        except ValueError as error:
            assert str(error).startswith(f"{file} cannot be read as a TIFF stack: ")  # noqa: PT017
            refused += 1
        else:
            np.testing.assert_array_equal(found, array)
    assert refused > 20


def test_numbered_stack_cut_short_is_not_read_as_one_slice(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "p_1.tif", noise((6, 50, 50)), photometric="minisblack")
    halve(tmp_path / "p_1.tif")
    with pytest.raises(ValueError, match=r"p_1\.tif cannot be read as a TIFF"):
        read(tmp_path)


def ome(**sizes: Any) -> dict[str, Any]:
    return {"ome": True, "metadata": {"axes": "ZYX"} | sizes}


def imagej(resolution: tuple[float, float] | None, **metadata: Any) -> dict[str, Any]:
    return {"imagej": True, "resolution": resolution, "metadata": {"axes": "ZYX"} | metadata}


MM = {f"PhysicalSize{axis}Unit": "mm" for axis in "XYZ"}


@pytest.mark.parametrize(
    ("options", "spacing"),
    [
        pytest.param(imagej((2, 4), spacing=5, unit="mm"), (5, 0.25, 0.5), id="ImageJ mm"),
        pytest.param(imagej((20, 10), spacing=0.3, unit="cm"), (3, 1, 0.5), id="ImageJ cm"),
        pytest.param(imagej((1 / 500, 1 / 250), spacing=3000, unit="um"), (3, 0.25, 0.5), id="ImageJ um"),
        pytest.param(imagej((1 / 500, 1 / 250), spacing=3000, unit="micron"), (3, 0.25, 0.5), id="ImageJ micron"),
        pytest.param(imagej((1 / 500, 1 / 250), spacing=3000, unit="\\u00B5m"), (3, 0.25, 0.5), id="ImageJ escaped"),
        pytest.param(imagej((2, 4), spacing=-5, unit="mm"), (5, 0.25, 0.5), id="ImageJ downwards"),
        pytest.param(imagej((2, 4), spacing=5, unit="pixel"), None, id="ImageJ pixel"),
        pytest.param(imagej((2, 4), unit="mm"), None, id="ImageJ no depth"),
        pytest.param(imagej((2, 4), spacing=5), None, id="ImageJ no unit"),
        pytest.param(imagej((2, 4), spacing=0, unit="mm"), None, id="ImageJ zero depth"),
        pytest.param(ome(PhysicalSizeX=0.5, PhysicalSizeY=0.25, PhysicalSizeZ=5, **MM), (5, 0.25, 0.5), id="OME mm"),
        pytest.param(ome(PhysicalSizeX=500, PhysicalSizeY=250, PhysicalSizeZ=3000), (3, 0.25, 0.5), id="OME no unit"),
        pytest.param(
            ome(
                PhysicalSizeX=500,
                PhysicalSizeY=250,
                PhysicalSizeZ=3,
                **MM | {f"PhysicalSize{a}Unit": "µm" for a in "XY"},
            ),
            (3, 0.25, 0.5),
            id="OME units mixed",
        ),
        pytest.param(ome(PhysicalSizeX=0.5, PhysicalSizeY=0.25, **MM), None, id="OME no depth"),
        pytest.param(
            ome(PhysicalSizeX=2, PhysicalSizeY=2, PhysicalSizeZ=2, **MM | {"PhysicalSizeZUnit": "pixel"}),
            None,
            id="OME pixel",
        ),
        pytest.param({}, None, id="none"),
        pytest.param({"resolution": (2, 4), "resolutionunit": "CENTIMETER"}, None, id="resolution without depth"),
    ],
)
def test_spacing_of_a_stack_comes_from_its_header_or_is_unknown(
    tmp_path: Path, options: dict[str, Any], spacing: tuple[float, ...] | None
) -> None:
    tifffile.imwrite(tmp_path / "p.tif", noise(SHAPE), photometric="minisblack", **options)
    volume = read(tmp_path)
    if spacing is None:
        assert (volume.spacing, volume.spacing_source) == (None, "unknown")
    else:
        assert volume.spacing == pytest.approx(spacing, rel=1e-5)
        assert volume.spacing_source == "header"


# NIfTI

DIRECTIONS = {
    "LPS": np.diag([-0.5, -0.75, 3.0, 1.0]),
    "RAS": np.diag([0.5, 0.75, 3.0, 1.0]),
    "RPI": np.diag([0.5, -0.75, -3.0, 1.0]),
    "PSR sagittal": np.array([[0, 0, 0.5, 7.0], [-0.75, 0, 0, 8], [0, 3.0, 0, 9], [0, 0, 0, 1]]),
    "oblique": np.diag([-0.5, -0.75, 3.0, 1.0])
    @ np.array([[1, 0, 0, 0], [0, np.cos(0.2), -np.sin(0.2), 0], [0, np.sin(0.2), np.cos(0.2), 0], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("directions", DIRECTIONS)
def test_nifti_is_turned_into_our_directions(tmp_path: Path, directions: str, suffix: str) -> None:
    affine = DIRECTIONS[directions]
    array = noise(SHAPE, np.int16)
    write_nifti(tmp_path / f"p_flair{suffix}", array, affine)
    volume = read(tmp_path)
    np.testing.assert_array_equal(volume.array[..., 1], array)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    assert volume.array.dtype == np.int16
    if directions != "oblique":
        assert volume.spacing == pytest.approx((3, 0.75, 0.5))
    assert volume.spacing_source == "header"
    assert volume.missing == ("pre-contrast", "post-contrast")


@pytest.mark.parametrize(
    ("unit", "factor"), [("mm", 1.0), ("meter", 1000.0), ("micron", 0.001), ("unknown", 1.0)], ids=str
)
def test_nifti_spacing_is_in_mm_whatever_the_unit(tmp_path: Path, unit: str, factor: float) -> None:
    write_nifti(tmp_path / "p.nii", noise(SHAPE), np.diag([-2.0, -3.0, 4.0, 1.0]), unit)
    volume = read(tmp_path)
    assert volume.spacing == pytest.approx((4 * factor, 3 * factor, 2 * factor))
    assert volume.affine is not None
    assert volume.affine[2, 2] == pytest.approx(4 * factor)


def patched(file: Path, at: int, form: str, *values: float) -> Path:
    """Write values into the header of a NIfTI file."""
    data = bytearray(file.read_bytes())
    struct.pack_into(form, data, at, *values)
    file.write_bytes(data)
    return file


def test_nifti_of_size_one_in_no_unit_has_no_spacing(tmp_path: Path) -> None:
    write_nifti(tmp_path / "p.nii", noise(SHAPE), unit="unknown")
    assert (read(tmp_path).spacing, read(tmp_path).spacing_source) == (None, "unknown")


def test_nifti_of_size_one_in_no_unit_that_says_where_it_lies_is_in_mm(tmp_path: Path) -> None:
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = 0, 239, 0  # as in the BraTS sets, saved anew by nibabel, which writes no unit by itself
    write_nifti(tmp_path / "p.nii", noise(SHAPE), affine, unit="unknown")
    assert (read(tmp_path).spacing, read(tmp_path).spacing_source) == ((1, 1, 1), "header")


def test_nifti_of_size_one_in_mm_has_that_spacing(tmp_path: Path) -> None:
    write_nifti(tmp_path / "p.nii", noise(SHAPE), unit="mm")
    assert (read(tmp_path).spacing, read(tmp_path).spacing_source) == ((1, 1, 1), "header")


def test_nifti_of_size_zero_has_no_spacing_but_mm_if_a_matrix_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = write_nifti(tmp_path / "p.nii", noise(SHAPE), np.diag([-2.0, -3.0, 4.0, 1.0]))
    patched(file, 80, "<3f", 0, 3, 4)
    assert read(tmp_path).spacing == pytest.approx((4, 3, 2))
    patched(file, 252, "<2h", 1, 0)  # no sform
    volume = read(tmp_path)
    assert volume.spacing is None
    assert volume.affine is not None
    np.testing.assert_allclose(np.abs(np.diag(volume.affine)), 1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("at", "form", "values", "reason"),
    [
        pytest.param(108, "<f", (np.inf,), "its header is damaged", id="offset"),
        pytest.param(108, "<f", (np.nan,), "cannot convert float NaN", id="offset NaN"),
        pytest.param(42, "<3h", (30000, 30000, 30000), "it claims 30000 x 30000 x 30000 values; allowed", id="size"),
        pytest.param(70, "<h", (999,), "data code 999 not recognized", id="type"),
    ],
)
def test_broken_nifti_header_is_an_error_that_names_the_file_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], at: int, form: str, values: tuple[float, ...], reason: str
) -> None:
    patched(write_nifti(tmp_path / "p.nii", noise(SHAPE)), at, form, *values)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'p.nii'} cannot be read as NIfTI: {reason}")):
        read(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("at", range(0, 348, 3))
def test_wrong_byte_in_a_nifti_header_is_an_error_that_names_the_file(tmp_path: Path, at: int) -> None:
    file = write_nifti(tmp_path / "p.nii", noise(SHAPE))
    whole = file.read_bytes()
    for value in {127, 255, whole[at] ^ 1}:
        patched(file, at, "B", value)
        try:
            read_nifti(file)
        except ValueError as error:
            assert str(file) in str(error)  # noqa: PT017


def test_nifti_of_one_file_per_sequence(tmp_path: Path) -> None:
    sequences = {name: noise(SHAPE, np.int16, seed) for seed, name in enumerate(("t1", "flair", "t1ce"))}
    for name, array in sequences.items():
        write_nifti(tmp_path / f"p_{name}.nii.gz", array)
    volume = read(tmp_path)
    np.testing.assert_array_equal(volume.array, np.stack(list(sequences.values()), axis=-1))
    assert volume.missing == ()


def test_nifti_sequence_that_is_not_there_is_missing(tmp_path: Path) -> None:
    write_nifti(tmp_path / "p_flair.nii", noise(SHAPE, seed=1))
    write_nifti(tmp_path / "p_t1ce.nii", noise(SHAPE, seed=2))
    volume = read(tmp_path)
    assert volume.missing == ("pre-contrast",)
    np.testing.assert_array_equal(volume.array[..., 2], noise(SHAPE, seed=2))
    np.testing.assert_array_equal(volume.array[..., 0], noise(SHAPE, seed=1))


def test_nifti_with_three_channels_in_one_file(tmp_path: Path) -> None:
    array = noise((*SHAPE, 3), np.int16)
    write_nifti(tmp_path / "p.nii.gz", array)
    np.testing.assert_array_equal(read(tmp_path).array, array)


@pytest.mark.parametrize("shape", [(1, 6, 5), (1, 6, 5, 3)], ids=["grey", "three channels"])
def test_nifti_of_one_slice_is_a_volume(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = noise(shape)
    write_nifti(tmp_path / "p.nii", array)
    volume = read(tmp_path)
    assert volume.array.shape == (1, 6, 5, 3)
    np.testing.assert_array_equal(volume.array, array if array.ndim == 4 else np.stack([array] * 3, axis=-1))


def test_nifti_2_and_scaled_values_are_read(tmp_path: Path) -> None:
    image = nibabel.Nifti2Image(noise((5, 6, 4), np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]))
    image.header.set_slope_inter(2, 10)
    nibabel.save(image, tmp_path / "p.nii")
    stored = nibabel.load(tmp_path / "p.nii").get_fdata()
    np.testing.assert_array_equal(read(tmp_path).array[..., 1], stored.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("affine", "shape"),
    [
        pytest.param(np.diag([-1.0, -1.0, 1.0, 1.0]), (3, 6, 5), id="shape"),
        pytest.param(np.diag([-1.0, -1.0, 2.0, 1.0]), SHAPE, id="position"),
    ],
)
def test_nifti_sequences_that_do_not_lie_alike_are_refused(
    tmp_path: Path, affine: Array, shape: tuple[int, ...]
) -> None:
    write_nifti(tmp_path / "p_flair.nii", noise(SHAPE))
    write_nifti(tmp_path / "p_t1.nii", noise(shape), affine)
    with pytest.raises(ValueError, match=r"has another shape or position than .*; register them first"):
        read(tmp_path)


def test_nifti_channels_that_are_not_allowed_are_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "p.nii", noise((*SHAPE, 5)))
    with pytest.raises(ValueError, match=r"p\.nii has 5 channels; allowed are grey"):
        read(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nifti_with_values_that_are_not_finite_names_the_file(tmp_path: Path, value: float) -> None:
    bad = noise(SHAPE, np.float32)
    bad[1, 2, 3] = value
    write_nifti(tmp_path / "p_flair.nii", noise(SHAPE, np.float32))
    write_nifti(tmp_path / "p_t1ce.nii", bad)
    with pytest.raises(ValueError, match=r"p_t1ce\.nii holds 1 values that are NaN or infinite"):
        read(tmp_path)


def test_nifti_that_does_not_say_where_its_voxels_are_is_refused(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(noise(SHAPE), np.eye(4))
    image.set_qform(None, code=0)
    image.set_sform(np.diag([0.0, 1, 1, 1]), code=1)
    nibabel.save(image, tmp_path / "p.nii")
    with pytest.raises(ValueError, match=r"p\.nii does not say where its voxels are: its affine is"):
        read(tmp_path)


def cut_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:40])


def cut_check_sum(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def corrupt(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def plain_text_in_gzip(file: Path) -> None:
    file.write_bytes(gzip.compress(b"this is no image" * 100))


@pytest.mark.parametrize(
    ("suffix", "harm"),
    [
        (".nii", halve),
        (".nii", cut_header),
        (".nii", cut_check_sum),
        (".nii", blank),
        (".nii", scribble),
        (".nii", remove),
        (".nii.gz", halve),
        (".nii.gz", cut_header),
        (".nii.gz", cut_check_sum),
        (".nii.gz", corrupt),
        (".nii.gz", blank),
        (".nii.gz", scribble),
        (".nii.gz", plain_text_in_gzip),
    ],
)
def test_damaged_nifti_is_named(tmp_path: Path, suffix: str, harm: Callable[[Path], None]) -> None:
    file = write_nifti(tmp_path / f"p{suffix}", noise((8, 20, 20), np.int16))
    (case,) = find_cases(tmp_path)
    harm(file)
    with pytest.raises(ValueError, match=re.escape(f"{file} cannot be read as NIfTI: ")):
        read_volume(case)


def test_nifti_of_a_unit_that_there_is_not_is_named(tmp_path: Path) -> None:
    file = write_nifti(tmp_path / "p.nii", noise(SHAPE))
    data = bytearray(file.read_bytes())
    data[123] = 5  # xyzt_units
    file.write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(f"{file} cannot be read as NIfTI: its unit of length has code 5; ")):
        read(tmp_path)


@pytest.mark.parametrize("name", ["p.nii", "p.tif", "p_1.tif"])
def test_a_case_without_images_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (case,) = find_cases(tmp_path)
    with pytest.raises(ValueError, match=f"{case.name} has no images"):
        read_volume(replace(case, images=(), masks=case.images))


def test_volumes_can_be_compared_and_put_into_a_set() -> None:
    one, other = (volume_of_array(noise(SHAPE), "p") for _ in range(2))
    assert one != other
    assert len({one, other}) == 2


# What is shown of them


@pytest.mark.parametrize("value", [0, 7])
def test_flat_image_has_a_range(value: int) -> None:
    low, high = tissue_range(np.full((2, 8, 8), value, np.uint8))
    assert low == value
    assert high > low


# Arrays in memory


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        pytest.param(noise((6, 5)), (1, 6, 5), id="one grey slice"),
        pytest.param(noise((6, 5, 3)), (1, 6, 5), id="one RGB slice"),
        pytest.param(noise((4, 6, 5)), (4, 6, 5), id="grey"),
        pytest.param(noise((4, 6, 5, 3)), (4, 6, 5), id="RGB"),
        pytest.param(noise((3, 6, 5)), (3, 6, 5), id="three slices"),
    ],
)
def test_volume_of_an_array(array: Array, shape: tuple[int, ...]) -> None:
    volume = volume_of_array(array, "layer", (5.0, 1.0, 1.0))
    assert volume.shape == shape
    assert volume.array.shape == (*shape, 3)
    grey = array[..., 1] if array.shape[-1] == 3 else array
    np.testing.assert_array_equal(np.squeeze(volume.array[..., 1]), grey)
    assert (volume.spacing, volume.spacing_source, volume.source) == ((5, 1, 1), "user", None)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        pytest.param(noise((6, 5, 4)), "layer has 4 channels (RGBA)", id="RGBA slice"),
        pytest.param(noise((4, 6, 5, 4)), "layer has 4 channels (RGBA)", id="RGBA"),
        pytest.param(noise((2, 4, 6, 5, 3)), "layer has shape (2, 4, 6, 5, 3)", id="time"),
        pytest.param(np.zeros((0, 6, 5)), "layer has shape (0, 6, 5)", id="no slices"),
        pytest.param(np.zeros(5), "layer has shape (5,)", id="line"),
        pytest.param(np.full((4, 6, 5), np.nan), "layer holds 120 values that are NaN or infinite", id="NaN"),
        pytest.param(np.zeros((4, 6, 5), bool), "layer holds bool; allowed are integers", id="bool"),
    ],
)
def test_array_that_is_no_volume_is_refused(array: Array, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        volume_of_array(array, "layer")


def test_spacing_given_by_a_person() -> None:
    volume = volume_of_array(noise(SHAPE), "p")
    told = volume.with_spacing((5.0, 1.0, 0.5))
    assert (told.spacing, told.spacing_source) == ((5.0, 1.0, 0.5), "user")
    assert (volume.spacing, volume.spacing_source) == (None, "unknown")
    assert volume.millilitres(4000) is None
    assert told.millilitres(4000) == pytest.approx(10)


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1), (1, 1, np.nan), (np.inf, 1, 1)], ids=str)
def test_spacing_that_is_no_size_is_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="spacing must be three positive numbers in mm, but is"):
        volume_of_array(noise(SHAPE), "p").with_spacing(spacing)


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_spacing_given_for_a_nifti_changes_its_affine_too(tmp_path: Path, directions: str) -> None:
    write_nifti(tmp_path / "p.nii", noise(SHAPE), DIRECTIONS[directions])
    told = read(tmp_path).with_spacing((6.0, 1.5, 1.0))
    assert told.affine is not None
    sizes = dict(zip(told.stored_axes, np.linalg.norm(told.affine[:3, :3], axis=0), strict=True))
    by_axis = {"LR": 1.0, "AP": 1.5, "IS": 6.0}
    assert sizes == {code: pytest.approx(next(v for k, v in by_axis.items() if code in k)) for code in sizes}
