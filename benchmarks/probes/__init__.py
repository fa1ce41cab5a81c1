"""
The probes against real servers, resolvers and networks: what each finds, and whether that is true.

``python -m benchmarks.probes`` makes every environment, runs the probe as an investigation runs it, and prints what
was expected and what was found. Nothing leaves the Docker networks that it makes.
"""
