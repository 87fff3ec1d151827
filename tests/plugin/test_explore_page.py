"""The Explore page of the Cases tab, used as a person uses it."""

import shutil
from pathlib import Path

import pytest
from qtpy.QtGui import QDesktopServices

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.exploration import explore_cases
from napari_brainseg.plugin.cases_widget import CasesWidget
from napari_brainseg.plugin.explore_page import summary_lines


@pytest.fixture
def data(patients, tmp_path):
    """Of four, bert has a broken file, and slice 4 of anna is there again as slice 6."""
    folder = shutil.copytree(patients, tmp_path / "data")
    (folder / "bert" / "bert_3.tif").write_bytes(b"no image")
    shutil.copy(folder / "anna" / "anna_4.tif", folder / "anna" / "anna_6.tif")
    return folder


@pytest.fixture
def open_page(qtbot, viewer):
    """Open the Cases tab on a folder and press Explore."""

    def press(folder, wait=True):
        widget = CasesWidget(viewer)
        qtbot.addWidget(widget)
        widget.resize(420, 700)
        widget.show()
        widget.open_folder(folder)
        qtbot.waitUntil(lambda: bool(widget.cases_page.table.rows) and not widget.is_busy, timeout=30_000)
        widget.cases_page.explore_button.click()
        if wait:
            page = widget.explore_page
            qtbot.waitUntil(
                lambda: not page.is_busy and not page.figures.is_busy and bool(page.figures.pictures), timeout=60_000
            )
        return widget

    return press


def item_about(page, words):
    items = [page.findings.item(row) for row in range(page.findings.count())]
    return next(item for item in items if words in item.text())


def test_numbers_figures_and_findings_are_shown(open_page, data):
    page = open_page(data).explore_page

    assert page.summary.text().startswith("3 patients, 3 cases, 18 slices\n")
    assert "Unreadable cases: 1" in page.summary.text()
    assert page.findings_title.text() == f"{page.findings.count()} findings"
    assert page.findings.item(0).text().startswith("⛔ bert, slice 3: ")
    titles = [label.text() for label in page.figures.pictures[::2]]
    assert titles[0] == "Slices with and without tumour"
    assert all(0 < picture.pixmap().width() <= 420 for picture in page.figures.pictures[1::2])


def test_a_click_on_a_finding_opens_the_case_at_that_slice(qtbot, open_page, data, viewer):
    widget = open_page(data)
    page = widget.explore_page

    page.findings.itemClicked.emit(item_about(page, "there again"))
    qtbot.waitUntil(lambda: len(viewer.layers) > 0 and not widget.is_busy, timeout=30_000)

    assert viewer.layers[-1].name.startswith("anna")
    assert viewer.dims.current_step[0] == 5


def test_an_open_case_is_not_opened_again(open_page, data, viewer, qtbot):
    widget = open_page(data)
    page = widget.explore_page
    page.findings.itemClicked.emit(item_about(page, "there again"))
    qtbot.waitUntil(lambda: len(viewer.layers) > 0 and not widget.is_busy, timeout=30_000)
    layers = list(viewer.layers)
    viewer.dims.set_point(0, 0)

    page.findings.itemClicked.emit(item_about(page, "there again"))

    assert not widget.is_busy
    assert list(viewer.layers) == layers
    assert viewer.dims.current_step[0] == 5


def test_a_finding_about_a_broken_case_says_why_it_does_not_open(open_page, data, notified):
    page = open_page(data).explore_page

    page.findings.itemClicked.emit(page.findings.item(0))

    assert "bert_3.tif" in notified[0]


def test_a_finding_about_the_whole_data_set_names_no_case_and_opens_none(open_page, data, notified):
    (data / "data.csv").write_text("no table of patients")
    widget = open_page(data)
    page = widget.explore_page
    item = item_about(page, "data.csv is not used")
    page.findings.itemClicked.emit(item)

    assert item.text().split(" ", 1)[1].startswith(str(data))
    assert not widget.is_busy
    assert not notified


def test_a_hidden_case_is_found_too(qtbot, open_page, data, viewer):
    widget = open_page(data)
    widget.cases_page.filter.setText("dora")

    widget.explore_page.findings.itemClicked.emit(item_about(widget.explore_page, "there again"))
    qtbot.waitUntil(lambda: len(viewer.layers) > 0 and not widget.is_busy, timeout=30_000)

    assert viewer.layers[-1].name.startswith("anna")


def test_the_report_is_written_and_opened(qtbot, open_page, data, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(Path(url.toLocalFile())))
    page = open_page(data).explore_page

    page.report_button.click()
    assert not page.report_button.isEnabled()
    qtbot.waitUntil(lambda: bool(opened), timeout=60_000)

    assert "What is in" in opened[0].read_text("utf-8")
    shutil.rmtree(opened[0].parent)


def test_exploring_can_be_cancelled_and_begun_again(qtbot, open_page, data, gate):
    gate.open()
    page = open_page(data, wait=False).explore_page
    page.cancel_button.click()

    assert page.message.text() == "Stopped."
    assert not page.is_busy
    assert not page.report_button.isEnabled()

    page.again_button.click()
    qtbot.waitUntil(lambda: page.exploration is not None, timeout=60_000)


def test_exploring_goes_on_where_it_was_asked_for_again(open_page, data):
    widget = open_page(data, wait=False)
    exploring = widget.explore_page._tasks["explore"]
    widget.explore_page.back_button.click()
    widget.cases_page.explore_button.click()

    assert widget.explore_page._tasks["explore"] is exploring


def test_cases_without_masks_are_said_to_have_none(patients, tmp_path):
    data = shutil.copytree(patients, tmp_path / "data", ignore=shutil.ignore_patterns("*_mask.tif"))
    found = explore_cases(find_cases(data))

    assert summary_lines(found)[1] == "No slice has a manual mask"


def test_back_to_the_table(open_page, data):
    widget = open_page(data)

    widget.explore_page.back_button.click()

    assert widget.pages.currentIndex() == 1


def test_figures_follow_the_theme(qtbot, open_page, data, viewer):
    page = open_page(data).explore_page
    dark = page.figures.pictures[1].pixmap().toImage().pixelColor(1, 1).lightness()

    viewer.theme = "light"
    qtbot.waitUntil(
        lambda: page.figures.pictures[1].pixmap().toImage().pixelColor(1, 1).lightness() > dark + 50, timeout=60_000
    )


def test_it_fits_a_narrow_column(qtbot, open_page, data):
    widget = open_page(data)
    page = widget.explore_page

    widget.resize(300, 700)
    qtbot.waitUntil(
        lambda: all(picture.pixmap().width() <= 300 for picture in page.figures.pictures[1::2]), timeout=60_000
    )

    assert widget.width() == 300
