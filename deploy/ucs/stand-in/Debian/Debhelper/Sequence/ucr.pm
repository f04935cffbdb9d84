# `dh --with ucr` where Debian has no univention-config-dev.
use warnings;
use strict;
use Debian::Debhelper::Dh_Lib;

insert_before("dh_auto_install", "univention-install-config-registry");

1;
