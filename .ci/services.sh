# shellcheck shell=bash
# What the tests' servers need: Debian packages, and the OpenTelemetry Collector built with its own builder.
# Sourced by .ci/run; or on its own: `. .ci/services.sh && install_debian_packages && build_collector`.

ci_folder=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

# Where the collector is kept between runs. tests/services.py looks in the same place.
timetracer_cache() {
  # With HOME unset, ~ is what the password database says, as in Python.
  local home=~
  printf '%s\n' "${TIMETRACER_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/timetracer}"
}

# Try a command some times, waiting longer each time: package mirrors fail now and then.
with_retries() {
  local attempt
  for attempt in 1 2 3; do
    "$@" && return 0
    echo "attempt $attempt failed: $*" >&2
    [ "$attempt" = 3 ] || sleep $((attempt * 5))
  done
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

debian_packages=(redis-server postgresql)

install_debian_packages() {
  local package missing=()
  for package in "${debian_packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ "${#missing[@]}" = 0 ]; then
    echo "already installed: ${debian_packages[*]}"
    return 0
  fi
  # Packages start their daemons on install; a policy that says no keeps the well-known ports free. A policy that is
  # already there belongs to the machine and stays.
  local policy=/usr/sbin/policy-rc.d made_policy='' status=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    made_policy=yes
  fi
  with_retries as_root apt-get -qq -o Acquire::Retries=3 update </dev/null || status=$?
  if [ "$status" = 0 ]; then
    with_retries as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
      -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}" </dev/null >/dev/null || status=$?
  fi
  if [ -n "$made_policy" ]; then as_root rm -f "$policy"; fi
  return "$status"
}

# Print the path of the collector that this checkout's builder-config.yaml makes, whether it is built or not.
collector_path() {
  local key
  key=$(sha256sum "$ci_folder/collector/builder-config.yaml" | cut -c1-16)
  printf '%s/otelcol-%s\n' "$(timetracer_cache)" "$key"
}

# Build the collector unless a build of the same configuration is cached. Prints progress only.
build_collector() {
  local config="$ci_folder/collector/builder-config.yaml" target work version status=0
  target=$(collector_path)
  if [ -x "$target" ]; then
    echo "cached: ${target##*/}"
    return 0
  fi
  command -v go >/dev/null || { echo "go is needed to build the collector" >&2; return 1; }
  version=$(sed -n 's/^ *version: *//p' "$config")
  mkdir -p "$(dirname "$target")"
  work=$(mktemp -d)
  sed "s|^dist:|dist:\n  output_path: $work/build|" "$config" >"$work/config.yaml"
  (
    export CGO_ENABLED=0 GOFLAGS="-buildvcs=false" GOWORK=off
    cd "$work" &&
      with_retries nice -n 10 go run "go.opentelemetry.io/collector/cmd/builder@v$version" \
        --config config.yaml --ldflags="-s -w"
  ) </dev/null || status=$?
  # Renamed into place, so that a run cut short never leaves half a binary under the final name.
  if [ "$status" = 0 ]; then
    mv "$work/build/otelcol-timetracer" "$target.$$" && mv -f "$target.$$" "$target" || status=$?
  fi
  rm -rf "$work"
  if [ "$status" = 0 ]; then echo "built: ${target##*/}"; fi
  return "$status"
}
