"""What went wrong, as a sentence."""

from ..core.words import plain


def as_sentence(words: object) -> str:
    """Words with a full stop and a capital letter, unless they begin with what may be the name of a file."""
    text = plain(words).strip()
    if not text:
        return ""
    if text.split()[0].rstrip(",:;.").isalpha():
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."
