"""Slack and Docker as this domain needs them, over Airflow's own hooks: all input and output is here."""
