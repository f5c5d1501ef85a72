"""Errors that a user can act on (standard library only)."""


class UserError(Exception):
    """A mistake in the input: the message names the culprit, what was expected and the remedy.

    Scripts print the message alone, without a traceback.
    """


class GuardError(Exception):
    """A simulation left the range in which its numbers mean anything; what was sampled is kept."""
