"""Models, their versions, artifacts and releases."""
