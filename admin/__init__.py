"""The admin's commands that stand above the services: they ask more than one of them, or speak of them all.

Each is an entry point `mtpolicyd.commands`, found by `mtpolicyctl` (chassis/ctl.py); no service knows them.
`report.py` is `mtpolicyctl report`: read `summary.py` first, then `suggestions.py`.
"""
