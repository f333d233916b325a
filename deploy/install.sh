#!/bin/sh
# Puts packtap on a Raspberry Pi (or any Debian 12 and newer), keeps it up to date, takes it away.
#
# deploy/INSTALL.md tells the whole way. Each version has a virtual environment of its own in
# /opt/packtap/versions; the link /opt/packtap/current names the one that runs, /opt/packtap/previous
# the one before it. A version is marked as complete once it is whole; one that is not is made anew.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT='' ACTION='' SOURCE=$(dirname "$HERE") WHEELS='' DRY='' PURGE='' UART='' WEB=yes
SITE='' AGENT='' BUS='' PORT='' MODE='' BROKER='' ENROL=''
UART_BEGIN='# packtap: begin (deploy/install.sh)' UART_END='# packtap: end'

usage() {
  cat <<'END'
usage: install.sh [ACTION] [options]

  install    (default) put packtap here; run again it mends what is missing, and changes nothing else
  upgrade    take the version beside this script; the one before it is kept
  rollback   back to the version before
  uninstall  take packtap away; keeps /etc/packtap, /var/lib/packtap and the secrets, unless --purge
  uart       only the question of --uart

  --source FOLDER|WHEEL  what to install: a checkout or release folder, or packtap-*.whl
                         (default: the folder that this script came in)
  --wheels FOLDER        take the Python packages from there; no network is used
  --uart yes|no          give pins 8 and 10 of a Pi to packtap: changes config.txt and cmdline.txt
  --no-web               do not start the page
  --purge                with uninstall: configuration, readings, secrets and the user too
  --dry-run              only say what would be done
  --root FOLDER          work on a system below FOLDER: files only, nothing is started
  --help

The first agent (asked for at a terminal; a configuration that is there is never changed):
  --site NAME --bus NAME --port /dev/... --mode listen|bench|share
  --enrol FILE           what `packtap fleet enrol` has made: name, broker and certificate
  --agent NAME --broker HOST   without such a file

Exit code 0: done; 1: something went wrong; 2: it cannot begin like this.
END
}

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$1" >&2; exit "${2:-1}"; }
usage_error() { die "$1. install.sh --help tells more." 2; }

# What changes the system goes through here.
run() {
  if [ -n "$DRY" ]; then say "would run: $*"; else "$@"; fi
}

# Services, users and devices are those of the running system only.
live() {
  [ -z "$ROOT" ] || return 0
  run "$@"
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      install|upgrade|rollback|uninstall|uart)
        [ -z "$ACTION" ] || usage_error "one action at a time: $ACTION or $1"
        ACTION=$1 ;;
      --help|-h) usage; exit 0 ;;
      --dry-run) DRY=yes ;;
      --purge) PURGE=yes ;;
      --no-web) WEB='' ;;
      --source|--wheels|--uart|--root|--site|--agent|--bus|--port|--mode|--broker|--enrol)
        [ $# -ge 2 ] || usage_error "$1 needs a value"
        read_value "$1" "$2"; shift ;;
      *) usage_error "$1: unknown" ;;
    esac
    shift
  done
  ACTION=${ACTION:-install}
  [ -z "$PURGE" ] || [ "$ACTION" = uninstall ] || usage_error "--purge goes with uninstall"
}

read_value() {
  case $1 in
    --source) SOURCE=$2 ;;
    --wheels) WHEELS=$2 ;;
    --uart) UART=$2; one_of --uart "$2" yes no ;;
    --root) ROOT=${2%/} ;;
    --site) SITE=$2; name_of --site "$2" ;;
    --agent) AGENT=$2; name_of --agent "$2" ;;
    --bus) BUS=$2; name_of --bus "$2" ;;
    --port) PORT=$2; plain --port "$2" ;;
    --mode) MODE=$2; one_of --mode "$2" listen bench share ;;
    --broker) BROKER=$2; plain --broker "$2" ;;
    --enrol) ENROL=$2; [ -r "$2" ] || usage_error "--enrol $2: cannot be read" ;;
  esac
}

