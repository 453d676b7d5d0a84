"""What a circuit is, and how PennyLane's circuits are read (floor 2).

`program` is the immutable form that every engine runs, `gates` and `channels` are the tables of
what may occur in it, `compiler` shortens it. `reading` makes one of a PennyLane function, with
`translation` of each operator and `deferral` of measurements in mid-circuit; `signature` checks
what a layer is given.
"""
