"""
A name becomes a person, or an honest "not sure".

No similarity score separates a wrong person ("John Smith" for Jon Smith: 94.7) from a typo ("alise ng" for
Alice Ng: 87.5). So an exact hit has to be unique, a similar one has to be beyond doubt, and everything else is
a suggestion that a person reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from airflow_incident_provider.models import MatchMethod, Resolution, ResolutionOutcome
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.names import in_word_order, keys, numbers, scripts
from airflow_incident_provider.people.spellings import Spellings

ACCEPTED_SCORE = 92.0
"""The least token_sort_ratio (0 to 100) at which a similar name may be taken for the one that was meant.

Two different words of four letters or fewer cannot reach it, so short names need no rule of their own.
"""

ACCEPTED_LEAD = 8.0
"""By how much it has to be ahead of everybody else's."""

SUGGESTED_SCORE = 75.0
"""The least score of a suggestion: "Alice" for Alice Ng has 76.9."""

SUGGESTED_MARGIN = 10.0
"""How far behind the likeliest a suggestion may be and still help."""

MOST_CANDIDATES = 5
"""How many people a result names at the most; the reason says how many there are."""

_SHORTEST_PART = 3
_SHORTEST_SLIP = 6
"""Letters: shorter names have too many neighbours, such as Jon and John, or Erik and Eric."""
_WHOLE = 100.0


class _Similar(NamedTuple):
    """A member with a name like the query: the two keys that were compared, and how alike they are.

    A tuple, and the member's number, because a common first name makes thousands of them.
    """

    number: int
    query_key: str
    key: str
    score: float

    @property
    def same_first_word(self) -> bool:
        """Whether the first words agree: "John Smith" and "Jon Smith" are two people."""
        return self.query_key.split()[0] == self.key.split()[0]

    @property
    def rank(self) -> tuple[float, bool]:
        """What tells which of a member's spellings is meant: the word order breaks a tie."""
        return (self.score, self.same_first_word)


def match_name(query: str, directory: Directory) -> Resolution:
    """Find the one person who is meant by a name: display or real name, then username, then similar names.

    Every step needs a unique hit among active, full, human members of the workspace. Who is called so and who
    has it as a username are judged together, so a display name that imitates somebody's username is ambiguous.

    :param query: a display name, real name or username, perhaps as "Smith, John" or with a leading ``@``.
    :param directory: the workspace's members.
    """
    name = query.strip().removeprefix("@")
    if not keys(name):
        return _not_found(query, "there is no name in it")
    called, usernames = directory.called(name), directory.with_username(name)
    exact = called | usernames
    eligible = [member for member in exact.values() if member.ineligibility is None]
    if len(eligible) == 1:
        method = MatchMethod.DISPLAY_NAME if eligible[0].id in called else MatchMethod.USERNAME
        return admit(query, eligible[0], method)
    if eligible:
        return _ambiguous(query, eligible)
    if exact:
        return _barred(query, list(exact.values()), called)
    return _match_similar(query, name, directory)


def admit(query: str, member: Member, method: MatchMethod, confidence: float = _WHOLE) -> Resolution:
    """Return the result for a member who was found: resolved, unless something bars them.

    Nobody is invited who left, who is no human, or who is no full member: a room tells what outsiders should
    not read. A guest or stranger is named as a candidate, because a person may invite them by hand.
    """
    if member.ineligibility is None:
        return Resolution(
            query=query,
            outcome=ResolutionOutcome.RESOLVED,
            method=method,
            confidence=confidence,
            users=(member.user,),
        )
    by_hand = not (member.deleted or member.is_bot)
    return Resolution(
        query=query,
        outcome=ResolutionOutcome.DEACTIVATED if member.deleted else ResolutionOutcome.NOT_ALLOWED,
        method=method,
        candidates=(member.user,) if by_hand else (),
        reason=f"{member.label} is {member.ineligibility}",
    )


def _barred(query: str, hits: Sequence[Member], called: dict[str, Member]) -> Resolution:
    """Return why nobody of those who match exactly may come; somebody active tells more than who left."""
    first = min(hits, key=lambda member: (member.deleted, member.is_bot, member.id not in called, member.id))
    return admit(query, first, MatchMethod.DISPLAY_NAME if first.id in called else MatchMethod.USERNAME)


def _ambiguous(query: str, members: Iterable[Member]) -> Resolution:
    ranked = sorted(members, key=_by_label)
    named = ", ".join(f"{member.label} (@{member.name})" for member in ranked[:MOST_CANDIDATES])
    more = ", ..." if len(ranked) > MOST_CANDIDATES else ""
    return Resolution(
        query=query,
        outcome=ResolutionOutcome.AMBIGUOUS,
        candidates=tuple(member.user for member in ranked[:MOST_CANDIDATES]),
        reason=f'"{query}" fits {len(ranked)} people: {named}{more}',
    )


def _not_found(query: str, reason: str) -> Resolution:
    return Resolution(query=query, outcome=ResolutionOutcome.NOT_FOUND, reason=reason)


