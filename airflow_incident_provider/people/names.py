"""Make names comparable: which spellings are the same name, and which are only similar.

Two names are the same only if they have the same letters in the same order, apart from case, punctuation, spaces
in scripts that do not separate words, and accents (in Arabic and Hebrew, vowel points) that one of the two leaves
out altogether. Everything else
(another word order, a particle more or less, a transliteration, a typing error) makes them similar, never the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

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
"""Letters that Unicode does not decompose into a base letter and an accent (after casefold)."""

_LETTERS_WITH_DECOMPOSITION = frozenset("йїўѓќ")
"""Letters that Unicode decomposes although they are no accented ones: Юлий is not Юлии."""

_SPELT_OUT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "Å": "Aa", "Ø": "Oe"}
)
"""How people without umlauts on their keyboard write them, if they do not leave the dots away."""

_APOSTROPHES = frozenset("'\u2019\u2018`\u00b4\u02bb\u02bc\u02b9\u02be\u02bf\uff07")
_FIRST_ACCENT, _LAST_ACCENT = 0x0300, 0x036F
_VOWEL_POINTS = frozenset({*range(0x0591, 0x05C8), *range(0x064B, 0x0653), 0x0640, 0x0670})
"""Hebrew and Arabic points, which everyday writing leaves out, and the stroke that only lengthens a word."""

_INVISIBLE = frozenset({0x115F, 0x1160, 0x17B4, 0x17B5, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)})
"""Fillers and variation selectors: without a glyph, though Unicode counts them as letters and marks."""

_UNSEPARATED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "IDEOGRAPHIC")
"""Scripts in which a full name is written with or without a space, as Unicode names their characters."""

_USERNAME_PUNCTUATION = re.compile(r"[._-]")
_PLAIN_NAME = re.compile(r"[\w\s.'\u2019-]*")
_EMOJI_CODE = re.compile(r":[\w+-]+:")
_BRACKETED = re.compile(r'\([^()]*\)|"[^"]*"')
_PRONOUNS = re.compile(r"(?<!\S)[^\W\d_]{1,5}(?:/[^\W\d_]{1,5})+(?!\S)")
_DASHES = r"[-\u00b7\u2010-\u2015\u2212\u30fb]+"
_SPACED_DASH = re.compile(rf"(?<=\s){_DASHES}|{_DASHES}(?=\s)|-{{2,}}")
_WITHIN_NAMES = frozenset(".,-_\u00b7\u05be\u05f3\u05f4\u30fb\uff65\u2010\u2011\u2012\u2013\u2212")
"""Punctuation that is part of a name, between its letters; dashes with a space beside them are not."""
_ABJADS = frozenset({"ARABIC", "HEBREW"})
_KOREAN_FAMILY_NAMES = {
    "박": "park", "이": "lee", "최": "choi", "정": "jung", "강": "kang", "조": "cho", "윤": "yoon", "임": "lim",
    "오": "oh", "신": "shin", "권": "kwon", "유": "yoo", "류": "ryu", "노": "roh", "구": "koo", "우": "woo",
}  # fmt: skip
"""Family names as most people write them, where no transliteration does."""

_VOWELS = re.compile(r"[aeiouwy'`@]+")
_VOICED = str.maketrans("bdgvzcq", "ptkfskk")
"""Letters that transliterations use for one another."""
_DOUBLED = re.compile(r"(.)\1+")


def _fold_character(character: str) -> str:
    """Return what one character of a fully decomposed, casefolded name counts as."""
    if _FIRST_ACCENT <= ord(character) <= _LAST_ACCENT or ord(character) in _VOWEL_POINTS | _INVISIBLE:
        return ""
    if character in _LETTERS_WITHOUT_DECOMPOSITION:
        return _LETTERS_WITHOUT_DECOMPOSITION[character]
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width and bidirectional controls: invisible, so they distinguish no one
        return ""
    if character in _APOSTROPHES:
        return " "
    # Vowel signs and voicing marks outside the accents block carry meaning: が is not か.
    return character if character.isalnum() or category.startswith("M") else " "


class _Folding(dict[int, str]):
    """A table for ``str.translate`` that is filled as code points are met."""

    def __missing__(self, code_point: int) -> str:
        if (letter := chr(code_point).casefold()) in _LETTERS_WITH_DECOMPOSITION:
            self[code_point] = letter
            return letter
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(code_point)).casefold())
        folded = self[code_point] = "".join(map(_fold_character, decomposed))
        return folded


_FOLDING = _Folding()


def fold(name: str) -> str:
    """Return a name without case, accents, punctuation and invisible characters; words separated by one space."""
    composed = name if name.isascii() else unicodedata.normalize("NFC", name)
    return " ".join(composed.translate(_FOLDING).split())


def keys(name: str) -> tuple[str, ...]:
    """Return the forms under which a name is looked up: folded, and folded with umlauts spelt out.

    "Smith, John" is read as "John Smith", "O'Brien" also as "OBrien", and a name in a script without word
    separators loses its spaces. The result is empty if nothing is left to compare.
    """
    if not name:  # every third name in a directory: people leave the display name empty
        return ()
    if "," in name:
        name = given_name_first(name)
    if name.isascii() and "'" not in name and "`" not in name:
        folded = fold(name)
        return (folded,) if folded else ()
    forms = [name]
    if not name.isascii():
        forms.append(unicodedata.normalize("NFC", name).translate(_SPELT_OUT))
    forms += ["".join(c for c in form if c not in _APOSTROPHES) for form in forms]
    return tuple(dict.fromkeys(key for key in map(_compact, map(fold, forms)) if key))


def _compact(key: str) -> str:
    """Return a key without spaces if its script does not separate words."""
    return key.replace(" ", "") if " " in key and _is_unseparated(key) else key


def _is_unseparated(key: str) -> bool:
    letters = [character for character in key if character.isalpha()]
    return bool(letters) and all(
        unicodedata.name(letter, "").startswith(_UNSEPARATED_SCRIPTS) for letter in letters
    )


def same_name(one: str, other: str) -> bool:
    """Return whether two spellings with a common key are one name, and not two that differ in accents or parts.

    An accent that is left out everywhere is a matter of keyboards: "Jose Garcia" is José García. Where both
    spellings have accents, they count: Nguyễn Văn Dũng and Nguyễn Văn Dung are two people. So do symbols, hyphens,
    apostrophes, and the spaces of scripts that need none: Anna-Lee Smith and Anna Lee-Smith are two people, as
    欧阳 明 and 欧 阳明 are.
    """
    if not _have_compatible_parts(one, other):
        return False
    (ours, ours_spelt_out), (theirs, theirs_spelt_out) = _accented_forms(one), _accented_forms(other)
    if ours in (theirs, theirs_spelt_out) or theirs == ours_spelt_out:
        return True
    return not (_has_accents(ours) and _has_accents(theirs))


def _have_compatible_parts(one: str, other: str) -> bool:
    """Return whether two spellings have the same symbols, hyphens and apostrophes, or one leaves some out."""
    parts = ((_symbols(one), _symbols(other)), (_joints(one), _joints(other)))
    return all(ours <= theirs or theirs <= ours for ours, theirs in parts) and _have_compatible_apostrophes(
        one, other
    )


def _symbols(name: str) -> frozenset[str]:
    """Return the emoji and other symbols of a name, by which people with the same name tell themselves apart."""
    if name.isascii() and "#" not in name and "+" not in name:
        return frozenset()
    signs = (c for c in name if c == "#" or unicodedata.category(c).startswith("S"))
    return frozenset(signs) - _APOSTROPHES


def _have_compatible_apostrophes(one: str, other: str) -> bool:
    """Return whether apostrophes differ only in that one spelling leaves some out: O'Ezil is not Özil."""
    if _APOSTROPHES.isdisjoint(one) and _APOSTROPHES.isdisjoint(other):
        return True
    return any(ours.is_compatible(theirs) for ours in _apostrophes(one) for theirs in _apostrophes(other))


