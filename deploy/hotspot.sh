#!/bin/sh
# The Pi as its own Wi-Fi, for the page on a site without one: phone and Pi, nothing else.
#
# It uses nothing but NetworkManager (nmcli), which Raspberry Pi OS Bookworm comes with. While it is
# up the Wi-Fi of the Pi reaches no other network: a Pi that delivers over Wi-Fi delivers later.
set -eu

NAME=packtap-hotspot SSID=packtap DEVICE=wlan0 DRY='' ACTION=''
TOKEN=${PACKTAP_WEB_TOKEN:-/etc/credstore/packtap.web-token}
WEB=${PACKTAP_WEB_CONFIG:-/etc/packtap/web.toml}

usage() {
  cat <<'END'
usage: hotspot.sh up|down|status [options]

  up       make the Pi a Wi-Fi of its own; asks for the password once, and keeps it
  down     end it; the Pi's other connections come back
  status   what is on

  --ssid NAME       name of the Wi-Fi (default packtap)
  --device NAME     Wi-Fi device (default wlan0)
  --dry-run         only say what would be done
  --help

The page is then at http://10.42.0.1:8090. It must listen there and ask for a token:
in /etc/packtap/web.toml   bind = "0.0.0.0"   and   token_file = "web-token"   (deploy/INSTALL.md)

Exit code 0: done; 1: something went wrong; 2: it cannot begin like this.
END
}

say() { printf '%s\n' "$*"; }
die() { printf 'hotspot.sh: %s\n' "$1" >&2; exit "${2:-1}"; }
run() { if [ -n "$DRY" ]; then say "would run: $*"; else "$@"; fi; }

read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      up|down|status)
        [ -z "$ACTION" ] || die "one action at a time: $ACTION or $1" 2
        ACTION=$1 ;;
      --help|-h) usage; exit 0 ;;
      --dry-run) DRY=yes ;;
      --ssid|--device)
        [ $# -ge 2 ] || die "$1 needs a value" 2
        case $2 in ''|-*|*[!A-Za-z0-9._-]*) die "$1 '$2': letters, digits, . _ and - only" 2 ;; esac
        if [ "$1" = --ssid ]; then SSID=$2; else DEVICE=$2; fi
        shift ;;
      *) die "$1: unknown. hotspot.sh --help tells more." 2 ;;
    esac
    shift
  done
  [ -n "$ACTION" ] || { usage >&2; exit 2; }
}

check_host() {
  if [ -n "$DRY" ]; then return; fi
  command -v nmcli >/dev/null || die "nmcli is missing: this needs NetworkManager (Raspberry Pi OS Bookworm)" 2
  [ "$ACTION" = status ] || [ "$(id -u)" = 0 ] || die "this needs root: sudo $0 $ACTION" 2
}

# A Wi-Fi is no lock: nobody may see the page by its password alone.
check_page() {
  if grep -q '^token_file = ' "$WEB" 2>/dev/null && [ -s "$TOKEN" ]; then return; fi
  die "the page has no token. First, as root:
  umask 077; mkdir -p $(dirname "$TOKEN"); head -c 18 /dev/urandom | base64 > $TOKEN
then in $WEB:
  bind = \"0.0.0.0\"
  token_file = \"web-token\"
and: systemctl restart packtap-web" 2
}

up() {
  check_page
  if [ -n "$DRY" ] || ! nmcli -t -f NAME connection show | grep -qx "$NAME"; then
    run nmcli connection add type wifi ifname "$DEVICE" con-name "$NAME" autoconnect no ssid "$SSID" \
      802-11-wireless.mode ap 802-11-wireless.band bg ipv4.method shared ipv4.addresses 10.42.0.1/24 \
      ipv6.method disabled wifi-sec.key-mgmt wpa-psk wifi-sec.psk-flags 0
  fi
  # The password is asked for by nmcli itself: it stands in no list of processes.
  run nmcli --ask connection up "$NAME"
  say "Join the Wi-Fi $SSID, then open http://10.42.0.1:8090 and give the token (sudo cat $TOKEN)."
}

down() {
  run nmcli connection down "$NAME"
  say "The Wi-Fi $SSID is off. To forget it with its password: sudo nmcli connection delete $NAME"
}

status() {
  run nmcli -f NAME,DEVICE,STATE connection show --active
}

read_arguments "$@"
check_host
"$ACTION"
