"""Upload: batches of what is recorded to servers, at least once and in order."""