class _Apostrophes(NamedTuple):
    """Where a spelling has apostrophes, counted in folded letters, and where another one cannot have any."""

    letters: str
    at: frozenset[int]
    not_at: frozenset[int]

    def is_compatible(self, other: _Apostrophes) -> bool:
        if self.letters != other.letters or not (self.at <= other.at or other.at <= self.at):
            return False
        return not ((self.at - other.at) & other.not_at or (other.at - self.at) & self.not_at)


def _apostrophes(name: str) -> Iterator[_Apostrophes]:
    """Yield the apostrophes within a name's words, as it is written and with umlauts spelt out."""
    name = unicodedata.normalize("NFC", given_name_first(name))
    for table in ({}, _SPELT_OUT):
        letters, at, not_at = "", set(), set()
        for before, character, after in zip(" " + name, name, name[1:] + " ", strict=False):
            if character in _APOSTROPHES:
                at |= {len(letters)} if before.isalnum() and after.isalnum() else set()
                continue
            start, letters = len(letters), letters + fold(character.translate(table))
            if letters[start:] != character.casefold():
                not_at |= {*range(start + 1, len(letters) + 1)}
        yield _Apostrophes(letters, frozenset(at), frozenset(not_at))


def are_two_usernames(one: str, other: str) -> bool:
    """Return whether two spellings of one name are different usernames: alice.ng and alice_ng are two people."""
    ours, theirs = ("".join(_USERNAME_PUNCTUATION.findall(name)) for name in (one, other))
    return " " not in one.strip() and " " not in other.strip() and bool(ours and theirs) and ours != theirs


