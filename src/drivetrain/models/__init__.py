"""Which engine serves which model: specs, registry, resolution, catalogue, and reading checkpoints safely."""
