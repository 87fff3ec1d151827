"""``python -m napari_brainseg``: the command line."""

from .cli import main

main()
