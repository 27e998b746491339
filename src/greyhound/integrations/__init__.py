"""Greyhound in other frameworks; each module needs its framework, none is imported by `import greyhound`."""