one_of() {
  option=$1 value=$2; shift 2
  for each in "$@"; do [ "$value" != "$each" ] || return 0; done
  usage_error "$option $value: must be one of: $*"
}

name_of() {
  case $2 in
    ''|*[!a-z0-9_-]*) usage_error "$1 '$2': lower-case letters, digits, _ and - only" ;;
  esac
}

# These values are put into a file by sed.
plain() {
  case $2 in
    ''|*[!A-Za-z0-9/_.:,@+-]*) usage_error "$1 '$2': letters, digits and / _ . : , @ + - only" ;;
  esac
}

places() {
  OPT=$ROOT/opt/packtap
  ETC=$ROOT/etc/packtap
  STATE=$ROOT/var/lib/packtap
  CREDSTORE=$ROOT/etc/credstore
  UNITS=$ROOT/etc/systemd/system
  RULES=$ROOT/etc/udev/rules.d/61-packtap.rules
  SYSUSERS=$ROOT/usr/lib/sysusers.d/packtap.conf
  DROP_IN=$UNITS/packtap-agent@.service.d/clock-of-the-kernel.conf
}

check_host() {
  [ -n "$ROOT" ] || [ -n "$DRY" ] || [ "$(id -u)" = 0 ] ||
    die "this needs root: sudo $0 $ACTION" 2
  [ -z "$ROOT" ] || [ -d "$ROOT" ] || die "--root $ROOT: there is no such folder" 2
  [ ! -e "$OPT/pyvenv.cfg" ] ||
    die "$OPT holds a packtap that was installed by hand. Move it away, then run this again:
  systemctl stop 'packtap-*'; mv $OPT $OPT.by-hand" 2
}

check_python() {
  command -v python3 >/dev/null || die "python3 is missing: apt install python3 python3-venv" 2
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "packtap needs Python 3.11 or newer (Raspberry Pi OS Bookworm); here is $(python3 --version)" 2
  python3 -c 'import venv, ensurepip' 2>/dev/null ||
    die "Python's venv module is missing: apt install python3-venv" 2
}

# Name the version that stands in SOURCE: its number and a mark of its contents.
identify() {
  [ -r "$HERE/requirements.lock" ] || die "$HERE/requirements.lock is missing: keep the folder whole" 2
  [ -z "$WHEELS" ] || [ -d "$WHEELS" ] || die "--wheels $WHEELS: there is no such folder" 2
  case $SOURCE in
    *.whl)
      [ -r "$SOURCE" ] || die "--source $SOURCE: cannot be read" 2
      number=${SOURCE##*/packtap-} number=${number%%-*}
      mark=$(cat "$SOURCE" "$HERE/requirements.lock" | sha256sum) ;;
    *)
      if [ ! -r "$SOURCE/pyproject.toml" ] || [ ! -d "$SOURCE/agent/packtap" ]; then
        die "--source $SOURCE: neither a wheel nor a folder with packtap in it" 2
      fi
      number=$(sed -n 's/^version = "\([0-9A-Za-z.+-]*\)"$/\1/p' "$SOURCE/pyproject.toml")
      mark=$({ cd "$SOURCE"; find agent protocol systemd pyproject.toml -type f ! -name '*.pyc' \
        -exec sha256sum {} + | LC_ALL=C sort; cat "$HERE/requirements.lock"; } | sha256sum) ;;
  esac
  VERSION=$number-$(printf %.8s "$mark")
  VENV=$OPT/versions/$VERSION
}

pip_install() {
  # Raspberry Pi OS's pip.conf names another index; a hash that does not fit is not taken from it.
  if [ -n "$WHEELS" ]; then
    run "$VENV/bin/pip" install -q --disable-pip-version-check --no-cache-dir \
      --no-index --find-links "$WHEELS" "$@"
  else
    run "$VENV/bin/pip" install -q --disable-pip-version-check --no-cache-dir "$@"
  fi
}

