"""The settings of jobs.toml as frozen dataclasses."""
