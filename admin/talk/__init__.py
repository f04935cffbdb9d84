"""How the commands of `mtpolicyctl` speak: with the services, and with people and scripts.

Read `services.py` first, then `names.py` (logins are any bytes) and `exits.py` (what the exit codes mean).
"""
