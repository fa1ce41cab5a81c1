"""A query becomes a Slack user: reading the query, the directory of members, matching names, resolving."""
