"""Waiting for a condition, never for a time."""

import time


def eventually(what, condition, within, every=0.2):
    """Asks until the answer is true, and returns it. `what` says what was waited for."""
    begun = time.monotonic()
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() - begun > within:
            raise AssertionError(f"not within {within} s: {what} (at last: {answer!r})")
        time.sleep(every)


def eventually_nothing(what, remaining, within, every=0.2):
    """Asks what remains until that is nothing."""
    begun = time.monotonic()
    while rest := remaining():
        if time.monotonic() - begun > within:
            raise AssertionError(f"still after {within} s, {what}: {rest!r}")
        time.sleep(every)


def seconds_until(what, condition, within):
    """How long it took from now until the answer was true."""
    begun = time.monotonic()
    eventually(what, condition, within, every=0.02)
    return time.monotonic() - begun
