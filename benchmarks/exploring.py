"""How much longer does exploring a data set take than reading it?

    python benchmarks/exploring.py [FOLDER]

Without a folder, on made-up cases. Images and masks are read as exploring reads them, and with `tifffile.imread`, one
file after another.
"""

import sys
import tempfile
from functools import partial

import tifffile
from machine import describe_machine, take_turns

from napari_brainseg import explore_cases, find_cases, read_mask, read_volume, write_phantom_cases
from napari_brainseg.core.cases import Case


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
    if len(sys.argv) == 1:
        write_phantom_cases(folder, shape=(88, 256, 256))
    cases = find_cases(folder)
    contestants = {"reading alone": read, "tifffile.imread in a loop": read_with_tifffile, "exploring": explore_cases}
    seconds = take_turns({name: partial(contestant, cases) for name, contestant in contestants.items()})
    print(f"{describe_machine()}; {len(cases)} cases, {explore_cases(cases).totals['slices']} slices")
    for name, middle in seconds.items():
        print(f"{name}: {middle:.2f} s; exploring takes {seconds['exploring'] / middle:.2f} of it")


def read(cases: list[Case]) -> None:
    for case in cases:
        read_mask(case, read_volume(case))


def read_with_tifffile(cases: list[Case]) -> None:
    for case in cases:
        for file in (*case.images, *filter(None, case.masks)):
            tifffile.imread(file)


if __name__ == "__main__":
    main()
