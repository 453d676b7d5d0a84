"""Junction trees: which variables meet in which clique, decided from scopes alone."""
