"""Where the package has its things; a test has them elsewhere."""

from pathlib import Path

_ROOT = Path("/")

SETTINGS_FILE = _ROOT / "etc/univention-mtpolicyd/settings.toml"
MTPOLICYCTL = _ROOT / "usr/bin/mtpolicyctl"
STATE = _ROOT / "var/lib/univention-mtpolicyd"
# Not in STATE: whoever has broken into a service must not say what root is to undo.
ACTIVATION = _ROOT / "var/lib/univention-mtpolicyd-activate/activation.json"
LISTEN_DROP_IN = _ROOT / "etc/systemd/system/univention-mtpolicyd-frontend.socket.d/listen.conf"
COMPOSE = _ROOT / "usr/share/univention-mtpolicyd/compose"
COMPOSE_VARIABLES = _ROOT / "etc/univention-mtpolicyd/compose.env"
LOCK = _ROOT / "run/univention-mtpolicyd.lock"
SYSTEMD_RUNS = _ROOT / "run/systemd/system"

USER = "univention-mtpolicyd"
