"""The app's identity, members and user groups."""

from __future__ import annotations

from incident_sandbox.entities import ENTERPRISE, Person
from incident_sandbox.slack import shapes
from incident_sandbox.slack.call import Answer, Call, handles
from incident_sandbox.slack.errors import SlackError
from incident_sandbox.slack.paging import MAX_LIMIT, page_of


@handles("auth.test")
def auth_test(call: Call) -> Answer:
    """Return the token's identity."""
    person, organisation_wide = call.caller, call.token.organisation_wide
    answer: Answer = {
        "url": call.workspace.url,
        "team": call.workspace.team_name,
        "user": person.username,
        "team_id": ENTERPRISE if organisation_wide else call.workspace.team_id,
        "user_id": person.id,
        "is_enterprise_install": organisation_wide,
        **({"enterprise_id": ENTERPRISE} if organisation_wide else {}),
    }
    return answer | {"bot_id": person.bot_id} if person.bot_id else answer


@handles("auth.teams.list")
def list_teams(call: Call) -> Answer:
    """List the workspaces that the app may use."""
    teams = [{"id": call.workspace.team_id, "name": call.workspace.team_name}]
    return {"teams": teams, "response_metadata": {"next_cursor": ""}}


@handles("users.lookupByEmail")
def lookup_by_email(call: Call) -> Answer:
    """Find an active member of this team by e-mail address."""
    person = call.workspace.person_by_email(call.args.text("email"))
    if person is None or person.deleted or person.is_bot or person.is_stranger:
        raise SlackError("users_not_found")
    return {"user": _user(call, person)}


@handles("users.info")
def user_info(call: Call) -> Answer:
    """Describe one member."""
    person = call.workspace.people.get(call.args.text("user"))
    if person is None:
        raise SlackError("user_not_found")
    return {"user": _user(call, person)}


@handles("users.list")
def list_users(call: Call) -> Answer:
    """List the members, deactivated ones included; a large workspace must be paged."""
    people = list(call.workspace.people.values())
    if "limit" not in call.args and len(people) > call.workspace.settings.limit_required_above:
        raise SlackError("limit_required")
    unpaged = "limit" not in call.args and "cursor" not in call.args
    page, cursor = (people, "") if unpaged else page_of(call, people, MAX_LIMIT)
    return {
        "members": [_user(call, person) for person in page],
        "cache_ts": call.workspace.now(),
        "response_metadata": {"next_cursor": cursor},
    }


def _user(call: Call, person: Person) -> Answer:
    return shapes.user(person, with_email=call.has_scope("users:read.email"))


@handles("usergroups.list")
def list_usergroups(call: Call) -> Answer:
    """List the user groups; a workspace on the free plan has none."""
    _require_paid_plan(call)
    disabled_too = call.args.flag("include_disabled")
    users, count = call.args.flag("include_users"), call.args.flag("include_count")
    groups = [g for g in call.workspace.usergroups.values() if disabled_too or not g.disabled]
    return {"usergroups": [shapes.usergroup(group, users=users, count=count) for group in groups]}


@handles("usergroups.users.list")
def list_usergroup_users(call: Call) -> Answer:
    """List the ids of a user group's members."""
    _require_paid_plan(call)
    group = call.workspace.usergroups.get(call.args.text("usergroup"))
    if group is None or (group.disabled and not call.args.flag("include_disabled")):
        raise SlackError("no_such_subteam")
    return {"users": group.users}


def _require_paid_plan(call: Call) -> None:
    if call.workspace.settings.free_plan:
        raise SlackError("plan_upgrade_required")
