"""Which engine serves which model: specs, registry, resolution, catalogue, and what a checkpoint says of itself."""
