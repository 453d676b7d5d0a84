"""Pure functions on states: what gates do to them, and what is read from them (floor 3).

`statevector` and `evolution` for pure states, `density` for mixed ones, `projection` for
postselection; `measure`, `entropy` and `words` for exact answers, `sampling` and `outcomes` for
answers from shots.
"""
