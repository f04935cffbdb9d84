"""Commands of `mtpolicyctl` that change what is in force for an account, and their files.

Read `request.py` first: every change goes that way. `entries.py` has the overrides as files and lists show
them.
"""
