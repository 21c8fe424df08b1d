"""The way of an inference request, whatever door it came through."""