def _joints(name: str) -> frozenset[int]:
    """Return after how many words a name has a hyphen, or in scripts without words, how many letters a space."""
    name = unicodedata.normalize("NFC", given_name_first(name)).strip()
    if _is_unseparated(name):
        return frozenset(_ends(name.split()))
    words = "".join(c for c in name if c not in _APOSTROPHES).split()
    parts = [re.split(r"[-\u2010-\u2015]+", word.strip("-")) for word in words]
    ends = _ends([part for word in parts for part in word], of=lambda _: 1)
    return frozenset(ends) - frozenset(_ends(parts))


def _ends(parts: Sequence[Sequence[str]], of: Callable[[Sequence[str]], int] = len) -> Iterator[int]:
    """Yield where each part ends but the last, counted in their lengths."""
    return accumulate(of(part) for part in parts[:-1])


def _accented_forms(name: str) -> tuple[str, str]:
    """Return a name as :func:`keys` reads it, but with its accents; and the same with umlauts spelt out."""
    name = unicodedata.normalize("NFC", given_name_first(name))
    return _without_punctuation(name), _without_punctuation(name.translate(_SPELT_OUT))


def _without_punctuation(name: str) -> str:
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
    visible = (c for c in text if ord(c) not in _INVISIBLE)
    return "".join(c for c in visible if c.isalnum() or unicodedata.category(c).startswith("M"))


def _has_accents(form: str) -> bool:
    return fold(form).replace(" ", "") != form


def given_name_first(name: str) -> str:
    """Return "Smith, John" as "John Smith"; any other text as it is."""
    family, comma, given = name.partition(",")
    reads_so = comma and family.strip() and given.strip() and "," not in given and "(" not in family
    return f"{given.strip()} {family.strip()}" if reads_so else name


def parts_without_remarks(name: str) -> tuple[str, ...]:
    """Return what a name may be without what people add to it: "Sam Lee (she/her) | on call", "Sam Lee, OOO".

    What is in brackets or quotes is left out. Other punctuation and symbols that no name contains separate parts.
    """
    if _PLAIN_NAME.fullmatch(name) and not _SPACED_DASH.search(name):
        return ()
    text = "".join(map(_as_separator, _SPACED_DASH.sub("|", _EMOJI_CODE.sub("|", name))))
    parts = [*re.split(r"[()|]", _BRACKETED.sub(" ", text)), *text.split("|"), _PRONOUNS.sub("", name)]
    # A comma is before a remark, or in "Smith, John", which another one may follow.
    parts += [",".join(part.split(",")[:size]) for part in parts for size in (1, 2) if part.count(",") >= size]
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip() and part.strip() != name))


def _as_separator(character: str) -> str:
    """Return a character of a name, or the bracket or bar that stands for all characters of its kind."""
    category = unicodedata.category(character)
    if category[0] not in "PS" or character in _APOSTROPHES or character in _WITHIN_NAMES:
        return character
    return {"Ps": "(", "Pi": "(", "Pe": ")", "Pf": ")"}.get(category, '"' if character == '"' else "|")


# --- similar names ----------------------------------------------------------------------------------


def in_word_order(key: str) -> str:
    """Return a key with its words in alphabetical order: "jon smith" and "smith jon" become the same."""
    words = key.split(" ")
    return key if len(words) == 1 else " ".join(sorted(words))


def similar_keys(name: str) -> tuple[str, ...]:
    """Return the forms in which a name is compared for similarity: its keys, and its transliteration to Latin.

    A name in a script without word separators keeps its spaces here: they show where the family name ends.
    """
    forms = dict.fromkeys(keys(name))
    forms.update(dict.fromkeys(form for form in (fold(given_name_first(name)),) if form))
    if not name.isascii():
        forms.update(dict.fromkeys(form for form in (transliterated(name),) if form))
    return tuple(forms)


def transliterated(name: str) -> str:
    """Return a name in Latin letters, folded: for suggestions only, as no transliteration is unique."""
    from text_unidecode import unidecode

    text = unicodedata.normalize("NFC", given_name_first(name))
    text = f"{_KOREAN_FAMILY_NAMES.get(text[:1], text[:1])}{text[1:]}"
    return fold(str(unidecode(text)))  # type: ignore[no-untyped-call]


def consonants(key: str) -> str:
    """Return a Latin key as unvoiced consonants, none doubled: what Arabic and Hebrew spelling keeps."""
    return _DOUBLED.sub(r"\1", _VOWELS.sub("", key.replace(" ", "")).translate(_VOICED))


def is_abjad(name: str) -> bool:
    """Return whether a name is written in a script that leaves out vowels."""
    return bool(scripts(name) & _ABJADS)


def scripts(key: str) -> frozenset[str]:
    """Return the writing systems of a key's letters, as Unicode names them (``LATIN``, ``CYRILLIC``...)."""
    return frozenset(unicodedata.name(letter, "UNKNOWN").split()[0] for letter in key if letter.isalpha())
