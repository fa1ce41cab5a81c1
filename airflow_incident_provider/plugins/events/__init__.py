"""
What is told of an incident's run while it goes on, by a listener.

Airflow calls a listener where the thing happens. A task's process tells of the task (:mod:`.task_process`): when it
hears that a step has ended, Airflow has been told before, so the next step does not wait. The scheduler, or the API
server for what a person changes by hand, tells of the run (:mod:`.server`), in a thread, because it must not wait.
"""
