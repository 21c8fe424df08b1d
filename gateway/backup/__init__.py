"""Copies of a data folder: made while it is in use, checked, and put back."""
