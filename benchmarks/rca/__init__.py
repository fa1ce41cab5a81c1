"""Root-cause localization on the PetShop data set and on the sandbox's stories.

``python -m benchmarks.rca --data DIR`` prints the scoreboard of ``docs/accuracy.md``.
"""
