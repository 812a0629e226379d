"""Errors that are told to a person in one line."""


class LetheError(Exception):
    """Something a person can put right: the message names the value and the remedy."""

    exit_status = 1


class NotFinishedError(LetheError):
    """The work was accepted and is safe, but is not finished yet (exit status 75)."""

    exit_status = 75


class StoreBusyError(NotFinishedError):
    """Another process holds the store; the same command can be run again."""
