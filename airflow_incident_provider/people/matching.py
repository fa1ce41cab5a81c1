"""Match a name with a member: exactly, or as a suggestion that a person judges.

No similarity score separates another person ("John Smith" for Jon Smith: 94.7) from a typing error ("alise ng" for
Alice Ng: 87.5). So only a unique exact name resolves; everything similar is a suggestion, whatever its score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from airflow_incident_provider.models import MatchMethod, Resolution, ResolutionOutcome
from airflow_incident_provider.people.directory import Directory, Member, NameKind
from airflow_incident_provider.people.names import (
    are_two_usernames,
    consonants,
    fold,
    given_name_first,
    in_word_order,
    is_abjad,
    keys,
    same_name,
    similar_keys,
    transliterated,
)

SUGGESTED_SCORE = 75.0
"""The lowest similarity (0 to 100) of a suggestion: "Alice" has 76.9 for Alice Ng."""

SUGGESTED_MARGIN = 10.0
"""How far behind the best a suggestion may be."""

MAX_CANDIDATES = 5
"""How many people a result names at most; the reason says how many there are."""

CERTAIN = 100.0

_MIN_WORD = 3
_MAX_WORDS = 5
_SCORE_OF_PART = 90.0
"""The score of a member whose name has all words of the query, or whose words are all in the query."""
_SCORE_OF_CONSONANTS = 80.0
_SCORE_OF_SHARED_NAME = 60.0
_MAX_SIMILARITY = 99.0
"""The confidence of the most similar name: only an exact one is certain."""
_MAX_POSITIONS = 5000


def match_name(query: str, directory: Directory) -> Resolution:
    """Find the one member with this name: display or real name, or username.

    The hit has to be a full member, and the only active person with that name: a guest, or somebody who adds
    pronouns or a team to the same name, may be who is meant. Names and usernames are compared together, so a
    display name that imitates somebody's username is ambiguous.

    :param query: a name or username, also as "Smith, John" or with a leading ``@``.
    :param directory: the workspace's members.
    """
    name = query.strip().removeprefix("@")
    wanted = keys(name)
    if not wanted:
        return not_found(query, "there is no name in it")
    named = _same(name, directory.find(wanted, NameKind.NAME))
    exact = named | _same(name, directory.find(wanted, NameKind.USERNAME))
    eligible = [member for member in exact.values() if member.ineligibility is None]
    if len(eligible) == 1 and not _is_called_so(eligible[0], name):
        return _suggest(query, name, directory)
    people = _namesakes(exact, directory.find(wanted, NameKind.PART)) if eligible else []
    if len(people) > 1:
        return _ambiguous(query, people)
    if eligible:
        return admit(query, eligible[0], _method(eligible[0], named))
    if exact:
        return _ineligible(query, list(exact.values()), named)
    return _suggest(query, name, directory)


def admit(query: str, member: Member, method: MatchMethod) -> Resolution:
    """Return the result for a member who was found: resolved, unless they must not be invited automatically.

    A room holds what outsiders should not read, so nobody is invited who has left, is a bot, or is not a full
    member. A guest or external member is named as a candidate: a person may invite them.
    """
    if member.ineligibility is None:
        return Resolution(
            query=query,
            outcome=ResolutionOutcome.RESOLVED,
            method=method,
            confidence=CERTAIN,
            users=(member.user,),
        )
    may_be_invited_by_hand = not (member.deleted or member.is_bot)
    return Resolution(
        query=query,
        outcome=ResolutionOutcome.DEACTIVATED if member.deleted else ResolutionOutcome.NOT_ALLOWED,
        method=method,
        candidates=(member.user,) if may_be_invited_by_hand else (),
        reason=f"{member.label} is {member.ineligibility}",
    )


def has_name(member: Member, query: str) -> bool:
    """Return whether a query is exactly one of a member's names."""
    name = query.strip().removeprefix("@")
    wanted = set(keys(name))
    return any(wanted & set(keys(theirs)) and same_name(name, theirs) for theirs in member.names)


def _is_called_so(member: Member, name: str) -> bool:
    """Return whether one of a member's names is the query, and not a username with other punctuation."""
    wanted = set(keys(name))
    same = (theirs for theirs in member.names if wanted & set(keys(theirs)) and same_name(name, theirs))
    return not all(are_two_usernames(name, theirs) for theirs in same)


