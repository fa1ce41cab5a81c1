"""Slack requests and commands become actions; reminders, postmortems and metrics follow from records."""
