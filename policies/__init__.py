"""Cedar policies: schema, platform rules, signed bundles and decisions."""
