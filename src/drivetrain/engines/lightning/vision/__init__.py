"""Models that find objects or classify pixels: an adapter per source, and one module that trains them all."""
