"""A double of UCR for tests, written from its documented formats: what is stored, rendered and called.

It does what an admin's `ucr` does as far as a package can notice: layers that beat each other, `@%@` before
`@!@`, what a template prints is looked through again, handlers in no order that is promised, `changes` in the
forms that the real one has on set, commit and register, and an exception of a handler that ends the command.

UCR_DOUBLE_ROOT is the root of all its paths; default: /.
"""

from .layers import ConfigRegistry

__all__ = ["ConfigRegistry"]
