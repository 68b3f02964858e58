"""What a paper cites, in the order in which its text does, as a numbered list and as BibTeX."""

from __future__ import annotations

import re
import unicodedata

from bmz_export.package.about import citation_of

SOFTWARE = {
    "bmz-fmd": "The bmz-fmd authors: bmz-fmd: fine-tuned fluorescence denoisers as model packages with proof. "
    "Software.",
    "torch": "J. Ansel, E. Yang, H. He, et al.: PyTorch 2: Faster Machine Learning Through Dynamic Python Bytecode "
    "Transformation and Graph Compilation. ASPLOS 2024. doi:10.1145/3620665.3640366",
    "lightning": "W. Falcon, The PyTorch Lightning team: PyTorch Lightning. Software, 2019. doi:10.5281/zenodo.3828935",
    "numpy": "C. R. Harris, K. J. Millman, S. J. van der Walt, et al.: Array programming with NumPy. Nature 585, 2020. "
    "doi:10.1038/s41586-020-2649-2",
    "scikit-image": "S. van der Walt, J. L. Schönberger, J. Nunez-Iglesias, et al.: scikit-image: image processing in "
    "Python. PeerJ 2, 2014. doi:10.7717/peerj.453",
    "tifffile": "C. Gohlke: tifffile. Software, 2022. doi:10.5281/zenodo.6795860",
}
"""Of the packages whose versions a run records."""

PACKAGES = (
    "W. Ouyang, F. Beuttenmueller, E. Gómez-de-Mariscal, et al.: BioImage Model Zoo: A Community-Driven Resource for "
    "Accessible Deep Learning in BioImage Analysis. bioRxiv, 2022. doi:10.1101/2022.06.07.495102"
)
"""Of what packages are and what reads them, bioimageio.core."""

CHECKLIST = (
    "C. Schmied, M. S. Nelson, S. Avilov, et al.: Community-developed checklists for publishing images and image "
    "analyses. Nature Methods 21, 2024. doi:10.1038/s41592-023-01987-9"
)
ADAM = "D. P. Kingma, J. Ba: Adam: A Method for Stochastic Optimization. ICLR 2015. doi:10.48550/arXiv.1412.6980"
SSIM = (
    "Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: Image quality assessment: from error visibility to "
    "structural similarity. IEEE Transactions on Image Processing 13(4), 2004. doi:10.1109/TIP.2003.819861"
)
ANSCOMBE = (
    "M. Mäkitalo, A. Foi: Optimal Inversion of the Generalized Anscombe Transformation for Poisson-Gaussian Noise. "
    "IEEE Transactions on Image Processing 22(1), 2013. doi:10.1109/TIP.2012.2202675"
)

_BY_INITIALS = re.compile(r"(?P<authors>(?:[A-Z][\w.-]*\. |The )[^:]*?): (?P<title>.+?)\. (?P<where>.+)")
_BY_SURNAMES = re.compile(r"(?P<authors>[^.:]+ [A-Z]{1,3}(?:, et al)?)\. (?P<title>.+?)\. (?P<where>.+)")
_SURNAME_FIRST = re.compile(r"(.+) ([A-Z]{1,3})")
_YEAR = re.compile(r"(?<![:.\d-])(?:19|20)\d{2}\b(?![.-]\d)")  # no number of arXiv, no pages
_SPECIAL = re.compile(r"([&%$#_])")


class References:
    """Numbers each text when it is first called with it.

    Examples
    --------
    >>> cite = References()
    >>> cite("A. B: One. There 2001.", "C. D: Two. There 2002."), cite("A. B: One. There 2001."), cite()
    (' [1, 2]', ' [1]', '')
    """

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __call__(self, *texts: str | None) -> str:
        """Return a blank and the numbers in brackets; nothing for no text."""
        numbers = []
        for text in filter(None, texts):
            if text not in self._texts:
                self._texts.append(text)
            numbers.append(self._texts.index(text) + 1)
        return f" [{', '.join(map(str, numbers))}]" if numbers else ""

    def listed(self) -> list[str]:
        """Return a line each, with the address at the end."""
        return [_line(text) for text in self._texts]

    def bibtex(self) -> str:
        """Return an entry each, with keys that are all different."""
        entries: dict[str, str] = {}
        for text in self._texts:
            fields = _fields(text)
            stem = _key(fields)
            key = next(key for key in (stem, *(f"{stem}{letter}" for letter in "bcdefghijk")) if key not in entries)
            lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
            entries[key] = f"@misc{{{key},\n{lines}}}\n"
        return "\n".join(entries.values())


def _line(text: str) -> str:
    entry = citation_of(text)
    return text if entry is None else f"{entry['text']}. https://doi.org/{entry['doi']}"


def _fields(text: str) -> dict[str, str]:
    """Return the fields of an entry; of a text that is in no known order, all of it as the title."""
    entry = citation_of(text) or {"text": text}
    words = entry["text"]
    found = _BY_INITIALS.fullmatch(words) or _BY_SURNAMES.fullmatch(words)
    if found is None:
        fields = {"title": f"{{{_safe(words)}}}"}
    else:
        fields = {
            "author": _authors(found["authors"]),
            "title": f"{{{_safe(found['title'])}}}",
            "howpublished": _safe(found["where"].rstrip(".")),
        }
    if years := _YEAR.findall(words):
        fields["year"] = years[-1]
    return fields | ({"doi": entry["doi"]} if "doi" in entry else {})


def _authors(names: str) -> str:
    """Return names as BibTeX separates them; a group, which begins with "The", stays whole."""
    several = [name.strip() for name in names.split(",")]
    if several[-1] in ("et al.", "et al"):
        several[-1] = "others"
    turned = []
    for name in several:
        surname = _SURNAME_FIRST.fullmatch(name)
        group = name.startswith("The ")
        turned.append(
            f"{{{_safe(name)}}}"
            if group
            else f"{surname[1]}, {' '.join(f'{c}.' for c in surname[2])}"
            if surname
            else name
        )
    return " and ".join(turned)


def _key(fields: dict[str, str]) -> str:
    """Return the first author's surname, or the title's first word, and the year."""
    first = fields.get("author", "{The").split(" and ")[0]
    if first.startswith("{The"):
        surname = fields["title"].split()[0]
    else:
        surname = first.split(",")[0] if "," in first else first.split()[-1]
    plain = unicodedata.normalize("NFKD", surname).encode("ascii", "ignore").decode()
    return (re.sub(r"\W", "", plain).lower() or "reference") + fields.get("year", "")


def _safe(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
