"""How much faster is a case opened than by `tifffile.imread`, one file after another?

    python benchmarks/reading.py [FOLDER]

Without a folder, on made-up cases; with a data set folder, all its cases are also decoded once. Pixels are compared.
"""

import sys
import tempfile
import time

import numpy as np
import tifffile
from machine import describe_machine, take_turns

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

    def loop() -> np.ndarray:
        return np.stack([tifffile.imread(file) for file in case.images])

    assert np.array_equal(read_volume(case).array, loop())
    ours, theirs = take_turns({"ours": lambda: read_volume(case), "theirs": loop}, ROUNDS).values()
    print(f"{describe_machine()}; {len(case.images)} slices")
    print(f"read_volume {ours * 1000:.1f} ms, tifffile.imread in a loop {theirs * 1000:.1f} ms")
    print(f"opening a case is {theirs / ours:.1f} times faster, with the same pixels")
    started = time.perf_counter()
    slices = sum(len(read_volume(case).array) for case in cases)
    print(f"{len(cases)} cases ({slices} slices) decoded in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
