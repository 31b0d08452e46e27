"""The pseudo terminal that a simulator serves."""
