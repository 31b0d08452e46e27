"""What simulated dongles of every grammar share: time, the air, and the meter behind it."""
