"""How a conformance check says what was promised."""


def expect(held: object, promise: str) -> None:
    """AssertionError with the promise where it was not held."""
    if not held:
        raise AssertionError(promise)
