import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.tiffs import Array, is_stack, read_slice, read_stack
from napari_brainseg.core.volumes import read_volume


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 250, shape).astype(np.uint8)


def write(file: Path, array: Array, **options: Any) -> Path:
    tifffile.imwrite(file, array, **({"photometric": "minisblack", "metadata": None} | options))
    return file


def with_claimed_size(file: Path, size: int) -> Path:
    """Write another width and length into the header of a TIFF."""
    data = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as tif:
        for name in ("ImageWidth", "ImageLength"):
            tag = tif.pages.first.tags[name]
            struct.pack_into("<HII", data, tag.offset + 2, 4, 1, size)
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        pytest.param((8, 9), {}, id="slice"),
        pytest.param((8, 9), {"bigtiff": True, "compression": "zlib"}, id="compressed BigTIFF"),
        pytest.param((3, 8, 9), {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 2, "unit": "mm"}}, id="ImageJ"),
    ],
)
def test_wrong_byte_in_a_header_is_an_error_that_names_the_file(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    file = write(tmp_path / "p_1.tif", noise(*shape), **options)
    whole = file.read_bytes()
    with tifffile.TiffFile(file) as tif:
        start = tif.pages.first.offset
    for at in {*range(16), *range(start, start + 200)} & set(range(len(whole))):
        for value in {2, 255, whole[at] ^ 1}:
            file.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            is_stack(file)
            for read in (read_slice, read_stack):
                try:
                    read(file)
                except ValueError as error:
                    assert str(file) in str(error)  # noqa: PT017


def test_wrong_byte_in_one_case_does_not_stop_the_others(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        file = write(tmp_path / name / f"{name}_1.tif", noise(8, 9))
    data = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as tif:
        data[tif.pages.first.tags["ImageWidth"].offset + 2] = 2
    file.write_bytes(data)
    good, bad = find_cases(tmp_path)
    assert read_volume(good).shape == (1, 8, 9)
    with pytest.raises(ValueError, match=re.escape(f"{file} cannot be read as a TIFF image: ")):
        read_volume(bad)


def test_picture_of_another_kind_is_no_tiff(tmp_path: Path) -> None:
    Image.fromarray(noise(8, 9)).save(tmp_path / "p_1.tif", format="PNG")
    with pytest.raises(ValueError, match=r"p_1\.tif cannot be read as a TIFF image: it does not begin as a TIFF"):
        read_slice(tmp_path / "p_1.tif")


@pytest.mark.parametrize("read", [read_slice, read_stack])
def test_image_that_claims_to_be_huge_is_refused_by_its_header(tmp_path: Path, read: Any) -> None:
    file = with_claimed_size(write(tmp_path / "p_1.tif", noise(8, 9)), 10**6)
    with pytest.raises(ValueError, match=r"p_1\.tif cannot .*: it claims .*1000000 x 1000000.* values; allowed"):
        read(file)


@pytest.mark.parametrize("read", [read_slice, read_stack])
def test_palette_is_refused(tmp_path: Path, read: Any) -> None:
    Image.fromarray(noise(8, 9, 3)).convert("P").save(tmp_path / "p_1.tif")
    with pytest.raises(ValueError, match=r"p_1\.tif .*: its pixels are indices into a palette of colours; allowed are"):
        read(tmp_path / "p_1.tif")


def test_slice_of_several_images_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "p_1.tif", noise(3, 8, 9))
    with pytest.raises(ValueError, match=r"p_1\.tif .*: it holds several images; allowed is one"):
        read_slice(tmp_path / "p_1.tif")


@pytest.mark.parametrize(
    ("array", "lowest"),
    [
        pytest.param(noise(8, 9), 255, id="uint8"),
        pytest.param(noise(8, 9).astype(np.uint16), 65535, id="uint16"),
        pytest.param(noise(8, 9) > 100, True, id="one bit"),
    ],
)
def test_white_as_the_lowest_value_is_turned(tmp_path: Path, array: Array, lowest: int) -> None:
    write(tmp_path / "p_1.tif", array ^ array.dtype.type(lowest), photometric="miniswhite")
    np.testing.assert_array_equal(read_slice(tmp_path / "p_1.tif"), array)
    np.testing.assert_array_equal(read_stack(tmp_path / "p_1.tif")[0], array[None])


def test_white_as_the_lowest_value_of_fractions_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "p_1.tif", noise(8, 9).astype(np.float32), photometric="miniswhite")
    with pytest.raises(ValueError, match=r"p_1\.tif .*: its lowest value is white, .* not float32"):
        read_slice(tmp_path / "p_1.tif")
