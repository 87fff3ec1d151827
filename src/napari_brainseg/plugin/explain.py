"""Explain a prediction: where on the slice in view it comes from, and what it is without each sequence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Layer
from napari.utils.colormaps import Colormap, ensure_colormap
from qtpy.QtWidgets import QWidget

from ..core.config import ExplainConfig, SegmentConfig
from ..core.progress import Progress
from ..core.volumes import Volume
from ..core.words import grouped
from .buttons import allow, make_button
from .columns import stack, text_line
from .correction_layer import manual_layer
from .form import read_form, settings_form
from .layer_metadata import METADATA, kind_of, notes
from .sentences import as_sentence
from .sources import place_of
from .task import Task, Tasks

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..core.contributions import Contribution
    from ..core.saliency import Explanation

EXPLAIN, STOP, STOPPING = "Explain this slice", "Stop", "Stopping..."
_TOOLTIP = "Show where on the slice in view the prediction comes from, and what it is without each sequence."


@dataclass(frozen=True)
class Wanted:
    """What is to be explained: a slice of a volume made from layers, and a model."""

    images: Image
    volume: Volume
    z: int
    model: str
    segmenting: SegmentConfig
    threshold: float


class ExplainPart(QWidget):
    """The part of the Segment tab that explains a slice and shows the map as a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.method = settings_form(ExplainConfig, "method")
        self.button = make_button(EXPLAIN, self.run, _TOOLTIP)
        self.line = text_line(
            "What the model calls tumour on the slice without each of these: voxels, Dice with what it usually calls, "
            "and Dice with the manual mask."
        )
        self.legend = text_line("What the colours of the layer mean.")
        self._tasks = Tasks(self)
        self._why_not = ""
        self._viewer: ViewerModel | None = None
        self._wanted: Callable[[], Wanted] | None = None
        self.layer: Image | None = None
        """The map, as long as it is in the viewer."""
        stack(self, self.method.native, self.button, self.legend, self.line)
        self._say("")

    @property
    def is_running(self) -> bool:
        """Whether a slice is being explained now."""
        return "explain" in self._tasks

    def serve(self, viewer: "ViewerModel", wanted: Callable[[], Wanted]) -> None:
        """Explain what is in a viewer; `wanted` says what, and raises `ValueError` or `OSError` if nothing can be."""
        self._viewer, self._wanted = viewer, wanted
        viewer.layers.events.removed.connect(self._follow)

    def let_go(self) -> None:
        """Stop, and leave the viewer alone, which outlives the tab."""
        self._tasks.close()
        if self._viewer:
            self._viewer.layers.events.removed.disconnect(self._follow)

    def forbid(self, reason: str) -> None:
        """Say why nothing can be explained now; an empty reason allows it."""
        self._why_not = reason
        self._update()

    def run(self) -> None:
        """Explain the slice in view, or stop if that is under way."""
        if self.is_running:
            self._tasks["explain"].stop()
            self._update()
            return
        assert self._wanted
        try:
            wanted = self._wanted()
        except (OSError, ValueError) as error:
            self._say(as_sentence(error))
            return
        config, manual = read_form(self.method, ExplainConfig()), self._manual(wanted.volume)

        def work(task: Task) -> "tuple[Wanted, Explanation, tuple[Contribution, ...]]":
            return (wanted, *_explain(task, wanted, config, manual))

        self._tasks.begin(
            "explain",
            work,
            self._ended,
            progressed=self._show_progress,
            returned=self._show,
            failed=lambda error: self._say(as_sentence(error)),
        )
        self._say("Loading the model...")
        self._update()

    def _manual(self, volume: Volume) -> np.ndarray | None:
        assert self._viewer
        layer = manual_layer(self._viewer.layers, volume)
        return None if layer is None else np.asarray(layer.data) > 0

    def _show_progress(self, progress: Progress) -> None:
        self._say(f"Pass {progress.done + 1} of {progress.total} through the network...")

    def _ended(self, task: Task) -> None:
        if task.was_stopped:
            self._say("Stopped; nothing was changed.")
        self._update()

    def _show(self, found: "tuple[Wanted, Explanation, tuple[Contribution, ...]]") -> None:
        assert self._viewer
        wanted, explanation, contributions = found
        layers = self._viewer.layers
        if wanted.images not in layers:
            self._say("The images were closed meanwhile.")
            return
        active = layers.selection.active
        for layer in [layer for layer in layers if _is_map_of(layer, wanted.images)]:
            layers.remove(layer)
        layer = _map_layer(wanted, explanation)
        layers.insert(1 + max(place for place, one in enumerate(layers) if isinstance(one, Image)), layer)
        layer.colorbar.visible = True
        if active in layers:
            layers.selection.active = active
        self.layer = layer
        number = explanation.provenance.slice_number
        self._say(_table(number, contributions), f"{magma_legend('none', 'most')}<br>{explanation.sentence}")

    def _follow(self, _: object = None) -> None:
        """What is said of a map goes with it."""
        if self.layer and self._viewer and self.layer not in self._viewer.layers:
            self.layer = None
            if not self.is_running:
                self._say("")

    def _say(self, words: str, legend: str = "") -> None:
        for line, text in ((self.line, words), (self.legend, legend)):
            line.setText(text)
            line.setVisible(bool(text))

    def _update(self) -> None:
        stopping = self.is_running and self._tasks["explain"].stopping
        self.button.setText(STOPPING if stopping else STOP if self.is_running else EXPLAIN)
        allow(
            self.button, "It stops after this pass." if stopping else "" if self.is_running else self._why_not, _TOOLTIP
        )


