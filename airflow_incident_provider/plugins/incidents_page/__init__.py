"""
The incidents page: a list of incidents, a page for each of them, and the JSON that they render.

The JSON is protected by Airflow's authentication: 401 without a session or token, 403 without permission to read
the runs and XComs of an incident DAG. The page itself contains no data. It is served at ``/incidents/`` and shown
in Airflow's UI under *Incidents*.
"""
