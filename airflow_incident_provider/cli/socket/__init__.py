"""``airflow incident socket``: Slack's interactions over Socket Mode, for an API server that Slack cannot reach."""
