"""The one exception that reaches a user as one line instead of a traceback."""


class UserError(Exception):
    """Bad input: the message names the file or option, the cause and the way out, in one line.

    The command line prints the message and exits with code 2.
    """
