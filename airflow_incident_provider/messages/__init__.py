"""
Slack messages: pure functions from models to messages within Slack's limits.

Text from alerts, people and probes is untrusted: :mod:`.mrkdwn` escapes it exactly once, :mod:`.blocks` keeps
Slack's size limits and renders messages outside Slack. :mod:`.brief`, :mod:`.findings`, :mod:`.updates`,
:mod:`.status_changes` and :mod:`.summary` are the messages of a room, :mod:`.channel` its name, topic and
bookmarks.
"""
