"""The one error of the chassis that a service raises too."""


class StartError(Exception):
    """The service cannot start; the message is one line for the admin."""
