"""Screening of inputs: contract, fused graph, calibrated profile and verdict."""
