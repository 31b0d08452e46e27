"""The simulated household: power and energy at any second."""
