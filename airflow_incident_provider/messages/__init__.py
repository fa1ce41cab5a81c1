"""
An incident becomes Slack text: pure functions from the models to messages that keep Slack's limits.

Everything an alert, a person or a probe wrote is treated as hostile and passes through ``escaping`` exactly
once. ``limits`` holds what Slack accepts; ``brief``, ``thread`` and ``summary`` say what the room reads;
``channel`` names the room; ``plain`` shows the same texts outside Slack.
"""
