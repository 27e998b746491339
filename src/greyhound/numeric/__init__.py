"""Models of numbers: arrays in, arrays out. Nothing here knows a space, a trial or a history."""
