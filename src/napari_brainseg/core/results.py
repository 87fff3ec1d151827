"""What is written of a segmentation: the mask, and how it came about."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from .cases import RESULT_FILE
from .config import PostprocessConfig, SegmentConfig
from .files import refuse_existing, write_text
from .masks import Mask, MaskFormat, mask_paths, masks_moved_at_end, slice_areas
from .settings import Settings
from .volumes import Volume

if TYPE_CHECKING:
    from .segmentation import Segmentation


@dataclass(frozen=True, slots=True)
class TumourSize:
    """How much tumour a mask holds.

    Attributes
    ----------
    voxels : int
        Voxels of tumour.
    millilitres : float or None
        The same in mL; None while the spacing is unknown.
    largest_slice : int or None
        Position along Z of the slice with the largest area; None without tumour.
    """

    voxels: int
    millilitres: float | None
    largest_slice: int | None


def measure_tumour(mask: Mask, volume: Volume) -> TumourSize:
    """Size of the tumour in a mask (Z, Y, X) of a volume."""
    areas = slice_areas(mask)
    voxels = int(areas.sum())
    return TumourSize(voxels, volume.millilitres(voxels), int(areas.argmax()) if voxels else None)


class SegmentationProvenance(Settings):
    """How a segmentation was made: enough to make it again."""

    case: str
    model: str
    weights_sha256: str
    trained_on: bool | None = Field(
        None,
        description="Whether the model learned from this patient: then no score tells how good it is on others.",
    )
    temperature: float = 1.0
    settings: SegmentConfig
    postprocess: PostprocessConfig
    device: str
    seconds: float
    created: str
    versions: dict[str, str]
    notes: tuple[str, ...] = ()


class SegmentationResult(Settings):
    """The content of ``segmentation.json``."""

    schema_version: int = 1
    case: str
    tumour_voxels: int
    tumour_millilitres: float | None = Field(description="None while the spacing is unknown.")
    largest_slice_number: int | None = Field(description="As in the slice's file name.")
    spacing_mm: tuple[float, float, float] | None
    spacing_source: str
    missing_sequences: tuple[str, ...]
    files: tuple[str, ...]
    provenance: SegmentationProvenance


def write_segmentation(
    segmentation: "Segmentation",
    volume: Volume,
    folder: Path | str,
    *,
    format: MaskFormat = "kaggle",
    overwrite: bool = False,
) -> SegmentationResult:
    """Write a case's mask and ``segmentation.json`` into a folder.

    Raises
    ------
    FileExistsError
        If one of the files is there already and `overwrite` is not set, or no ``segmentation.json`` there lists it as
        the mask of a former segmentation, for then it may be a manual one, or the one there is of another case; nothing
        is written then.
    """
    folder = Path(folder)
    if not overwrite:
        refuse_existing(folder, [RESULT_FILE])
    former = _written_before(folder, volume.name)
    for path in mask_paths(folder, volume, format):
        if path not in former and path.exists():
            raise FileExistsError(
                f"{path} exists already and is not the mask of a former segmentation, so it is never replaced; "
                "choose another folder"
            )
    size = measure_tumour(segmentation.mask, volume)
    result = SegmentationResult(
        case=volume.name,
        tumour_voxels=size.voxels,
        tumour_millilitres=size.millilitres,
        largest_slice_number=None if size.largest_slice is None else volume.slice_numbers[size.largest_slice],
        spacing_mm=volume.spacing,
        spacing_source=volume.spacing_source,
        missing_sequences=volume.missing,
        files=tuple(path.name for path in mask_paths(folder, volume, format)),
        provenance=segmentation.provenance,
    )
    others = sorted({path.name for path in former} - set(result.files))
    with masks_moved_at_end(segmentation.mask, folder, volume, format):
        # before the masks, and with what is still there: after a kill, all of them are known as a segmentation's
        _record(folder, result.model_copy(update={"files": (*result.files, *others)}))
    for name in others:  # a mask in another format would pass for this one
        (folder / name).unlink(missing_ok=True)
    if others:
        _record(folder, result)
    return result


def _record(folder: Path, result: SegmentationResult) -> None:
    write_text(folder / RESULT_FILE, result.model_dump_json(indent=1) + "\n")


def _written_before(folder: Path, case: str) -> set[Path]:
    """Mask files that an earlier segmentation of the case says it wrote."""
    path = folder / RESULT_FILE
    if not path.exists():
        return set()
    try:
        content = SegmentationResult.model_validate_json(path.read_text("utf-8"))
    except ValueError as error:
        raise FileExistsError(f"{path} is no record of a segmentation, so it is never replaced") from error
    if content.case != case:
        raise FileExistsError(
            f"{folder} holds the segmentation of {content.case}, which that of {case} never replaces; choose another "
            "folder"
        )
    return {folder / Path(name).name for name in content.files}
