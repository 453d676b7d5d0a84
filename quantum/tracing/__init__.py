"""What a function did, recorded once on example values and replayed on others (floor 1).

`recorder` watches a function of tensors, `recording` is what it writes down, `fingerprint` and
`snapshot` tell whether anything that the function reads has changed since. No circuits here.
"""
