"""Bayesian networks over the junction-tree engine: variables with names, tables with sources.

| file | what it holds |
| --- | --- |
| `network.py` | the module that users make |
| `nodes.py`, `simplex.py`, `remembered.py` | what a variable can be; tables that sum to one |
| `assembly.py`, `structure.py` | what is checked once; variables as numbers |
| `observation.py`, `labels.py`, `row_context.py` | what users give with a question, checked |
| `configurations.py`, `model.py` | Laws as tables; a network at work on some rows |
| `plans.py`, `relevance.py` | which tables and which tree a question needs |
| `questions.py`, `reading.py`, `ancestral.py`, `expectation.py` | answers |
| `conversion.py`, `program.py`, `spreading.py` | pgmpy, files, Pyro |
"""
