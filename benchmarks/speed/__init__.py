"""
How fast a room stands: this DAG, the stock one, a plain script; many incidents at once; many people.

``python -m benchmarks.speed`` measures all of it and prints the tables of ``docs/performance.md``.
"""
