"""How a start fails: the one error of the chassis that a service raises too, and its exit code."""

EXIT_START = 1


class StartError(Exception):
    """The service cannot start; the message is one line for the admin."""
