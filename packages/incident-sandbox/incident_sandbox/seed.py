"""Acme Retail: the people, groups, channels and token that the workspace starts with.

Among them are the cases that make finding people hard: accents, the same name twice, near namesakes,
guests, bots, people who left, an imitator, and a stranger from another company.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from incident_sandbox.entities import Message, Note, Person, Token, UserGroup

if TYPE_CHECKING:
    from incident_sandbox.workspace import Workspace

BOT_USER = "U0WARROOM01"
BOT_ID = "B0WARROOM01"
FULL_TOKEN = "xoxb-sandbox-0000000000-full"  # noqa: S105 - opens nothing but this sandbox
APP_LEVEL_TOKEN = "xapp-sandbox-0000000000-socket"  # noqa: S105 - opens nothing but this sandbox
GENERAL, INCIDENTS, OLD_INCIDENT, SECURITY = "C0GENERAL01", "C0INCIDENT1", "C0ARCHIVED1", "C0SECURITY1"

FULL_SCOPES = (
    "bookmarks:read bookmarks:write canvases:write channels:history channels:join channels:manage channels:read "
    "chat:write chat:write.public files:write groups:history groups:read groups:write pins:read pins:write "
    "reactions:write team:read usergroups:read users:read users:read.email"
)

# id, username, real name, display name, job title
EMPLOYEES = (
    ("U0DANAREYES", "dana", "Dana Reyes", "Dana", "Head of Platform"),
    ("U0ALICENG01", "alice.ng", "Alice Ng", "Alice Ng", "Payments engineer"),
    ("U0JOSEGARC1", "jose.garcia", "José García", "José", "Payments engineer"),
    ("U0LUKASZN01", "lukasz.nowak", "Łukasz Nowak", "Łukasz", "SRE"),
    ("U0ZOEMS0001", "zoe.mueller-strauss", "Zoë Müller-Strauß", "Zoë", "Platform engineer"),
    ("U0JOHNSMITH", "john.smith", "John Smith", "John Smith", "Checkout engineer"),
    ("U0JONSMITH1", "jon.smith", "Jon Smith", "Jon Smith", "Storefront engineer"),
    ("U0CHRISLEE1", "chris.lee", "Chris Lee", "Chris", "Data engineer"),
    ("U0CHRISWU01", "chris.wu", "Christina Wu", "Chris", "Support lead"),
    ("U0PRIYAIYER", "priya", "Priya Iyer", "Priya Iyer", "SRE lead"),
    ("U0SAMWONG01", "sam.wong", "Sam Wong", "sam wong", "SRE"),
    ("U0SAMWANG01", "sam.wang", "Sam Wang", "sam wang", "Warehouse systems"),
    ("U0ANNPLAN01", "joanne", "Joanne Planner", "", "Release manager"),
    ("U0OLUADEYE1", "olu", "Olú Adéyẹmí", "", "Database engineer"),
    ("U0YUKI00001", "yuki", "田中 由紀", "Yuki Tanaka", "Search engineer"),
    ("U0SOREN0001", "soren", "Søren Ødegård", "Søren", "Network engineer"),
    ("U0FATIMA001", "fatima", "Fatima Zahra El-Amin", "Fatima", "Fraud analyst"),
    ("U0MEIOCONN1", "mei", "Mei O'Connor", "Mei", "Mobile engineer"),
    ("W0TOMASZ001", "tomasz", "Tomasz Zieliński", "Tomasz Z", "Edge engineer"),
    ("U0IMITATOR1", "rk", "Robin Kay", "alice.ng", "Merchandising"),
    ("U0BILLING01", "ingrid", "Ingrid Bergström", "Ingrid (billing)", "Billing engineer"),
    ("U0COMMS0001", "noor", "Noor Haddad", "Noor", "Communications"),
)


def people() -> list[Person]:
    """Return everybody: employees, then those who are not plain employees."""
    employees = [
        Person(
            id=user_id,
            username=username,
            real_name=real_name,
            display_name=display_name,
            title=title,
            email=f"{username}@acme.example",
            is_admin=user_id == "U0DANAREYES",
        )
        for user_id, username, real_name, display_name, title in EMPLOYEES
    ]
    return [*employees, *_others()]


def _others() -> list[Person]:
    return [
        Person(
            id="U0DAVEGONE1",
            username="dave",
            real_name="Dave Osborne",
            display_name="Dave",
            email="dave@acme.example",
            deleted=True,
        ),
        Person(
            id="U0OLDJOHN01",
            username="john.smith.old",
            real_name="John Smith",
            email="john.smith.old@acme.example",
            deleted=True,
        ),
        Person(
            id="U0GUESTMCG1",
            username="val.partner",
            real_name="Val Petrov",
            display_name="Val (partner)",
            email="val@partner.example",
            multi_channel_guest=True,
        ),
        Person(
            id="U0GUESTSCG1",
            username="gil.vendor",
            real_name="Gil Vendor",
            display_name="Gil",
            email="gil@vendor.example",
            single_channel_guest=True,
        ),
        Person(
            id="U0GUESTLOCK",
            username="ora.audit",
            real_name="Ora Audit",
            display_name="Ora",
            email="ora@audit.example",
            multi_channel_guest=True,
            invite_error="user_is_restricted",
        ),
        Person(
            id="U0STRANGER1",
            username="kim",
            real_name="Kim Doyle",
            display_name="Kim Doyle",
            team_id="T0GLOBEX",
            invite_error="no_external_invite_permission",
        ),
        Person(
            id="USLACKBOT",
            username="slackbot",
            real_name="Slackbot",
            display_name="Slackbot",
            invite_error="cant_invite",
        ),
        Person(
            id=BOT_USER,
            username="warroom",
            real_name="War Room",
            display_name="War Room",
            is_bot=True,
            bot_id=BOT_ID,
        ),
        Person(
            id="U0DEPLOYBOT",
            username="deploybot",
            real_name="Deploy Bot",
            is_bot=True,
            bot_id="B0DEPLOY001",
        ),
    ]


def usergroups() -> list[UserGroup]:
    """Return the user groups; one is disabled, and one has a member who left."""
    return [
        UserGroup(
            id="S0SREONCALL",
            handle="sre-oncall",
            name="SRE on call",
            users=["U0PRIYAIYER", "U0LUKASZN01", "U0SAMWONG01"],
        ),
        UserGroup(
            id="S0PAYMENTS1",
            handle="payments-oncall",
            name="Payments on call",
            users=["U0ALICENG01", "U0JOSEGARC1"],
        ),
        UserGroup(
            id="S0PLATFORM1",
            handle="platform-oncall",
            name="Platform on call",
            users=["U0DANAREYES", "U0ZOEMS0001", "U0DAVEGONE1"],
        ),
        UserGroup(
            id="S0DISABLED1",
            handle="mainframe-oncall",
            name="Mainframe on call",
            users=["U0DAVEGONE1"],
            disabled=True,
        ),
    ]


def plant(workspace: Workspace) -> None:
    """Fill an empty workspace."""
    workspace.add_people(people())
    for group in usergroups():
        workspace.add_usergroup(group)
    workspace.add_token(Token(name="full", value=FULL_TOKEN, user_id=BOT_USER, scopes=FULL_SCOPES.split()))
    workspace.add_token(
        Token(name="app-level", value=APP_LEVEL_TOKEN, user_id=BOT_USER, scopes=["connections:write"])
    )
    _plant_channels(workspace)


def _plant_channels(workspace: Workspace) -> None:
    staff = [user_id for user_id, *_ in EMPLOYEES]
    general = workspace.open_channel("general", "U0DANAREYES", channel_id=GENERAL)
    general.general = True
    general.members = [*staff, "U0GUESTMCG1"]
    general.purpose = Note("Announcements for everybody at Acme Retail", "U0DANAREYES", workspace.now())

    incidents = workspace.open_channel("incidents", "U0PRIYAIYER", channel_id=INCIDENTS)
    incidents.members = ["U0PRIYAIYER", "U0DANAREYES", "U0LUKASZN01", "U0SAMWONG01", "U0COMMS0001"]
    incidents.topic = Note("One line for each incident; talk in its room", "U0PRIYAIYER", workspace.now())

    archived = workspace.open_channel("inc-20260914-search-latency-81", "U0PRIYAIYER", channel_id=OLD_INCIDENT)
    archived.archived = True
    security = workspace.open_channel("security-private", "U0DANAREYES", private=True, channel_id=SECURITY)
    security.members = ["U0DANAREYES", "U0PRIYAIYER"]
    supplier = workspace.open_channel("supplier-desk", "U0BILLING01", channel_id="C0SUPPLIER1")
    supplier.members = ["U0BILLING01", "U0GUESTSCG1", "U0STRANGER1"]

    for channel, user, text in (
        (general, "U0DANAREYES", "Welcome to the new storefront week. Freeze starts Thursday."),
        (general, "U0COMMS0001", "Status page wording is in the handbook now."),
        (incidents, "U0PRIYAIYER", "Reminder: the room is made for you. Come, read the brief, then talk."),
    ):
        workspace.post(channel, Message(ts="", user=user, text=text))
