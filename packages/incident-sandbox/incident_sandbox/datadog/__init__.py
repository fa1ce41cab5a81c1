"""Datadog's API as far as an incident needs it."""
