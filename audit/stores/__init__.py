"""Stores of the audit log, behind the ports of `audit.ports`."""
