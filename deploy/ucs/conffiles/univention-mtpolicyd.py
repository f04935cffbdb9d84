# -*- coding: utf-8 -*-
"""What follows a change of /etc/univention-mtpolicyd/settings.toml."""

from __future__ import print_function

import sys

sys.path.insert(0, "/usr/share/univention-mtpolicyd/ucs")


def postinst(config_registry, changes):
    # An exception would end the admin's `ucr set` in a traceback, and leave other files as they were. What
    # has changed is not asked, since on `ucr commit` and `ucr register` UCR does not say it, and the values
    # are read anew, since another change may have come since.
    try:
        from mtpolicyd_ucs.applying import apply_settings

        apply_settings()
    except Exception as error:
        print("univention-mtpolicyd: the change cannot be applied: %r" % (error,), file=sys.stderr)
