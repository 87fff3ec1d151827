"""What napari sees: readers, writers, sample data and widgets over `napari_brainseg.core`."""
