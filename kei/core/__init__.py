"""What every room uses: time, errors, readings, secrets, logs, signals, heartbeats."""
