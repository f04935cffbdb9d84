"""What joins univention-mtpolicyd and UCS: UCR variables, systemd, the firewall, and the check in Postfix.

It runs under Debian's own Python, as root, inside `ucr set` and in the maintainer scripts, so it needs the
standard library alone; what the settings mean is asked of `mtpolicyctl`. Read `settings_file.py` (UCR
variables to TOML), then `applying.py` (what follows a change) and `activation.py` (the check in Postfix).
"""
