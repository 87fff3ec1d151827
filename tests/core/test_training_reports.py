"""The page that a training leaves."""

from pathlib import Path

import pytest

from napari_brainseg.core.config import ModelConfig, TrainConfig
from napari_brainseg.core.model_folders import ModelInfo, Provenance
from napari_brainseg.core.training_reports import write_training_report


def page(folder: Path, patients: int, *notes: str) -> str:
    """The page of a model that was validated on so many patients, each of them twice."""
    dice = {f"TCGA_CS_{number}_{year}": 0.8 for number in range(patients) for year in (1996, 1997)}
    provenance = Provenance(notes=notes)
    info = ModelInfo(
        name="new",
        model=ModelConfig(),
        training=TrainConfig(),
        validation_dice=dice,
        epoch=30,
        provenance=provenance,
    )
    write_training_report(folder, info, {})
    return (folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("patients", "warning"),
    [
        (0, "No patient to validate on: nothing tells how well the model does on new ones."),
        (1, "1 patient to validate on: enough to see whether training works, too few to tell how good the model is."),
        (9, "9 patients to validate on: enough to see whether training works, too few to tell how good the model is."),
        (10, None),
    ],
)
def test_the_page_says_what_the_validation_is_worth_as_the_command_does(
    tmp_path: Path, patients: int, warning: str | None
) -> None:
    text = page(tmp_path, patients)
    assert (f'<p class="warn">{warning}</p>' in text) if warning else ('class="warn"' not in text)


def test_a_note_keeps_its_capitals(tmp_path: Path) -> None:
    text = page(tmp_path, 10, "out of memory on the GPU: went on with the CPU")
    assert '<p class="warn">Out of memory on the GPU: went on with the CPU.</p>' in text
