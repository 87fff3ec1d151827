"""What the Review tab shows: controls and lines of text, no behaviour."""

import getpass
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QFormLayout,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from ..core import colours
from .buttons import allow, side_by_side
from .case_choice import CaseChoice
from .columns import Column, make_primary, stack, text_line
from .edit_tools import EditTools
from .preferences import preferences
from .refill import RefillBox
from .review_strip import ReviewStrip
from .workspace_choice import WorkspaceChoice

if TYPE_CHECKING:
    from napari.components import ViewerModel

CORRECT, GO_ON = "Correct this case", "Go on correcting"
ACCEPT, WITHDRAW = "Accept slice (Shift+A)", "Withdraw (Shift+A)"
FLAG, UNFLAG = "Flag (Shift+F)", "Unflag (Shift+F)"
ACCEPT_ALL, WITHDRAW_ALL = "Accept volume", "Withdraw volume"
TOOLTIPS = {
    "accept": "Say that the mask of this slice is right: segmenting again leaves it as it is, and training learns it.",
    "flag": "Mark this slice as doubtful, for somebody else to look at: training leaves it out.",
    "next": "Go to the next slice that nobody has reviewed.",
    "back": "Go back to the slice before this one that nobody has reviewed.",
    "volume": "Accept all slices that are not flagged, or withdraw that if all are accepted.",
    "restore": "Put a former mask of this slice in place of the present one; Ctrl+Z takes that back.",
}
_REVIEWER = "review/reviewer"
_ROW = 28
"""Height of a button in pixels."""


class ReviewForm(Column):
    """One column: the case, what was saved, the slices and what is said of them, tools, and room for more.

    Parameters
    ----------
    viewer : ViewerModel
        What the tools and the choice of the case follow.
    """

    def __init__(self, viewer: "ViewerModel") -> None:
        super().__init__()
        self.case = CaseChoice(viewer)
        self.saved_line = QLabel()
        self.saved_line.setToolTip("When the corrections were saved last; nothing else needs to be done for it.")
        self.start_line = text_line("What the corrections start from, or where they stand.")
        self.correct_button = QPushButton(CORRECT)
        self.error_line = text_line("Why the corrections could not be saved.")
        self.error_line.setStyleSheet(f"color: {colours.TOO_MUCH}; font-weight: bold")
        self.again_button = QPushButton("Try again")
        self.again_button.setToolTip("Try to save now; it is also tried every 10 seconds and after each change.")
        self.strip = ReviewStrip()
        self.summary = text_line("All slices of the case together.")
        self.slice_line = text_line("The slice in view: what was done, voxels that differ from the prediction, time.")
        self.accept_button, self.flag_button = QPushButton(ACCEPT), QPushButton(FLAG)
        self.back_button, self.next_button = QPushButton("Back (Shift+N)"), QPushButton("Next (N)")
        self.volume_button, self.restore_button = QPushButton(ACCEPT_ALL), QPushButton("Restore...")
        self.case_button = QPushButton("Next case")
        self.case_button.setToolTip("Open the next patient of the Cases tab.")
        self.done_line = text_line("What was done last.")
        self.fill_box = RefillBox(viewer)
        self.tools = EditTools(viewer)
        self.place = WorkspaceChoice()
        self.reviewer = QLineEdit()
        self.reviewer.setToolTip("Your name, which is noted with each slice that you correct.")
        self._panels = QWidget()
        self._panel_column = stack(self._panels)
        self._settings = preferences()
        self.reviewer.setText(str(self._settings.value(_REVIEWER, "") or _user()))
        self.reviewer.editingFinished.connect(lambda: self._settings.setValue(_REVIEWER, self.reviewer.text().strip()))
        self._lay_out()
        for say in (self.say, self.say_error):
            say("")

    def add_panel(self, panel: QWidget) -> None:
        """Put another panel below what there is."""
        self._panel_column.addWidget(panel)
        for below in (self.place.button, self.reviewer):  # the Tab key goes down the column, whatever was made first
            self.setTabOrder(self.previousInFocusChain(), below)

    def say(self, words: str) -> None:
        """Say what was done."""
        self.done_line.setText(words)
        self.done_line.setVisible(bool(words))

    def say_error(self, words: str) -> None:
        """Say why nothing could be saved; the line is there only then."""
        self.error_line.setText(words)
        for part in (self.error_line, self.again_button):
            part.setVisible(bool(words))

    def show_session(self, *, is_correcting: bool, is_at_hand: bool, why_not: str) -> None:
        """Show what can be done.

        Parameters
        ----------
        is_correcting : bool
            Whether there is a correction layer.
        is_at_hand : bool
            Whether the next stroke goes into it.
        why_not : str
            Why it cannot be begun with; empty if it can.
        """
        self._session.setVisible(is_correcting)
        self.correct_button.setVisible(not (is_correcting and is_at_hand))
        begin = "Make a layer of your own to correct; the prediction is hidden and stays as it is."
        allow(self.correct_button, why_not, "Select the correction layer and its brush." if is_correcting else begin)
        why_fixed = "Remove the correction layer first; what is saved stays." if is_correcting else None
        self.place.allow(why_fixed if self.case.source else "Open a case first.")

    def allow_actions(
        self,
        *,
        accepted: bool,
        flagged: bool,
        all_accepted: bool,
        why_no_slice: str,
        why_no_step: str,
        why_not_all: str,
    ) -> None:
        """Let the buttons say what they do for this slice, and why there is none where that is so."""
        self.accept_button.setText(WITHDRAW if accepted else ACCEPT)
        self.flag_button.setText(UNFLAG if flagged else FLAG)
        self.volume_button.setText(WITHDRAW_ALL if all_accepted else ACCEPT_ALL)
        allow(self.volume_button, why_not_all, TOOLTIPS["volume"])
        for button, action, why_not in (
            (self.accept_button, "accept", ""),
            (self.flag_button, "flag", ""),
            (self.restore_button, "restore", ""),
            (self.next_button, "next", why_no_step),
            (self.back_button, "back", why_no_step),
        ):
            allow(button, why_no_slice or why_not, TOOLTIPS[action])

    def _lay_out(self) -> None:
        make_primary(self.correct_button)
        self.slice_line.setStyleSheet("font-weight: bold")
        buttons = QGridLayout()
        buttons.setSpacing(4)
        upper = self.accept_button, self.flag_button, self.back_button, self.next_button
        for place, button in enumerate((*upper, self.volume_button, self.restore_button)):
            button.setMinimumHeight(_ROW)
            buttons.addWidget(button, *divmod(place, 2))
        self._session = QWidget()
        session = stack(self._session, self.strip, self.summary, self.slice_line)
        session.addLayout(buttons)
        again = text_line("What becomes of this mask when the Segment tab makes a new prediction.")
        again.setText("When the case is segmented again:")
        # What comes and goes stands below the tools: they must not move away from under the mouse.
        for part in (self.tools, self.done_line, self.case_button, again, self.fill_box):
            session.addWidget(part)
        who = QWidget()
        form = QFormLayout(who)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Reviewer", self.reviewer)
        self.set_parts(
            side_by_side(self.case, self.saved_line, stretch=(1, 0)),
            self.start_line,
            self.correct_button,
            self.error_line,
            self.again_button,
            self._session,
            self._panels,
            self.place,
            who,
        )


def _user() -> str:
    """Name that the operating system knows the person by; empty if it knows none."""
    try:
        return getpass.getuser()
    except OSError:
        return ""
