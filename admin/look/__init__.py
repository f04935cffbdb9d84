"""Commands of `mtpolicyctl` that ask and change nothing: they need no token.

Each module has one command: how it asks, the object that `--json` prints, and what people see.
"""
