"""The audit log: a tamper-evident Merkle tree for each tenant, with erasable personal data."""
