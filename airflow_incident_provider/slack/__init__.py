"""The Slack client: hook, live and dry-run workspaces, member directory."""
