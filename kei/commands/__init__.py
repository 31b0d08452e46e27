"""The commands of `kei`, one module or folder each."""
