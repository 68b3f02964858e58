#!/usr/bin/env bash
# Install every engine that the tests run, as a user would, and what the browser's needs from the system.
# Usage: ci/install_engines.sh [path of bmz-fmd]
set -euo pipefail
bmz_fmd=${1:-bmz-fmd}

wanted=()
command -v npm >/dev/null || wanted+=(npm)
for browser in chromium chromium-browser google-chrome google-chrome-stable chrome; do
  if command -v "$browser" >/dev/null; then found=yes; fi
done
[ -n "${found:-}" ] || wanted+=(chromium)

if [ ${#wanted[@]} -gt 0 ]; then
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
fi

"$bmz_fmd" engines install all
"$bmz_fmd" engines
