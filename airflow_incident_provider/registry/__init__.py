"""
The registry of incidents: what is remembered of each, from its first alert to the archived room.

It lies in Airflow's own database (:mod:`.asset`). The API server decides about alerts in it, one at a time, each in
one transaction (:mod:`.decisions`); tasks read it and report to it over Airflow's execution API (:mod:`.tasks`).
"""
