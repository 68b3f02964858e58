#!/usr/bin/env bash
# Make the environment of CAREamics, whose pins do not go with this project's, for the baselines careamics-n2v and -care.
# Usage: ci/install_careamics.sh; the folder is $BMZ_FMD_CAREAMICS, or careamics in the cache of bmz-fmd.
set -euo pipefail
folder=${BMZ_FMD_CAREAMICS:-${BMZ_FMD_CACHE:-$HOME/.cache/bmz-fmd}/careamics}
version=0.3.5

if [ ! -e "$folder/installed-$version" ]; then
  python3 -m venv --clear "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check "careamics==$version"
  touch "$folder/installed-$version"
fi
echo "CAREamics in $folder"
