"""What the Segment tab shows: controls and lines of text, no behaviour."""

from magicgui.widgets import CheckBox, ComboBox, FloatSlider, FloatSpinBox, ProgressBar, PushButton
from qtpy.QtWidgets import QWidget

from ..core.config import CHANNELS, PostprocessConfig, SegmentConfig
from ..core.volumes import Spacing
from .buttons import side_by_side
from .columns import Column, folded, make_primary, text_line
from .explain import ExplainPart, magma_legend
from .form import count_digits, put_in_rows, settings_form

RUN = "Segment volume  (Shift+S)"
STOP = "Stop"
STOPPING = "Stopping..."
SAVE_AS = {
    "NIfTI (*.nii.gz *.nii)": ".nii.gz",
    "TIFF stack (*.tif *.tiff)": ".tif",
    "Folder with one TIFF per slice (*)": "",
}
"""What a mask can be saved as, and what such a name ends in."""
CLEAN_UP_FIELDS = ("keep_share", "min_voxels", "fill_holes", "closing")
ADVANCED_FIELDS = ("device", "tta", "batch_size", "threads")
_THRESHOLD = PostprocessConfig.model_fields["threshold"]


class SegmentForm(Column):
    """One column: images and model, the big button, progress, the result, and folded-away settings."""

    def __init__(self) -> None:
        super().__init__()
        self.images = ComboBox(label="Images", tooltip="The case or image layer to segment.", choices=())
        self.channels = tuple(
            ComboBox(label=name, tooltip=f"The layer that holds {name}.", choices=(), nullable=True)
            for name in CHANNELS
        )
        self.images_line = text_line("Images that cannot be chosen, and why.")
        self.model = ComboBox(label="Model", tooltip="The trained model to segment with.", choices=())
        self.model_line = text_line("What is known of the model.")
        self.device_line = text_line("Where the model computes.")
        self.run_button = PushButton(text=RUN, tooltip="Segment all slices, the one in view first.")
        self.slice_button = PushButton(text="This slice only", tooltip="Segment the slice in view.")
        self.progress = ProgressBar(visible=False, tooltip="Slices done.", label="")
        self.status = text_line("What was done.")
        self.threshold = FloatSlider(
            label=_THRESHOLD.title,
            value=_THRESHOLD.default,
            min=0.02,
            max=0.98,
            step=0.02,
            tooltip=f"{_THRESHOLD.description} The network is not run again.",
        )
        self.size_line = text_line("Tumour volume of the mask as it is now.")
        self.show_probability = CheckBox(text="Probability layer", tooltip="Show how probable tumour is, from 0 to 1.")
        self.show_uncertainty = CheckBox(
            text="Uncertainty layer", tooltip="Show where the model is undecided: entropy from 0 to 1 bit."
        )
        self.uncertainty_line = text_line("What the colours of the uncertainty layer mean.")
        self.uncertainty_line.setText(f"Uncertainty: {magma_legend('sure', 'undecided')}, 1 bit at 50:50")
        self.save_button = PushButton(
            text="Save mask...", tooltip="Write the mask as NIfTI, a TIFF stack, or a folder with one TIFF per slice."
        )
        self.correct_button = PushButton(
            text="Correct...", tooltip="Correct the mask slice by slice in the Review tab, where everything is saved."
        )
        self.copy_button = PushButton(
            text="Copy as command", tooltip="Copy the command line that does the same in a terminal."
        )
        self.explain = ExplainPart()
        self.clean_up = settings_form(PostprocessConfig, *CLEAN_UP_FIELDS)
        self.advanced = settings_form(SegmentConfig, *ADVANCED_FIELDS)
        self.spacing = tuple(
            FloatSpinBox(
                label=f"{axis} (mm)", value=1.0, min=0.01, max=100, step=0.1, tooltip=f"Voxel size along {axis}."
            )
            for axis in ("z", "y", "x")
        )
        self.spacing_button = PushButton(text="Set voxel size", tooltip="Use this size for all layers of the case.")
        self._lay_out()

    def show_spacing(self, spacing: Spacing | None) -> None:
        """Show a voxel size in mm, with all its digits; 1 where it is not known."""
        for box, size in zip(self.spacing, spacing or (1.0, 1.0, 1.0), strict=True):
            box.native.setDecimals(max(2, count_digits(round(size, 5))))
            box.native.setValue(size)

    def show_channels(self, shown: bool) -> None:
        """Ask for the layer of each sequence, or do not."""
        for box in self.channels:
            self._sources.setRowVisible(box.native, shown)

    def _lay_out(self) -> None:
        make_primary(self.run_button.native)
        sources, threshold, spacing = QWidget(), QWidget(), QWidget()
        self._sources = put_in_rows(sources, self.images, *self.channels, self.images_line, self.model)
        put_in_rows(threshold, self.threshold)
        put_in_rows(spacing, *self.spacing, self.spacing_button)
        self.set_parts(
            sources,
            self.model_line,
            self.device_line,
            self.run_button.native,
            self.slice_button.native,
            self.progress.native,
            self.status,
            threshold,
            self.size_line,
            self.show_probability.native,
            self.show_uncertainty.native,
            self.uncertainty_line,
            side_by_side(self.save_button.native, self.correct_button.native, stretch=(1, 1)),
            self.copy_button.native,
            folded("Explain", self.explain),
            folded("Clean-up", self.clean_up.native),
            folded("Voxel size", spacing),
            folded("Advanced", self.advanced.native),
        )
