"""The formats of uploads, one module each."""