def not_found(query: str, reason: str) -> Resolution:
    """Return the result for a query without a match."""
    return Resolution(query=query, outcome=ResolutionOutcome.NOT_FOUND, reason=reason)


def _same(name: str, members: Iterable[Member]) -> dict[str, Member]:
    return {member.id: member for member in members if has_name(member, name)}


def _namesakes(exact: Mapping[str, Member], with_remarks: Iterable[Member]) -> list[Member]:
    """Return the active people with a name, whether they may be invited automatically or not."""
    found = {**exact, **{member.id: member for member in with_remarks}}
    return [member for member in found.values() if not (member.deleted or member.is_bot)]


def _method(member: Member, named: Mapping[str, Member]) -> MatchMethod:
    return MatchMethod.DISPLAY_NAME if member.id in named else MatchMethod.USERNAME


def _ineligible(query: str, hits: Sequence[Member], named: Mapping[str, Member]) -> Resolution:
    """Return why none of those with this name may be invited; an active member says more than one who has left."""
    first = min(hits, key=lambda member: (member.deleted, member.is_bot, member.id not in named, member.id))
    return admit(query, first, _method(first, named))


def _ambiguous(query: str, members: Iterable[Member]) -> Resolution:
    ranked = sorted(members, key=lambda member: (member.label.casefold(), member.id))
    shown = ", ".join(_described(member) for member in ranked[:MAX_CANDIDATES])
    more = ", ..." if len(ranked) > MAX_CANDIDATES else ""
    return Resolution(
        query=query,
        outcome=ResolutionOutcome.AMBIGUOUS,
        candidates=tuple(member.user for member in ranked[:MAX_CANDIDATES]),
        reason=f'"{query}" fits {len(ranked)} people: {shown}{more}',
    )


def _described(member: Member) -> str:
    state = f", {member.ineligibility}" if member.ineligibility else ""
    return f"{member.label} (@{member.name}{state})"


# --- suggestions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Similar:
    """A member with a similar name, by number, because a common first name has thousands."""

    member: int
    eligible: bool
    score: float


def _suggest(query: str, name: str, directory: Directory) -> Resolution:
    similar = _similar_members(name, directory)
    eligible = [hit for hit in similar if hit.eligible]
    eligible = [hit for hit in eligible if hit.score >= eligible[0].score - SUGGESTED_MARGIN]
    if not eligible:
        return not_found(query, f'nobody in this workspace is called "{query}"{_gone(similar, directory)}')
    if len(eligible) > MAX_CANDIDATES:
        return not_found(query, f'"{query}" could be any of {len(eligible)} people: give the full name')
    candidates = directory.members(hit.member for hit in eligible)
    return Resolution(
        query=query,
        outcome=ResolutionOutcome.NOT_FOUND,
        confidence=round(min(eligible[0].score, _MAX_SIMILARITY), 1),
        candidates=tuple(member.user for member in candidates),
        reason=f'no exact match for "{query}"; did you mean {_alternatives(candidates)}?',
    )


def _gone(similar: Sequence[_Similar], directory: Directory) -> str:
    """Return, as text, the people with a similar name who cannot be invited."""
    if not similar or similar[0].score < SUGGESTED_SCORE:
        return ""
    [member] = directory.members([similar[0].member])
    return f"; {member.label} is {member.ineligibility}"


def _similar_members(name: str, directory: Directory) -> list[_Similar]:
    """Return each member with a similar name once, the most similar first."""
    scores: dict[int, float] = {}
    for found in (
        _by_similarity(name, directory),
        _by_words(name, directory),
        _by_consonants(name, directory),
        _by_initials(name, directory),
    ):
        for position, score in found.items():
            scores[position] = max(score, scores.get(position, 0.0))
    if not scores:
        scores = _by_shared_name(name, directory)
    best: dict[int, _Similar] = {}
    positions = sorted(scores, key=lambda position: (-scores[position], position))[:_MAX_POSITIONS]
    for owner in directory.owners(positions):
        score = scores[owner.position]
        if owner.member not in best or score > best[owner.member].score:
            best[owner.member] = _Similar(owner.member, owner.eligible, score)
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.member))


