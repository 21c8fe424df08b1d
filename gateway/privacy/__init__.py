"""Rights of data subjects and access to the audit log."""