build() {
  if [ -e "$VENV/complete" ]; then say "packtap $VERSION is here already."; return; fi
  check_python
  say "Making $VENV ..."
  run rm -rf "$VENV"
  run mkdir -p "$OPT/versions"
  run python3 -m venv "$VENV"
  pip_install --require-hashes -r "$HERE/requirements.lock" || {
    rm -rf "$VENV"
    die "the Python packages could not be installed (see above). Without network: --wheels FOLDER"
  }
  pip_install --no-deps --no-build-isolation "$SOURCE" || {
    rm -rf "$VENV"
    die "packtap itself could not be installed from $SOURCE (see above)"
  }
  units=$SOURCE/systemd
  [ -d "$units" ] || units=$HERE/../systemd
  run cp -r "$units" "$VENV/systemd"
  run touch "$VENV/complete"
}

# A version may run once it starts and understands every configuration that is here.
try_out() {
  [ -z "$DRY" ] || { say "would try: $1/bin/packtap --version; packtap config check"; return 0; }
  "$1/bin/packtap" --version >/dev/null || return 1
  for file in "$ETC"/agent-*.toml "$ETC"/web.toml; do
    [ ! -e "$file" ] || "$1/bin/packtap" config check "$file" || return 1
  done
}

# Let a link name a version, at once.
point() {
  run ln -sfn "$2" "$OPT/$1.new"
  run mv -T "$OPT/$1.new" "$OPT/$1"
}

target_of() { readlink "$OPT/$1" 2>/dev/null || true; }

switch_to() {
  before=$(target_of current)
  [ "$before" = "$1" ] || [ -z "$before" ] || point previous "$before"
  [ "$before" = "$1" ] || point current "$1"
  [ "$(target_of bin)" = current/bin ] || point bin current/bin
  place_units "$OPT/$1/systemd"
}

place_units() {
  run mkdir -p "$UNITS" "$ETC" "$(dirname "$RULES")" "$(dirname "$SYSUSERS")"
  if [ -n "$DRY" ]; then say "would copy the units, the rules and the user from $1"; else
    cp "$1"/packtap-*.service "$UNITS/"
    cp -r "$1/packtap-.service.d" "$UNITS/"
    cp "$1/61-packtap.rules" "$RULES"
    cp "$1/packtap.sysusers" "$SYSUSERS"
  fi
  clock "$1/clock-of-the-kernel.conf"
  live systemd-sysusers packtap.conf
  live systemctl daemon-reload
  # Inside a container there are no devices to ask; a Pi's next boot does it too.
  live udevadm control --reload || say "udev does not answer: the names in /dev/packtap come at the next boot."
  live udevadm trigger --subsystem-match=tty || true
}

# Beside chrony or ntpd the agent must be allowed to ask the kernel about the clock.
clock() {
  [ -z "$ROOT" ] || return 0
  for daemon in chrony chronyd ntp ntpd ntpsec; do
    if systemctl is-enabled -q "$daemon" 2>/dev/null; then
      say "$daemon sets the clock here: the agent may ask the kernel whether it is right."
      run mkdir -p "$(dirname "$DROP_IN")"
      run cp "$1" "$DROP_IN"
      return
    fi
  done
  [ ! -e "$DROP_IN" ] || run rm -f "$DROP_IN"
}

ask() {
  eval "value=\$$1"
  [ -z "$value" ] || return 0
  if [ ! -t 0 ] || [ -n "$DRY" ]; then return 0; fi
  printf '%s [%s]: ' "$2" "$3"
  read -r value
  read_value "$4" "${value:-$3}"
}

