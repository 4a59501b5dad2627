"""The one error that callers show to people: each message says what was wrong and what is allowed."""


class AgeError(ValueError):
    """Bad input to the library. `str(error)` is one sentence fit for a person."""
