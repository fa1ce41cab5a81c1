"""What all whole Airflows of the tests have in common."""

LOW_IDLE_LOAD = {"AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25"}
"""The longest sleep that ``airflow incident check`` accepts: with the recommended 0.05 s an idle scheduler and its
database take almost half a core from the tests."""
