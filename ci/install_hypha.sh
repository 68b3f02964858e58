#!/usr/bin/env bash
# Make the environment of the server that the tests of upload start on this machine: Hypha, and moto for its S3.
# Usage: ci/install_hypha.sh; the folder is $BMZ_FMD_HYPHA, or hypha in the cache of bmz-fmd.
set -euo pipefail
cd "$(dirname "$0")"
folder=${BMZ_FMD_HYPHA:-${BMZ_FMD_CACHE:-$HOME/.cache/bmz-fmd}/hypha}

# hypha.txt: hypha[s3]==0.21.137 with moto[s3,server], sqlmodel<0.0.30, sqlalchemy<2.1 and pydantic<2.14, resolved by
# uv pip compile --universal --python-version 3.11; without ssl, which is for Python 2, so nothing is resolved here.
if ! cmp -s hypha.txt "$folder/installed.txt"; then
  python3 -m venv --clear "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
  "$folder/bin/uv" pip install --quiet --python "$folder/bin/python" --no-deps -r hypha.txt
  cp hypha.txt "$folder/installed.txt"
fi
echo "Hypha in $folder"
