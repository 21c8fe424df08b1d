"""Federated learning rounds across partner sites with Flower; meets the gateway over HTTP only."""