questions() {
  ask SITE "Where is the scooter (site)" workshop --site
  [ -n "$ENROL" ] || ask AGENT "Name of this Pi (agent)" "$(hostname | tr 'A-Z.' 'a-z-')" --agent
  [ -n "$ENROL" ] || ask BROKER "Host of the MQTT broker" broker.example.org --broker
  ask BUS "Name of this bus" bay-1 --bus
  ask PORT "Serial port (ls /dev/serial/by-id)" /dev/serial0 --port
  ask MODE "Mode: listen (scooter complete) or bench (pack alone)" listen --mode
}

first_agent() {
  [ -n "$BUS" ] || { set -- "$ETC"/agent-*.toml; [ ! -e "$1" ] || return 0; }
  if [ -n "$BUS" ] && [ -e "$ETC/agent-$BUS.toml" ]; then
    say "$ETC/agent-$BUS.toml is there: left as it is."; return
  fi
  questions
  if [ -z "$SITE" ] || [ -z "$BUS" ] || [ -z "$PORT" ]; then
    say "No agent is configured. Run this again with --site, --bus and --port (and --enrol or --broker)."
    return
  fi
  write_agent
}

write_agent() {
  file=$ETC/agent-$BUS.toml
  if [ -n "$DRY" ]; then say "would write $file, and start packtap-agent@$BUS"; return; fi
  say "Writing $file ..."
  umask 022
  edits=$(mktemp)
  line=bms; [ "${MODE:-listen}" != share ] || line=dash
  {
    printf 's|^site = .*|site = "%s"|\ns|^bus = .*|bus = "%s"|\n' "$SITE" "$BUS"
    printf 's|^#mode = .*|mode = "%s"|\ns|^port = "/dev/.*|port = "%s"|\n' "${MODE:-listen}" "$PORT"
    printf 's|^\\[lines.bms\\]|[lines.%s]|\n' "$line"
    [ -z "$AGENT" ] || printf 's|^agent = .*|agent = "%s"|\n' "$AGENT"
    [ -z "$BROKER" ] || printf 's|^host = .*|host = "%s"|\n' "$BROKER"
    [ -z "$ENROL" ] || enrolled
  } >"$edits"
  "$OPT/bin/packtap" config example agent | sed -f "$edits" >"$file.new"
  rm -f "$edits"
  "$OPT/bin/packtap" config check --kind agent "$file.new" >&2 ||
    { rm -f "$file.new"; die "this is no configuration (see above); nothing was written"; }
  mv "$file.new" "$file"
}

# Take the file of the fleet in; what it prints for the configuration becomes lines of sed.
enrolled() {
  said=$("$OPT/bin/packtap" fleet install "$ENROL" --dir "$ETC/tls" --credstore "$CREDSTORE") ||
    die "the enrolment was not taken in"
  printf '%s\n' "$said" | sed -n '/^Delete /p' >&2
  printf 's|^#\\[mqtt.tls\\]|[mqtt.tls]|\n'
  # The port of the broker, not of a line: a commented number.
  printf '%s\n' "$said" | sed -n \
    -e 's/^port = \([0-9]*\)$/s|^#port = [0-9].*|port = \1|/p' \
    -e 's/^\(agent\|host\) = "\(.*\)"$/s|^\1 = .*|\1 = "\2"|/p' \
    -e 's/^\(ca_file\|cert_file\|key_file\) = "\(.*\)"$/s|^#\1 = .*|\1 = "\2"|/p'
}

first_page() {
  if [ -n "$WEB" ] && [ ! -e "$ETC/web.toml" ]; then
    if [ -n "$DRY" ]; then say "would write $ETC/web.toml"; return; fi
    say "Writing $ETC/web.toml (this machine only: http://127.0.0.1:8090) ..."
    "$OPT/bin/packtap" config example web >"$ETC/web.toml"
  fi
}

our_units() {
  systemctl list-units --plain --no-legend 'packtap-*.service' 2>/dev/null | awk '{print $1}'
}

