"""The main job: what runs together, its threads, and the status that it gives."""
