"""
How fast a room stands: this DAG against the stock one and against a plain script, and many incidents at once.

``python -m benchmarks.speed`` prints the tables of ``docs/performance.md``.
"""
