"""Tenants, their clients, their policy sets and their limits."""
