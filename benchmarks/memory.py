"""How much memory does `brainseg segment` take at its peak on a case of 88 slices?

    python benchmarks/memory.py [CASE_FOLDER]

Not on Windows, which does not tell the peak of a finished process.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe_machine

from napari_brainseg import write_phantom_cases
from napari_brainseg.core.phantom import SAMPLE_CASES


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    case = sys.argv[1] if len(sys.argv) > 1 else str(write_phantom_cases(folder, SAMPLE_CASES[:1], (88, 256, 256))[0])
    command = [sys.executable, "-m", "napari_brainseg", "segment", case, "--output", str(folder / "masks")]
    subprocess.run(command, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    print(f"{describe_machine()}; peak memory of the whole process {peak * unit / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
