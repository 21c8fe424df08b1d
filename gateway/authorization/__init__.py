"""One decision for each call, and the evidence of it."""
