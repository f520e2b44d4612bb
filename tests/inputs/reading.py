"""Comparison of what was said with what may be said.

The comparison is lenient: case, punctuation, hyphens, blanks and "and" do not count.
"""

import re
import unicodedata

SAME = {"o": "zero", "oh": "zero", "missus": "mrs", "misses": "mrs", "mister": "mr", "saint": "st", "doctor": "dr",
        "negative": "minus"}


def plain(text):
    """Reduces a reading to its letters; two readings that sound alike are equal."""
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'").replace("'", "")
    words = re.sub(r"[^\w]+", " ", text.replace("_", " ")).split()
    return "".join(SAME.get(word, word) for word in words if word != "and")


def words(text):
    """Lists the words of a text in small letters, with one blank between them."""
    return " ".join(re.sub(r"[^\w']+", " ", text.lower().replace("’", "'").replace("_", " ")).split())


def is_accepted(said, case):
    """Tells whether what was said is one of the accepted readings."""
    return plain(said) in {plain(reading) for reading in case["accepted"]}


def leftovers(said):
    """Lists the signs, digits and control codes that are left in what is said. The comparison ignores most of them."""
    return [c for c in said if unicodedata.category(c)[0] in "SCN" and c not in "\n\t"]


def false_words(said, case):
    """Returns the first of a case's false readings that was said, or None."""
    said = words(said)
    return next((false for false in case.get("false", []) if re.search(rf"\b(?:{false})\b", said)), None)
