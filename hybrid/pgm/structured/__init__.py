"""Several labels of one input, tied by a Bayesian network: an output head for any backbone."""
