"""What runs together: the main job, its threads, and what it tells of itself."""