def magma_legend(low: str, high: str) -> str:
    """A row of the colours of a map, dark to bright, between words for its ends."""
    shades = (np.atleast_2d(ensure_colormap("magma").map(np.linspace(0.1, 1, 6)))[:, :3] * 255).astype(int)
    squares = "".join(f'<span style="color:rgb({r},{g},{b})">■</span>' for r, g, b in shades)
    return f"{low} {squares} {high}"


def _clear_where_dark() -> Colormap:
    """Magma that lets the image through where nothing is: added to a bright tumour, all its colours would be white."""
    colours = np.array(ensure_colormap("magma").map(np.linspace(0, 1, 256)))
    colours[:, 3] = np.linspace(0, 1, 256) ** 0.5
    return Colormap(colours, name="clear magma")


def _table(number: int, contributions: "tuple[Contribution, ...]") -> str:
    """The figures of all contributions below each other, and above them those of the unchanged prediction."""
    usual = contributions[0]
    has_manual = usual.manual_dice is not None
    rows = [(f"<b>Slice {number}</b>", "voxels", "Dice", "vs&nbsp;manual")]
    rows += [("everything", grouped(usual.usual_area), "", _shown(usual.usual_manual_dice))]
    rows += [
        (f"no {one.without}".replace(" ", "&nbsp;"), grouped(one.area), _shown(one.dice), _shown(one.manual_dice))
        for one in contributions
    ]
    lines = (
        f"<td>{row[0]}</td>" + "".join(f'<td align="right">&nbsp;{cell}</td>' for cell in row[1 : 3 + has_manual])
        for row in rows
    )
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _shown(dice: float | None) -> str:
    return "" if dice is None else f"{dice:.2f}"


def _explain(
    task: Task, wanted: Wanted, config: ExplainConfig, manual: np.ndarray | None
) -> "tuple[Explanation, tuple[Contribution, ...]]":
    """In the task's thread, with a model of its own: that of the tab may be at work."""
    from ..core.contributions import which_neighbours, which_sequences
    from ..core.models import load_model
    from ..core.saliency import explain

    model, volume, z = load_model(wanted.model), wanted.volume, wanted.z
    settings = (wanted.segmenting, wanted.threshold)
    contributions = [
        one for which in (which_sequences, which_neighbours) for one in which(volume, z, model, manual, *settings)
    ]
    return explain(volume, z, model, config, *settings, on_progress=task.report), tuple(contributions)


def _is_map_of(layer: Layer, images: Image) -> bool:
    return kind_of(layer) == "saliency" and notes(layer.metadata).get("images") is images


def _map_layer(wanted: Wanted, explanation: "Explanation") -> Image:
    data = np.zeros(wanted.volume.shape, np.float32)
    data[explanation.z] = explanation.map
    made = explanation.provenance
    return Image(
        data,
        **place_of(wanted.images),
        name=f"{wanted.volume.name} {made.settings.method}, slice {made.slice_number}",
        colormap=_clear_where_dark(),
        contrast_limits=(0, 1),
        opacity=0.8,
        blending="translucent_no_depth",
        metadata={
            METADATA: {
                "volume": wanted.volume,
                "images": wanted.images,
                "kind": "saliency",
                "description": explanation.sentence,
                "provenance": made.model_dump(),
            }
        },
    )
