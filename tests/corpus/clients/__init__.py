"""Clients that ask every model of a folder once, each a process of its own."""
