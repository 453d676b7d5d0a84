"""Bayesian networks from data.

| file | what it holds |
| --- | --- |
| `rows.py` | data as state numbers; what data say about states |
| `counting.py` | how often each cell of each table occurs; priors; tables from counts |
| `closed_form.py` | maximum likelihood, and with a Dirichlet prior, of complete rows |
| `missing_values.py` | the same by expectation maximisation where values are missing |
| `structures.py` | the graph from data: trees of our own, searches of pgmpy |
| `comparison.py` | how far one network is from another |
"""
