"""The version of Greyhound, read by the build."""

__version__ = "0.1.0"
