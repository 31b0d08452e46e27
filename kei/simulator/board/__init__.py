"""The simulated board with sensors."""
