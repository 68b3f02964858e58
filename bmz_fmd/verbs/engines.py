"""``bmz-fmd engines``: what runs a package here, and what installs it."""

import typer

app = typer.Typer(help="List, install and remove the engines that the tools run on.")
