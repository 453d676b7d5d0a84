"""Graphs as other programs write them: DOT, dagitty, GML, networkx, pgmpy (floor 0).

Each file reads into a `Description` and writes one. `causal.Graph` has the methods that users call.
"""
