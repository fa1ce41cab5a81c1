"""``airflow incident drill``: a rehearsal, and how it went."""
