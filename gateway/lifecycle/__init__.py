"""The life of a model: registry, publishing, releases, delivery, federations."""