def _by_label(member: Member) -> tuple[str, str]:
    return (member.label.casefold(), member.id)


# --- similar names ----------------------------------------------------------------------------------


def _match_similar(query: str, name: str, directory: Directory) -> Resolution:
    similar = _similar(name, directory)
    if similar and _beyond_doubt(similar, directory.spellings):
        first = directory.members[similar[0].number]
        return admit(query, first, MatchMethod.FUZZY, round(similar[0].score, 1))
    suggested = [hit for hit in similar if directory.may_be_invited(hit.number)]
    suggested = [hit for hit in suggested if hit.score >= suggested[0].score - SUGGESTED_MARGIN]
    if not suggested:
        return _not_found(query, f'nobody in this workspace is called "{query}"')
    if len(suggested) > MOST_CANDIDATES:
        return _not_found(query, f'"{query}" might be any of {len(suggested)} people: the whole name is needed')
    candidates = [directory.members[hit.number] for hit in suggested]
    return Resolution(
        query=query,
        outcome=ResolutionOutcome.NOT_FOUND,
        confidence=round(suggested[0].score, 1),
        candidates=tuple(member.user for member in candidates),
        reason=f'"{query}" might be {_alternatives(candidates)}',
    )


def _similar(name: str, directory: Directory) -> list[_Similar]:
    """Return each member with a name like this one once, by their best spelling, the likeliest first."""
    best: dict[int, _Similar] = {}
    owners, spelt = directory.spellings.owners, directory.spellings.keys
    for query_key in keys(name):
        for position, score in _scores(query_key, directory.spellings).items():
            number = owners[position]
            known = best.get(number)
            if known is not None and score < known.score:
                continue
            hit = _Similar(number, query_key, spelt[position], score)
            if known is None or hit.rank > known.rank:
                best[number] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.number))


def _scores(query_key: str, spellings: Spellings) -> dict[int, float]:
    """Return the positions of the spellings that are like the query, with how alike they are.

    The ratio of two keys with their words in order is rapidfuzz's ``token_sort_ratio``, which would sort the words
    of every member anew for each query, and takes three times as long.
    """
    from rapidfuzz import fuzz, process

    hits = process.extract(
        in_word_order(query_key),
        spellings.sorted_keys,
        scorer=fuzz.ratio,
        score_cutoff=SUGGESTED_SCORE,
        limit=None,
    )
    scores = dict.fromkeys(_containing(query_key, spellings), SUGGESTED_SCORE)
    return scores | {position: score for _, score, position in hits}


def _containing(query_key: str, spellings: Spellings) -> list[int]:
    """Return where all words of the query are among the words of a longer name: "Alice", "Alice Longname"."""
    words = set(query_key.split())
    longest = max(words, key=len)
    if len(longest) < _SHORTEST_PART:
        return []
    found = spellings.with_word(longest)
    return [at for at in found if len(words) == 1 or words <= set(spellings.keys[at].split())]


def _beyond_doubt(similar: Sequence[_Similar], spellings: Spellings) -> bool:
    """Return whether the likeliest is so alike, and so far ahead of everybody, that no person need look.

    Those who may not be invited count too: who is most alike may have left yesterday, and is then named so.
    """
    first = similar[0]
    ahead = len(similar) == 1 or first.score - similar[1].score >= ACCEPTED_LEAD
    return (
        ahead
        and first.score >= ACCEPTED_SCORE
        and first.same_first_word
        and numbers(first.query_key) == numbers(first.key)
        and len(scripts(first.query_key) | scripts(first.key)) <= 1
        and _is_slip(first, spellings)
    )


def _is_slip(hit: _Similar, spellings: Spellings) -> bool:
    """Return whether what differs is a slip of the pen, and no other name.

    That the first words agree says that the given names do only where these come first: "Smith Jon" and "Smith
    John" are two people. So a word that somebody here is called by is no slip, nor is a short word, nor one with
    another beginning or end, as Christina and Christine have.
    """
    asked, there = _only_in(hit.query_key, hit.key), _only_in(hit.key, hit.query_key)
    pairs = list(zip(asked, there, strict=False))
    return (
        len(asked) == len(there)
        and all(min(len(one), len(other)) >= _SHORTEST_SLIP for one, other in pairs)
        and all((one[0], one[-1]) == (other[0], other[-1]) for one, other in pairs)
        and all(next(spellings.with_word(word), None) is None for word in asked)
    )


def _only_in(key: str, other: str) -> list[str]:
    """Return the words of a key that the other has not, in order."""
    words = set(other.split())
    return [word for word in key.split() if word not in words]


def _alternatives(members: Sequence[Member]) -> str:
    """Return "A", "A or B" or "A, B or C"; those of one name with their usernames."""
    shown = [member.label for member in members]
    *others, last = [
        f"{member.label} (@{member.name})" if shown.count(member.label) > 1 else member.label for member in members
    ]
    return f"{', '.join(others)} or {last}" if others else last
