"""Settings of the tests that start an Airflow."""

LOW_IDLE_LOAD = {"AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25"}
"""The longest sleep that ``airflow incident check`` accepts. With the recommended 0.05 s an idle scheduler and its
database would use almost half a core."""
