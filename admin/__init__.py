"""The admin's commands that stand above the services: they may use all of them, and no service uses them.

Each is an entry point `mtpolicyd.commands`, found by `mtpolicyctl` (chassis/ctl.py). `look` asks and `change`
changes; `talk` is how both speak with services and people.
"""
