"""Which slice comes next, and what is said of slices."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from napari_brainseg.core.durations import in_full, moment
from napari_brainseg.core.ledgers import CaseLedger, SliceReview
from napari_brainseg.plugin.review_steps import describe_case, describe_end, describe_slice, next_slice, to_review


def test_slices_with_tumour_in_or_beside_them_are_to_be_reviewed_and_edited_ones():
    mask = np.zeros((8, 4, 4), np.uint8)
    mask[3] = 1
    states = ["auto"] * 8

    assert to_review(states, mask) == [2, 3, 4]
    states[3], states[4], states[7] = "accepted", "flagged", "edited"
    assert to_review(states, mask) == [2, 7]
    assert to_review(states, mask, [6, 4, 1]) == [6, 1]
    assert to_review(states, mask, [6, 8, 99]) == [6]


@pytest.mark.parametrize(
    ("waiting", "order", "here", "step", "expected"),
    [
        ([2, 5, 7], [], 5, 1, 7),
        ([2, 5, 7], [], 7, 1, 2),
        ([2, 5, 7], [], 6, -1, 5),
        ([2, 5, 7], [], 1, -1, 7),
        ([5], [], 5, 1, None),
        ([], [], 5, 1, None),
        ([6, 1], [6, 4, 1], 4, 1, 1),
        ([6, 1], [6, 4, 1], 0, 1, 6),
        ([6, 1], [6, 4, 1], 1, 1, 6),
        ([6, 1], [6, 4, 1], 4, -1, 6),
    ],
)
def test_on_and_back_go_round(waiting, order, here, step, expected):
    assert next_slice(waiting, order, here, step) == expected


@pytest.mark.parametrize(
    ("waiting", "left", "words"),
    [
        ([2, 5], [2, 5], ""),
        ([5], [5], "This is the last slice to review."),
        ([5], [2, 5], "This is the last queued slice to review."),
        ([], [2], "All queued slices are reviewed."),
        ([], [], "All slices are reviewed."),
    ],
)
def test_the_end_of_a_queue_is_not_that_of_the_case(waiting, left, words):
    assert describe_end(waiting, left, 5) == words


def test_a_slice_and_a_case_in_words():
    review = SliceReview(state="edited", voxels_changed=213, seconds=10)
    ledger = CaseLedger(
        case="a",
        slices={
            1: review,
            2: SliceReview(state="accepted", seconds=242, voxels_changed=5000),
            3: SliceReview(state="flagged"),
        },
    )

    assert describe_slice(14, review, 2.2) == "Slice 14: edited, 213 voxels changed, 12 s"
    assert describe_slice(15, SliceReview(), 0) == "Slice 15: not reviewed"
    assert describe_case(ledger, 34) == (
        "1 of 34 slices accepted, 1 edited, 1 flagged\n4 min 12 s, 5\u00a0213 voxels changed"
    )


def test_moments_and_times_spent_in_words():
    now = datetime.now().astimezone()

    assert moment(now) == f"{now:%H:%M}"
    assert moment(now - timedelta(days=1)) == f"yesterday {now - timedelta(days=1):%H:%M}"
    assert moment(datetime(2020, 5, 3, 12, 0).astimezone()) == "3 May 2020"
    assert [in_full(seconds) for seconds in (12.4, 252, 3840)] == ["12 s", "4 min 12 s", "1 h 4 min"]
