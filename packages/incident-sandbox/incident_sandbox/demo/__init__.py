"""A whole incident on one machine: a local Airflow, stand-ins for the outside world, and something that breaks."""
