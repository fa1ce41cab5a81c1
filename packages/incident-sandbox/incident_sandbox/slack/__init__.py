"""Slack's Web API as the sandbox speaks it."""
