"""Encrypted model artifacts: the age format, keys, manifests, signatures, store and admission."""
