"""The simulated dongles that speak SKSTACK-IP: lines of text."""
