"""The version of drivetrain."""

__version__ = "0.1.0"
