"""The scheduler and its jobs: one module for each kind of job, see `kinds`."""
