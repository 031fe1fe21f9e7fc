"""Models that find objects or classify pixels: an adapter for each source, and one module that trains them all."""
