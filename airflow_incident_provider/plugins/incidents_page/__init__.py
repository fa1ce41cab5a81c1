"""
The incidents page: open and recent incidents, and the JSON that it is drawn from.

The JSON is what holds data, and it is under Airflow's own authentication: without a session or a token it answers
401, without the right to read the runs of an incident DAG 403. The page itself is the same for everybody. It is
served at ``/incidents/`` and shown inside Airflow's UI, under *Incidents*.
"""
