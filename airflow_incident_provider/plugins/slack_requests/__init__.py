"""
Slack's requests to Airflow's API server: buttons, forms and the command ``/incident``.

:mod:`.verification` admits a request by its signature, :mod:`.authorization` its sender by the room's members,
:mod:`.receiver` applies the action, and :mod:`.routes` are the endpoints.
"""
