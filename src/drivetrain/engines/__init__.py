"""One package for each framework; none imports another."""
