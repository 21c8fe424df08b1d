"""The only place that builds parts and puts them together."""
