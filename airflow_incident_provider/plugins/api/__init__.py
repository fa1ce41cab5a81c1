"""
The FastAPI application under ``/incidents`` of Airflow's API server.

:mod:`.app` mounts the routers of the other packages (the webhook, the incidents page), :mod:`.plugin` registers the
application with Airflow, and :mod:`.errors` holds the error response that all routes share.
"""