start_units() {
  [ -z "$ROOT" ] || return 0
  for file in "$ETC"/agent-*.toml; do
    [ -e "$file" ] || continue
    bus=${file##*/agent-} bus=${bus%.toml}
    run systemctl enable -q "packtap-agent@$bus"
    run systemctl start --no-block "packtap-agent@$bus"
  done
  [ -z "$WEB" ] || run systemctl enable -q packtap-web
  [ -z "$WEB" ] || run systemctl start --no-block packtap-web
}

restart_units() {
  [ -z "$ROOT" ] || return 0
  units=$(our_units)
  [ -n "$units" ] || return 0
  for unit in $units; do run systemctl restart --no-block "$unit"; done
}

# Wait until agents and page work; ingest waits for its broker, however long.
wait_for_units() {
  [ -z "$ROOT$DRY" ] || return 0
  for unit in $(our_units | grep -v '^packtap-ingest' || true); do
    left=120
    until systemctl is-active -q "$unit"; do
      left=$((left - 1))
      [ $left -gt 0 ] || die "$unit does not start: journalctl -u $unit. Back: $0 rollback"
      sleep 1
    done
    say "$unit works."
  done
}

tidy() {
  for folder in "$OPT"/versions/*; do
    case versions/${folder##*/} in
      "$(target_of current)"|"$(target_of previous)"|'versions/*') ;;
      *) say "Removing the older ${folder##*/}."; run rm -rf "$folder" ;;
    esac
  done
}

install() {
  identify
  if [ "$ACTION" = upgrade ] && [ -z "$(target_of current)" ]; then
    die "packtap is not installed here: $0 install" 2
  fi
  was=$(target_of current)
  build
  try_out "$VENV" || {
    [ "$was" = "versions/$VERSION" ] || rm -rf "$VENV"
    die "packtap $VERSION does not pass (see above); ${was:-nothing} goes on as it was"
  }
  switch_to "versions/$VERSION"
  if [ "$ACTION" = install ]; then first_agent; first_page; fi
  if [ -n "$UART" ] || [ "$ACTION" = install ]; then uart; fi
  if [ -n "$was" ] && [ "$was" != "versions/$VERSION" ]; then restart_units; fi
  [ "$ACTION" = upgrade ] || start_units
  wait_for_units
  if [ -n "$DRY" ]; then say "Nothing was changed: this was --dry-run."; return; fi
  tidy
  say "packtap $VERSION is what runs. Next: /opt/packtap/bin/packtap doctor --config /etc/packtap/agent-BUS.toml"
}

rollback() {
  back=$(target_of previous)
  [ -n "$back" ] || die "there is no version before: nothing to go back to"
  try_out "$OPT/$back" || die "$back does not pass (see above); $(target_of current) goes on as it was"
  switch_to "$back"
  restart_units
  wait_for_units
  if [ -n "$DRY" ]; then say "Nothing was changed: this was --dry-run."; return; fi
  say "$back is what runs. The one before is kept: rollback again returns to it."
}

