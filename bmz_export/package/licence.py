"""Which licence a package may carry: that of the checkpoint it began from binds what became of it."""

from dataclasses import dataclass, replace

from bmz_export.package.templates import fill
from training.checkpoints import Origin
from training.errors import PackageError

LICENCE = "LICENSE"
_UNSTATED = "not stated: ask whoever made the file before you publish anything made of it"
_PERMISSIVE = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "ISC", "MIT", "Unlicense", "Zlib"}
)  # what comes under one of these may go on under another licence, its notice kept


@dataclass(frozen=True)
class Licence:
    """What a package says of its licence.

    Attributes
    ----------
    spdx : str or None
        The ``license`` field of the description; None leaves it out.
    text : str or None
        A ``LICENSE`` file, where words are needed.
    line : str
        For the README.
    missing : bool
        Whether the author must choose one before publishing.
    """

    spdx: str | None
    text: str | None
    line: str
    missing: bool = False


def decide_licence(asked: str | None, checkpoint: Origin | None) -> Licence:
    """Return the package's licence from what the author asks for and what the checkpoint allows.

    Parameters
    ----------
    asked : str or None
        SPDX identifier.
    checkpoint : Origin or None
        Where the weights began; None when they began from random numbers.

    Raises
    ------
    UserError
        When the author asks for a licence that the checkpoint's does not allow. Where nobody stated the checkpoint's
        (a file of unknown origin), it is the author's to state.
    """
    if checkpoint is None:
        if asked is None:
            return Licence(
                None, None, "No licence was chosen yet: nobody may use this model before one is.", missing=True
            )
        return Licence(asked, None, f"Licence: {asked}.")
    began = f"the weights began from {checkpoint.name} ({checkpoint.source})"
    if checkpoint.licence is None:
        if asked is not None:
            return Licence(asked, None, f"Licence: {asked}, as the author of this package states; {began}.")
        unstated = replace(checkpoint, licence=_UNSTATED)
        line = f"Licence: none yet; {began}, whose licence nobody stated. See the file {LICENCE}."
        return Licence(None, fill("LICENSE.j2", checkpoint=unstated), line, missing=True)
    if checkpoint.spdx is None:
        if asked is not None:
            raise PackageError(
                f"`license` {asked}: {began}, whose licence binds this model too: {checkpoint.licence}; "
                "leave `license` out"
            )
        line = (
            f"Licence: {began} and stay under its licence, which has no SPDX identifier: {checkpoint.licence}. "
            f"See the file {LICENCE}. QuPath's import window refuses a description without a licence field; "
            "the script in this package runs all the same."
        )
        return Licence(None, fill("LICENSE.j2", checkpoint=checkpoint), line)
    if asked not in (None, checkpoint.spdx) and checkpoint.spdx not in _PERMISSIVE:
        raise PackageError(
            f"`license` {asked}: {began} under {checkpoint.spdx}, which binds this model too; "
            f"leave `license` out or give {checkpoint.spdx}"
        )
    spdx = asked or checkpoint.spdx
    return Licence(spdx, None, f"Licence: {spdx}; {began}, licence {checkpoint.spdx}.")
