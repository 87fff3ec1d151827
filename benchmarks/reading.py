"""How much faster is a case opened than by `tifffile.imread`, one file after another?

    python benchmarks/reading.py [FOLDER]

Without a folder, on made-up cases; with a data set folder, all its cases are also decoded once. Pixels are compared.
"""

import sys
import tempfile
import time
from statistics import median

import numpy as np
import tifffile
from machine import describe_machine

from napari_brainseg import find_cases, read_volume, write_phantom_cases

ROUNDS = 15


def main() -> None:
    if len(sys.argv) > 1:
        cases = find_cases(sys.argv[1])
    else:
        with_phantoms = tempfile.mkdtemp()
        write_phantom_cases(with_phantoms, shape=(88, 256, 256))
        cases = find_cases(with_phantoms)
    case = max(cases, key=lambda case: len(case.images))
    ours, theirs = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        volume = read_volume(case)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        loop = np.stack([tifffile.imread(file) for file in case.images])
        theirs.append(time.perf_counter() - started)
        assert np.array_equal(volume.array, loop)
    print(f"{describe_machine()}; {len(case.images)} slices")
    print(f"read_volume {median(ours) * 1000:.1f} ms, tifffile.imread in a loop {median(theirs) * 1000:.1f} ms")
    print(f"opening a case is {median(theirs) / median(ours):.1f} times faster, with the same pixels")
    started = time.perf_counter()
    slices = sum(len(read_volume(case).array) for case in cases)
    print(f"{len(cases)} cases ({slices} slices) decoded in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
