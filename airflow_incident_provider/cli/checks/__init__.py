"""``airflow incident check``: the installation, one line per check, each failing line with its fix."""
