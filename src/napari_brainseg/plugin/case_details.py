"""What the Cases tab says of the selected case, with a picture of its largest tumour slice."""

from html import escape

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget
from scipy import ndimage

from ..core.exploration import CaseSummary
from ..core.words import grouped
from .case_table import CaseRow
from .layers import COLOURS

_EDGE = 112


class CaseDetails(QWidget):
    """A thumbnail with the manual mask outlined, and a few sentences."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.picture = QLabel()
        self.picture.setFixedSize(_EDGE, _EDGE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setToolTip("FLAIR at the slice with the largest tumour, the manual mask outlined in blue.")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.text.setToolTip("What is in the selected case, and what is wrong with it.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picture, alignment=Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.text, stretch=1)

    def show_row(self, row: CaseRow | None) -> None:
        """Describe a case, or nothing."""
        summary = row.summary if row else None
        self.picture.setPixmap(thumbnail(summary) if summary else QPixmap())
        self.picture.setVisible(row is None or row.error is None)
        words = "<br>".join(escape(line) for line in sentences(row)) if row else ""
        self.text.setText(words.replace("_", "_\u200b").replace("/", "/\u200b"))  # long names may be broken there


def sentences(row: CaseRow) -> list[str]:
    """What is known of a case, line by line."""
    lines = [row.case.name]
    if known := row.summary:
        slices, height, width = known.shape
        lines.append(f"{slices} slices of {height} × {width}")
        if known.tumour_voxels is None:
            lines.append("No manual mask")
        elif not known.tumour_voxels:
            lines.append("No tumour in the manual mask")
        else:
            size = "" if known.millilitres is None else f" ({known.millilitres:.1f} mL)"
            lines.append(f"Tumour {grouped(known.tumour_voxels)} voxels{size} in {known.tumour_slices} slices")
            number = row.case.numbers[known.largest] if row.case.numbers else known.largest + 1
            lines.append(f"Largest in slice {number} (z\u00a0=\u00a0{known.largest})")
        if known.missing:
            lines.append(f"Missing: {', '.join(known.missing)}")
    return [*lines, row.problems] if row.problems else lines


def thumbnail(summary: CaseSummary) -> QPixmap:
    """Picture of a case's largest tumour slice, the manual mask outlined."""
    mask = summary.thumbnail_mask
    outline = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)  # thick enough to survive being shrunk
    picture = np.repeat(summary.thumbnail[..., None], 3, axis=-1)
    picture[outline] = (transform_color(COLOURS["manual"])[0, :3] * 255).astype(np.uint8)
    height, width = mask.shape
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image).scaled(
        _EDGE, _EDGE, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
