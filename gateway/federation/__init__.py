"""Federations of partner sites and their training runs."""
