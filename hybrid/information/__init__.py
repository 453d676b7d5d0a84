"""The Fisher information of distributions, in their own numbers and in what these are made of."""
