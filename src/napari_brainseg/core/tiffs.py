"""TIFF files, of one slice each or stacks of slices: their pixels and their voxel size."""

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from .words import reason_of

Spacing = tuple[float, float, float]
Array = npt.NDArray[Any]

MOST_VALUES, MOST_ALONG_AXIS = 2**30, 2**15
"""A file that claims more is refused before memory is taken for it; no brain MRI comes near."""

STUMBLES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError),
    *(ValueError, struct.error),
)
"""A wrong byte in a header makes tifffile and nibabel stumble anywhere in their own code."""

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it prints does not name the file

_WIDTH, _LENGTH, _BITS, _PHOTOMETRIC, _SAMPLES, _NEXT = 256, 257, 258, 262, 277, 0
"""Tags of a TIFF header; the last is not a tag but where the next image is described, 0 for nowhere."""

_MIN_IS_WHITE, _PALETTE = 0, 3

_MILLIMETRES = {
    **{"m": 1000.0, "cm": 10.0, "mm": 1.0, "nm": 1e-6, "inch": 25.4},
    **dict.fromkeys(("um", "micron", "microns", "\u00b5m", "\u03bcm", "\\u00B5m"), 1e-3),
}
"""Units as ImageJ and OME spell them; ImageJ escapes its micro sign."""


def is_stack(file: Path) -> bool:
    """Whether a file is a TIFF of several slices; colours do not count, nor does one that cannot be read."""
    try:
        with tifffile.TiffFile(file) as tif:
            return len(tif.pages) > 1 or not _has_all_pages(tif) or len(tif.series[0].axes.replace("S", "")) > 2
    except STUMBLES:  # a broken slice is named when it is read
        return False


def read_slice(file: Path) -> Array:
    """Decode one small TIFF (Y, X) or (Y, X, C): imagecodecs skips the parsing that takes tifffile most of the time.

    Raises
    ------
    ValueError
        If the file is damaged, holds several images or a palette, or claims to be too large; the message names it.
    """
    try:
        data = file.read_bytes()
        header = _header(data)
        if header[_NEXT]:
            raise ValueError("it holds several images; allowed is one in each file of a slice")
        refuse_huge((header[_LENGTH], header[_WIDTH], header.get(_SAMPLES, 1)))
        array: Array = imagecodecs.tiff_decode(data)
        array = _with_black_lowest(array, header.get(_PHOTOMETRIC), header.get(_BITS, 1))
    except STUMBLES as error:
        raise ValueError(f"{file} cannot be read as a TIFF image: {reason_of(error)}") from error
    if array.ndim == 3 and array.shape[-1] > 4:  # stored channel after channel, not pixel after pixel
        array = np.moveaxis(array, 0, -1)
    return array


def read_stack(file: Path) -> tuple[Array, Spacing | None]:
    """(Z, Y, X) or (Z, Y, X, C) of a multi-page TIFF, and its voxel size if it states one.

    Raises
    ------
    ValueError
        If the file is damaged, its slices are not alike, or it claims to be too large; the message names it.
    """
    with _opened_stack(file) as tif:
        order, shape = _arrangement(tif)
        pages = [_pixels(series) for series in tif.series]
        if len({page.shape for page in pages}) > 1:
            shapes = " and ".join(str(page.shape) for page in pages[:2])
            raise ValueError(f"it holds images of different shapes, such as {shapes}; all slices must be alike")
        array: Array = np.stack(pages) if len(pages) > 1 else pages[0]
        return array.transpose(order).reshape(shape), _spacing(tif)


