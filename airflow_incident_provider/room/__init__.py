"""Everything that is done in a war room."""
