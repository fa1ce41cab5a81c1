"""``airflow incident check``: whether a production set-up is right, a line for each thing, with the fix."""
