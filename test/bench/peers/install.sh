#!/usr/bin/env bash
# Puts the servers that the benchmark measures beside Gearmesh into build/peers of this checkout: packages of Debian are
# unpacked there, not installed, so that no service of theirs starts and nothing else of the system changes. What is
# installed already is taken from the system. NATS is built from its Go module, because Debian's release is older than
# `sync_interval: always`; without Go or its modules Debian's is taken. Says at the end what there is.
set -uo pipefail
cd "$(dirname "$0")/../../.."
target=$PWD/build/peers
nats=v2.15.2
mkdir -p "$target/packages" "$target/bin"

if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
  # The lists of a fresh image are empty. Without root, those that are there have to do.
  [ "$(id -u)" -ne 0 ] || apt-get update -qq || true
  rm -rf "$target/root" "$target/packages"/*.deb
  mkdir -p "$target/root"
  for package in beanstalkd redis-server rabbitmq-server nats-server gearman-job-server; do
    # What the package needs and is not here, without what only its service or its upgrades use.
    needed=$(apt-get install --simulate --no-install-recommends "$package" 2>/dev/null |
      sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep -vxE 'logrotate|libpopt0|adduser|lsb-base|socat')
    [ -n "$needed" ] || continue
    # shellcheck disable=SC2086
    (cd "$target/packages" && apt-get download -qq $needed 2>/dev/null) || echo "$package: cannot be fetched" >&2
  done
  for file in "$target/packages"/*.deb; do
    [ -e "$file" ] && dpkg -x "$file" "$target/root"
  done
  rm -f "$target/packages"/*.deb
else
  echo 'no apt-get: only what is installed already is measured' >&2
fi
rmdir "$target/packages" 2>/dev/null

# Erlang's start script knows only the folder that the package is made for.
if [ -x "$target/root/usr/lib/erlang/bin/erl" ]; then
  cat >"$target/bin/erl" <<'ERL'
#!/bin/sh
ROOTDIR=$(cd "$(dirname "$0")/../root/usr/lib/erlang" && pwd)
for BINDIR in "$ROOTDIR"/erts-*/bin; do :; done
EMU=beam
PROGNAME=erl
export ROOTDIR BINDIR EMU PROGNAME
exec "$BINDIR/erlexec" "$@"
ERL
  chmod 755 "$target/bin/erl"
fi

if ! "$target/bin/nats-server" --version 2>/dev/null | grep -qF "$nats"; then
  if command -v go >/dev/null; then
    GOBIN=$target/bin go install -trimpath "github.com/nats-io/nats-server/v2@$nats" ||
      echo "nats-server $nats: cannot be built" >&2
  else
    echo "nats-server $nats: no Go to build it with" >&2
  fi
fi

for program in gearmand beanstalkd redis-server rabbitmq-server nats-server; do
  found=
  for folder in "$target/bin" "$target/root"/usr/{lib/rabbitmq/bin,bin,sbin} /usr/{local/,}{bin,sbin}; do
    [ -x "$folder/$program" ] && found=$folder/$program && break
  done
  echo "$program: ${found:-not here}"
done