def peek_stack(file: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of what `read_stack` reads from a file, without decoding it.

    Raises
    ------
    ValueError
        If the file is damaged or claims to be too large; the message names it.
    """
    with _opened_stack(file) as tif:
        return _arrangement(tif)[1], tif.series[0].dtype


def _arrangement(tif: tifffile.TiffFile) -> tuple[list[int], tuple[int, ...]]:
    """Order of the axes in which channels, which ImageJ and OME keep anywhere, are the last, and the shape it gives."""
    series = tif.series[0]
    axes, stored = series.axes, series.shape
    if len(tif.series) > 1:  # written one page after another
        axes, stored = "Z" + axes, (len(tif.series), *stored)
    order = sorted(range(len(axes)), key=lambda at: "CS".find(axes[at]))  # -1 for the others, which stay as they are
    shape = tuple(stored[at] for at in order)
    return order, shape if len(axes.replace("C", "").replace("S", "")) > 2 else (1, *shape)


@contextmanager
def _opened_stack(file: Path) -> Iterator[tifffile.TiffFile]:
    """Open a multi-page TIFF whose pages are all there and of a sensible size.

    Raises
    ------
    ValueError
        If it cannot be read, also inside the block; the message names the file.
    """
    try:
        with tifffile.TiffFile(file) as tif:
            if not _has_all_pages(tif):
                raise ValueError("pages are missing at its end")
            if len(shape := tif.series[0].shape) < 2:
                raise ValueError("it holds no image")
            refuse_huge((len(tif.series), *shape))
            yield tif
    except STUMBLES as error:
        raise ValueError(f"{file} cannot be read as a TIFF stack: {reason_of(error)}") from error


def refuse_huge(shape: tuple[int, ...]) -> None:
    """Refuse an image by the shape that its header claims.

    Raises
    ------
    ValueError
        If it has more than `MOST_VALUES`, or more than `MOST_ALONG_AXIS` along an axis.
    """
    if prod(shape) > MOST_VALUES or max(shape) > MOST_ALONG_AXIS:
        size = " x ".join(map(str, shape))
        raise ValueError(f"it claims {size} values; allowed are {MOST_ALONG_AXIS} along an axis, {MOST_VALUES} in all")


def _header(data: bytes) -> dict[int, int]:
    """First value of each tag of a TIFF's first image, and what stands under `_NEXT`."""
    order = ">" if data[:2] == b"MM" else "<"
    if data[:2] not in (b"II", b"MM") or (version := struct.unpack_from(order + "H", data, 2)[0]) not in (42, 43):
        raise ValueError("it does not begin as a TIFF file does")
    is_big = version == 43
    word, count, size, at = ("Q", "Q", 20, 8) if is_big else ("I", "H", 12, 4)
    (at,) = struct.unpack_from(order + word, data, at)
    (tags,) = struct.unpack_from(order + count, data, at)
    at += struct.calcsize(count)
    header: dict[int, int] = {}
    for _ in range(tags):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        value = order + {1: "B", 3: "H", 4: "I"}.get(kind, word)
        at += size
        header.setdefault(tag, struct.unpack_from(value, data, at - struct.calcsize(order + word))[0])
    (header[_NEXT],) = struct.unpack_from(order + word, data, at)
    return header


def _pixels(series: tifffile.TiffPageSeries) -> Array:
    page = series.keyframe
    return _with_black_lowest(series.asarray(), page.photometric, page.bitspersample)


def _with_black_lowest(array: Array, photometric: int | None, bits: int) -> Array:
    """Pixels as they are shown: in some files the lowest value is white."""
    if photometric == _PALETTE:
        raise ValueError("its pixels are indices into a palette of colours; allowed are grey and RGB")
    if photometric != _MIN_IS_WHITE:
        return array
    if array.dtype.kind not in "bu":
        raise ValueError(f"its lowest value is white, which is allowed for unsigned integers but not {array.dtype}")
    turned: Array = array ^ array.dtype.type(2**bits - 1)
    return turned


def _has_all_pages(tif: tifffile.TiffFile) -> bool:
    """Whether the last page says that none follows: tifffile passes over those that a truncated file has lost."""
    if not len(tif.pages):
        return False
    form, file = tif.tiff, tif.filehandle
    file.seek(tif.pages[-1].offset)
    tags = struct.unpack(form.tagnoformat, file.read(form.tagnosize))[0]
    file.seek(tags * form.tagsize, os.SEEK_CUR)
    following = file.read(form.offsetsize)
    return len(following) == form.offsetsize and not any(following)


def _spacing(tif: tifffile.TiffFile) -> Spacing | None:
    """Voxel size from OME's or ImageJ's metadata, None where a size or its unit is not stated."""
    sizes: list[tuple[float, str]] = []
    try:
        if tif.ome_metadata:
            pixels = ElementTree.fromstring(tif.ome_metadata).find(".//{*}Pixels")
            of = {} if pixels is None else pixels.attrib
            sizes = [(float(of[f"PhysicalSize{a}"]), of.get(f"PhysicalSize{a}Unit", "um")) for a in "ZYX"]
        elif meta := tif.imagej_metadata:
            tags = tif.pages.first.tags
            depth, unit = abs(float(meta["spacing"])), str(meta["unit"])
            y, x = (tags[f"{axis}Resolution"].value for axis in "YX")
            sizes = [(depth, unit), (y[1] / y[0], unit), (x[1] / x[0], unit)]
    except (KeyError, TypeError, ValueError, ZeroDivisionError, ElementTree.ParseError):
        return None
    millimetres = [size * _MILLIMETRES.get(unit, 0) for size, unit in sizes]
    if not millimetres or not all(0 < size < np.inf for size in millimetres):
        return None
    z, y, x = millimetres
    return z, y, x
