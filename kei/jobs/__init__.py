"""What the scheduler runs: one module for each kind of job."""