def _by_similarity(name: str, directory: Directory) -> dict[int, float]:
    """Return the positions of keys with similar letters: in any word order, or regardless of spaces."""
    scores: dict[int, float] = {}
    for query in similar_keys(name):
        searches = [(in_word_order(query), directory.word_sorted_keys)]
        searches += [(form, directory.spaceless_keys) for form in _without_spaces(query)]
        for wanted, choices in searches:
            for position, score in _similar_positions(wanted, choices):
                scores[position] = max(score, scores.get(position, 0.0))
    return scores


def _similar_positions(wanted: str, choices: Sequence[str]) -> Iterable[tuple[int, float]]:
    # The ratio of two keys with sorted words is rapidfuzz's token_sort_ratio, without sorting every key again.
    from rapidfuzz import fuzz, process

    hits = process.extract(wanted, choices, scorer=fuzz.ratio, score_cutoff=SUGGESTED_SCORE, limit=None)
    return ((position, score) for _, score, position in hits)


def _without_spaces(query: str) -> tuple[str, ...]:
    """Return a query without spaces: in its own word order, and with its last or first word moved."""
    words = query.split(" ")
    orders = (words, words[-1:] + words[:-1], words[1:] + words[:1])
    return tuple(dict.fromkeys("".join(order) for order in orders))


def _by_words(name: str, directory: Directory) -> dict[int, float]:
    """Return the positions of keys that have all words of the query, or all of whose words are in the query."""
    words = fold(given_name_first(name)).split(" ")
    parts = [
        " ".join(part)
        for size in range(2, len(words))
        for part in combinations(words, size)
        if len(words) <= _MAX_WORDS
    ]
    found = directory.positions_of(parts, NameKind.NAME | NameKind.PART) if parts else ()
    scores = dict.fromkeys(found, _SCORE_OF_PART)
    if max(map(len, words)) >= _MIN_WORD:
        score = SUGGESTED_SCORE if len(words) == 1 else _SCORE_OF_PART
        scores |= dict.fromkeys(directory.positions_with_words(words), score)
    return scores


def _by_initials(name: str, directory: Directory) -> dict[int, float]:
    """Return the positions of keys with the words of the query, one of them shortened there to its first letter."""
    words = fold(given_name_first(name)).split(" ")
    initials, full = ([word for word in words if (len(word) == 1) is is_one] for is_one in (True, False))
    if not (initials and full):
        return {}
    found = (
        position
        for position in directory.positions_with_words(full)
        if set(initials) <= {word[0] for word in directory.keys[position].split(" ") if word not in full}
    )
    return dict.fromkeys(found, _SCORE_OF_PART)


def _by_consonants(name: str, directory: Directory) -> dict[int, float]:
    """Return the positions of keys with the same consonants, if the query or the key is Arabic or Hebrew."""
    wanted = consonants(transliterated(name))
    if len(wanted) < _MIN_WORD:
        return {}
    found: Iterable[int] = directory.positions_of([wanted], NameKind.CONSONANTS)
    if is_abjad(name):
        found = (position for position, key in enumerate(directory.keys) if consonants(key) == wanted)
    return dict.fromkeys(found, _SCORE_OF_CONSONANTS)


def _by_shared_name(name: str, directory: Directory) -> dict[int, float]:
    """Return the positions of keys that share the query's rarest word, if few do: Bill Gates, William Gates."""
    words = [word for word in fold(given_name_first(name)).split(" ") if len(word) > _MIN_WORD]
    found = [positions for word in words if (positions := directory.positions_with_words([word]))]
    rarest = min(found, key=len, default=[])
    return dict.fromkeys(rarest, _SCORE_OF_SHARED_NAME) if len(rarest) <= 2 * MAX_CANDIDATES else {}


def _alternatives(members: Sequence[Member]) -> str:
    """Return "A", "A or B" or "A, B or C"; members with the same name with their usernames."""
    labels = [member.label for member in members]
    *others, last = [
        f"{member.label} (@{member.name})" if labels.count(member.label) > 1 else member.label for member in members
    ]
    return f"{', '.join(others)} or {last}" if others else last