uninstall() {
  if [ -z "$ROOT" ]; then
    for unit in $(our_units); do run systemctl disable -q --now "$unit"; done
    for link in "$UNITS"/*.wants/packtap-*.service; do [ ! -h "$link" ] || run rm -f "$link"; done
  fi
  uart_off
  run rm -rf "$OPT" "$UNITS/packtap-.service.d" "$ROOT/run/packtap"
  for file in "$UNITS"/packtap-agent@.service "$UNITS"/packtap-web.service \
    "$UNITS"/packtap-ingest.service "$UNITS"/packtap-ingest@.service "$RULES" "$SYSUSERS" "$DROP_IN"; do
    run rm -f "$file"
  done
  [ ! -d "$(dirname "$DROP_IN")" ] || run rmdir --ignore-fail-on-non-empty "$(dirname "$DROP_IN")"
  live systemctl daemon-reload
  live udevadm control --reload || true
  if [ -n "$PURGE" ]; then purge; else
    say "Kept: $ETC, $STATE, the secrets in $CREDSTORE and the user packtap, whose data it is."
  fi
  if [ -n "$DRY" ]; then say "Nothing was changed: this was --dry-run."; return; fi
  say "packtap is taken away."
}

purge() {
  run rm -rf "$ETC" "$STATE"
  for secret in "$CREDSTORE"/packtap.*; do [ ! -e "$secret" ] || run rm -f "$secret"; done
  [ ! -d "$CREDSTORE" ] || run rmdir --ignore-fail-on-non-empty "$CREDSTORE"
  if [ -z "$ROOT" ] && id packtap >/dev/null 2>&1; then run userdel packtap; fi
  say "Configuration, readings and secrets are gone."
}

boot_folder() {
  for folder in "$ROOT/boot/firmware" "$ROOT/boot"; do
    if [ -e "$folder/config.txt" ]; then printf %s "$folder"; return; fi
  done
}

uart() {
  boot=$(boot_folder)
  if [ -z "$boot" ]; then
    [ "$UART" != yes ] || say "No config.txt: this is no Raspberry Pi; its UART is left alone."
    return 0
  fi
  ! grep -qF "$UART_BEGIN" "$boot/config.txt" || { say "The UART is packtap's already."; return 0; }
  ask UART "Give pins 8 and 10 (UART) to packtap? Bluetooth and the serial console go off" no --uart
  [ "$UART" = yes ] || return 0
  model=$ROOT/proc/device-tree/model
  if [ -r "$model" ]; then model=$(tr -d '\000' <"$model"); else model=''; fi
  case $model in
    *'Pi 5'*|*'Compute Module 5'*) lines='dtoverlay=uart0-pi5' ;;
    *) lines='dtoverlay=disable-bt
enable_uart=1' ;;
  esac
  say "$boot/config.txt (${model:-unknown model}): $(printf '%s' "$lines" | tr '\n' ' ')"
  [ -z "$DRY" ] || return 0
  printf '\n%s\n[all]\n%s\n%s\n' "$UART_BEGIN" "$lines" "$UART_END" >>"$boot/config.txt"
  if [ -e "$boot/cmdline.txt" ] && grep -q 'console=serial0' "$boot/cmdline.txt"; then
    cp "$boot/cmdline.txt" "$boot/cmdline.txt.before-packtap"
    sed -i 's/console=serial0,[0-9]* *//' "$boot/cmdline.txt"
    say "The console is off the UART; cmdline.txt.before-packtap is what it was."
  fi
  say "This counts after a reboot. Pi 5: the port is /dev/ttyAMA0; others: /dev/serial0."
}

uart_off() {
  boot=$(boot_folder)
  if [ -z "$boot" ] || ! grep -qF "$UART_BEGIN" "$boot/config.txt"; then return 0; fi
  say "Taking packtap's lines out of $boot/config.txt"
  [ -z "$DRY" ] || return 0
  # With the empty line that stands before them.
  awk -v b="$UART_BEGIN" -v e="$UART_END" '
    $0 == b { inside = 1; held = 0; next }
    $0 == e { inside = 0; next }
    inside { next }
    held { print ""; held = 0 }
    $0 == "" { if (held) print ""; held = 1; next }
    { print }
    END { if (held) print "" }' "$boot/config.txt" >"$boot/config.txt.new"
  mv "$boot/config.txt.new" "$boot/config.txt"
  kept=$boot/cmdline.txt.before-packtap
  [ -e "$kept" ] || return 0
  if [ "$(sed 's/console=serial0,[0-9]* *//' "$kept")" = "$(cat "$boot/cmdline.txt")" ]; then
    mv "$kept" "$boot/cmdline.txt"
  else
    say "cmdline.txt was changed by others since; $kept is what it was before packtap."
  fi
}

read_arguments "$@"
places
check_host
case $ACTION in
  install|upgrade) install ;;
  *) "$ACTION" ;;
esac
