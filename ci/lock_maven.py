"""Write ``bmz_export/engines/locks/maven.json``: every jar of the Java engines with its hash, for every platform.

Run it after changing a version below: ``python ci/lock_maven.py``. It resolves what DJL requires and fetches every jar
once (about 2 GB), through the Maven settings of this machine.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bmz_export.engines.maven import LOCK, context

PLATFORMS = ("linux-x86_64", "win-x86_64", "osx-x86_64", "osx-aarch64")
DJL = {"1.13.1": "0.22.0", "2.0.0": "0.22.1", "2.5.1": "0.32.0", "2.7.1": "0.35.0"}
NO_LIBRARY = {("2.5.1", "osx-x86_64"), ("2.7.1", "osx-x86_64")}  # libtorch ended its Intel builds for macOS with 2.2
ONNXRUNTIME = "1.12.1"
LOGGER = "org.slf4j:slf4j-nop:{version}"  # DJL logs through slf4j and complains on stderr where no logger is there


def main() -> None:
    """Resolve, fetch, hash, write."""
    lock = {}
    with tempfile.TemporaryDirectory() as folder:
        maven = context(Path(folder))
        for torch, djl in DJL.items():
            jars = _closure(maven, [f"ai.djl:api:{djl}", f"ai.djl.pytorch:pytorch-engine:{djl}"])
            jars.append(f"ai.djl.pytorch:pytorch-jni:{torch}-{djl}")
            (api,) = [jar for jar in jars if jar.startswith("org.slf4j:slf4j-api:")]
            jars.append(LOGGER.format(version=api.rsplit(":", 1)[1]))
            native = {
                platform: f"ai.djl.pytorch:pytorch-native-cpu:{torch}:{platform}"
                for platform in PLATFORMS
                if (torch, platform) not in NO_LIBRARY
            }
            lock[f"libtorch-{torch}"] = {
                "any": [_locked(maven, jar) for jar in sorted(jars)],
                **{platform: [_locked(maven, jar)] for platform, jar in native.items()},
            }
        jar = f"com.microsoft.onnxruntime:onnxruntime:{ONNXRUNTIME}"
        one = [_locked(maven, jar)]
        lock[f"onnxruntime-java-{ONNXRUNTIME}"] = {"any": one, **{platform: [] for platform in PLATFORMS}}
    LOCK.parent.mkdir(exist_ok=True)
    LOCK.write_text(json.dumps(lock, indent=1) + "\n")


def _closure(maven: Any, roots: list[str]) -> list[str]:
    """Return the roots and all that they require at run time."""
    wanted = [maven.create_dependency(root) for root in roots]
    direct, more = maven.resolver.resolve(wanted)
    return sorted({f"{each.groupId}:{each.artifactId}:{each.version}" for each in (*direct, *more)})


def _locked(maven: Any, coordinate: str) -> dict[str, object]:
    group, artifact, version, *classifier = coordinate.split(":")
    path = maven.project(group, artifact).at_version(version).artifact(classifier="".join(classifier)).resolve()
    data = path.read_bytes()
    print(coordinate, len(data), file=sys.stderr)
    path.unlink()
    return {"jar": coordinate, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


if __name__ == "__main__":
    main()
