"""How names are matched: pairs of names in many languages, and what is done with each."""
