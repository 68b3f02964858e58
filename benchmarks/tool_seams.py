"""What each tool's user sees at seams and edges, for packages that exist, as Markdown.

    python benchmarks/tool_seams.py packages/demo.zip packages/w2s-1.zip packages/drunet

Largest difference to the whole image as a part of the output's range, by torch on TorchScript. Beside the tools' ways
as they are stands that of the script that packages brought for QuPath at first: QuPath's own cutting, with the halo as
padding.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from bmz_export.checking.check import check
from bmz_export.checking.report import figure_of
from bmz_export.checking.runner import CheckOptions
from bmz_export.tools import TOOLS, ToolTiling, register
from bmz_export.tools.tiling import TILE, blocks

EARLIER = ToolTiling("the earlier script, 512 tiles cut by QuPath", blocks(lambda _: TILE, "edge"), recommended=False)


def main() -> None:
    """Print a table a package."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("packages", nargs="+", type=Path)
    for package in arguments.parse_args().packages:
        with register(replace(TOOLS["qupath"], name="earlier", title="QuPath until 0.1", tilings=(EARLIER,))):
            found = check(package, CheckOptions(engines=("torch",), tiles=True, timeout=3600))
        print(f"\n{package.name}, {found.tiles[0].image[1]} x {found.tiles[0].image[0]} pixels", end="\n\n")
        print("| tool | inside | seams | edge | last blocks |\n|---|---|---|---|---|")
        for row in found.tiles:
            parts = map(figure_of, (row.interior, row.seam, row.edge, row.cut))
            print(f"| {row.tool}: {row.way} | {' | '.join(parts)} |")
        if found.seam:
            print(f"\nSeam with the declared halo of {found.seam.halo}: {figure_of(found.seam.difference)}", flush=True)


if __name__ == "__main__":
    main()
