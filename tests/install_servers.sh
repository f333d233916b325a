#!/bin/sh
# Installs the real servers that the tests run against, if one is missing, and says so.
# Debian 12: mosquitto, InfluxDB 1.6, VictoriaMetrics, nginx (a v2-write address for InfluxDB 1.6),
# Chromium for the page and the report, poppler's pdftotext for what it prints, systemd's
# systemd-analyze for the units (no systemd needs to run), shellcheck for the scripts of deploy/,
# libatomic1 for the driver that steers Chromium.
set -eu
PATH="$PATH:/usr/sbin:/sbin"
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need mosquitto mosquitto
need mosquitto_sub mosquitto-clients
need influxd influxdb
need victoria-metrics victoria-metrics
need nginx nginx-light
need chromium chromium
need pdftotext poppler-utils
need systemd-analyze systemd
need shellcheck shellcheck
# Playwright's driver is a program of its own that needs this library.
ldconfig -p | grep -q 'libatomic\.so\.1' || missing="$missing libatomic1"
[ -n "$missing" ] || exit 0

install="apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo"
elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then as_root="sudo"
else
  echo "The tests run real servers. Install them as root, then run make test again: apt-get install$missing" >&2
  exit 2
fi
command -v apt-get >/dev/null 2>&1 || {
  echo "The tests need Debian 12's packages$missing; this system has no apt-get." >&2
  exit 2
}
echo "Installing the servers that the tests run:$missing"
# Debian starts a packaged server at once; the tests start their own, so that is switched off.
policy=""
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
  $as_root chmod +x /usr/sbin/policy-rc.d
  policy=yes
fi
restore() { [ -z "$policy" ] || $as_root rm -f /usr/sbin/policy-rc.d; }
trap restore EXIT
$as_root apt-get -o DPkg::Lock::Timeout=300 update -qq
$as_root env DEBIAN_FRONTEND=noninteractive $install >/dev/null
