"""What the names of files and cases say: slice, sequence, mask, patient and site."""

import re

from .config import CHANNELS, FLAIR

SLICE = re.compile(r"(?P<case>.*?)[_\-. ]?(?P<number>\d{1,4})(?P<mask>_mask)?\.tiff?", re.IGNORECASE)
STACK = re.compile(r"(?P<case>.+?)(?P<mask>_mask)?(\.ome)?\.tiff?", re.IGNORECASE)
NIFTI = re.compile(r"(?P<case>.+?)\.nii(\.gz)?", re.IGNORECASE)
MASK = re.compile(r"_mask$", re.IGNORECASE)

_MASKS = "mask|seg|label|segmentation"
_SEQUENCES = {
    "mask": rf"{_MASKS}|tumou?r(?=[\W_]*(?:{_MASKS})?$)",
    FLAIR: "flair|t2f",
    "other": "t2|t2w|adc|dwi|dti|swi|asl",
    CHANNELS[2]: r"post|t1ce|t1gd|t1gad|t1c|gd|ce-[^\W_]+",
    CHANNELS[0]: "pre|t1|t1w|t1n",
}
"""Words in NIfTI file names; where a name has several, the first kind in this order wins (t1_post is post-contrast)."""

_WORD = r"(?<![^\W_])(?<!sub-)(?<!ses-)(?:{})(?![^\W_])"
"""A word by itself; that after BIDS's ``ses-`` tells a visit, which may be one after an operation."""

_KINDS = {kind: re.compile(_WORD.format(words), re.IGNORECASE) for kind, words in _SEQUENCES.items()}
_ANY = re.compile(rf"[_\-. ]*[(\[]?{_WORD.format('|'.join(_SEQUENCES.values()))}[)\]]?", re.IGNORECASE)

_NAMESAKE = re.compile(r"( \(\d+\))+$")
"""What is added to the name of a second case of one name: for all we know it is the same patient."""
_TCGA = re.compile(r"TCGA[-_]([^-_. ]+)[-_]([^-_. ]+)")
_BIDS = re.compile(r"sub(?:-|_(?=[a-zA-Z0-9]+(?:_ses_|$)))([a-zA-Z0-9]+)(?=[_.]|$)")
"""Models that were trained before hyphens were kept know ``sub-01_ses-2`` as ``sub_01_ses_2``."""
_BRATS = re.compile(r"BraTS-[A-Z]+-\d+(?=-\d{3}$)")


def read_sequence(name: str) -> tuple[str, str]:
    """Split the name of a NIfTI file, without its suffix, into what all files of its case share and what it holds.

    Returns
    -------
    stem : str
        The name without the words that tell what the file holds; empty where there is nothing else.
    kind : str
        One of `CHANNELS`, "mask", "other" for a sequence that is not used, or empty where the name does not say it.
    """
    kind = next((kind for kind, words in _KINDS.items() if words.search(name)), "")
    return _ANY.sub("", name).strip("_-. "), kind


def patient_of(name: str) -> str:
    """Whom a case of this name belongs to: see `Case.patient`."""
    name = _NAMESAKE.sub("", name)
    if tcga := _TCGA.match(name):
        return f"TCGA_{tcga[1]}_{tcga[2]}"
    if bids := _BIDS.match(name):
        return f"sub-{bids[1]}"
    return brats[0] if (brats := _BRATS.match(name)) else name


def site_of(name: str) -> str:
    """Where a case of this name comes from: see `Case.site`."""
    return tcga[1] if (tcga := _TCGA.match(name)) else ""
