"""How long the collection of evidence takes, and how many calls it makes.

``python -m benchmarks.evidence`` plays stories with a delay of 200 ms for each call of Datadog's API.
"""
