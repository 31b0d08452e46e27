"""Recordings of a port, played again."""
