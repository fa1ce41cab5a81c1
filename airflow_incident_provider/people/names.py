"""How names are made comparable, without ever making two different people equal by guesswork."""

from __future__ import annotations

import re
import unicodedata

_LETTERS_WITHOUT_DECOMPOSITION = {
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "\N{LATIN SMALL LETTER DOTLESS I}": "i",
}
"""Letters that Unicode does not take apart into a base letter and an accent (after casefold)."""

_SPELT_OUT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "Å": "Aa", "Ø": "Oe"}
)
"""What people write who have no umlauts on their keyboard, besides leaving the dots away."""

_FIRST_ACCENT, _LAST_ACCENT = 0x0300, 0x036F
_DIGITS = re.compile(r"\d+")


def _fold_character(character: str) -> str:
    """Return what one character of a fully decomposed, casefolded name counts as."""
    if _FIRST_ACCENT <= ord(character) <= _LAST_ACCENT:
        return ""
    if character in _LETTERS_WITHOUT_DECOMPOSITION:
        return _LETTERS_WITHOUT_DECOMPOSITION[character]
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width and bidirectional controls: nobody sees them, so nobody is told apart by them
        return ""
    # Vowel signs and voicing marks outside the accents block carry meaning: が is not か.
    return character if character.isalnum() or category.startswith("M") else " "


class _Folding(dict[int, str]):
    """A table for ``str.translate`` that learns each code point when it first meets it."""

    def __missing__(self, code_point: int) -> str:
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(code_point)).casefold())
        folded = self[code_point] = "".join(map(_fold_character, decomposed))
        return folded


_FOLDING = _Folding()


def fold(name: str) -> str:
    """Return a name without case, accents, punctuation and invisible characters; words parted by one space."""
    return " ".join(name.translate(_FOLDING).split())


def keys(name: str) -> tuple[str, ...]:
    """Return the forms under which a name is found: folded, and folded with umlauts spelt out.

    "Smith, John" is read as "John Smith". The result is empty when nothing is left to compare.
    """
    if not name:  # every third name in a directory: people leave the display name out
        return ()
    if "," in name:
        name = _given_name_first(name)
    folded = fold(name)
    if name.isascii():
        return (folded,) if folded else ()
    spelt_out = fold(unicodedata.normalize("NFC", name).translate(_SPELT_OUT))
    return tuple(dict.fromkeys(form for form in (folded, spelt_out) if form))


def in_word_order(key: str) -> str:
    """Return a key with its words in alphabetical order: "jon smith" and "smith jon" become the same."""
    words = key.split(" ")
    return key if len(words) == 1 else " ".join(sorted(words))


def _given_name_first(name: str) -> str:
    before, _, after = name.partition(",")
    return f"{after} {before}" if before.strip() and after.strip() and "," not in after else name


def scripts(key: str) -> frozenset[str]:
    """Return the writing systems of a key's letters, as Unicode names them (``LATIN``, ``CYRILLIC``...)."""
    return frozenset(unicodedata.name(letter, "UNKNOWN").split()[0] for letter in key if letter.isalpha())


def numbers(key: str) -> list[str]:
    """Return the numbers in a key, in order: "jon smith 2" and "jon smith 3" are never a typo apart."""
    return _DIGITS.findall(key)
