"""The errors that callers show to people: each message says what was wrong and what is allowed."""


class AgeError(ValueError):
    """Bad input to the library. `str(error)` is one sentence fit for a person."""


class RunFailed(AgeError):
    """The input was fine, but the work could not be finished: training diverged, or the disk is full."""
