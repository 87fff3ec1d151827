"""A network looks at a volume and its mirror image."""

from dataclasses import replace

import numpy as np
import pytest

from napari_brainseg.core.config import SegmentConfig
from napari_brainseg.core.models import TrainedModel
from napari_brainseg.core.progress import Cancelled, Progress
from napari_brainseg.core.segmentation import segment
from napari_brainseg.core.signal_measurement import measure_signals
from napari_brainseg.core.volumes import Volume

CPU = SegmentConfig(device="cpu", batch_size=4)


def test_it_tells_what_segmenting_both_tells(volume: Volume, untrained: TrainedModel) -> None:
    numbered = replace(volume, slice_numbers=tuple(range(5, 11)))
    plain = segment(volume, untrained, CPU)
    both = segment(volume, untrained, CPU.changed({"tta": True})).probability
    manual = np.zeros(volume.shape, np.uint8)
    found = measure_signals(numbered, untrained, CPU.changed({"tta": True}), manual)

    assert found.slice_numbers == (5, 6, 7, 8, 9, 10)
    np.testing.assert_array_equal(found.area, plain.mask.sum(axis=(1, 2)))
    np.testing.assert_allclose(found.entropy, plain.uncertainty.sum(axis=(1, 2), dtype=float), rtol=1e-5)
    np.testing.assert_allclose(found.flip, 2 * np.abs(both - plain.probability).sum(axis=(1, 2)), rtol=0.05)
    np.testing.assert_array_equal(found.manual, plain.mask.sum(axis=(1, 2)))


def test_progress_counts_both_and_can_stop_it(volume: Volume, untrained: TrainedModel) -> None:
    reports: list[Progress] = []
    measure_signals(volume, untrained, CPU, on_progress=reports.append)

    assert [(report.done, report.total) for report in reports] == [(4, 12), (6, 12), (10, 12), (12, 12)]

    def stop(_: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        measure_signals(volume, untrained, CPU, on_progress=stop)
