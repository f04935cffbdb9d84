#!/bin/sh
# In the place of the /run.sh of Grafana's image.
set -eu
test -s "$GF_SECURITY_ADMIN_PASSWORD__FILE"
exec busybox httpd -f -p 3000 -h /srv
