"""The simulated smart meter."""
