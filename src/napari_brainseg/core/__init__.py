"""What the plugin and the command line share: no Qt, no napari, no printing."""
