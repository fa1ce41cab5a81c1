"""``airflow incident list`` and ``show``: what runs left, and what the registry remembers."""
