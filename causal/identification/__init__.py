"""Identification: which causal queries have a formula, and what it is.

| file | what it holds | from |
| --- | --- | --- |
| `observational.py` | ID, IDC; `identify` | Tian & Pearl 2002; Shpitser & Pearl 2006 |
| `districts.py` | c-factors of districts | Tian & Pearl 2002; Huang & Valtorta 2006 |
| `experiments.py` | gID, zID | Lee, Correa & Bareinboim 2019; Kivva et al. 2022 |
| `answers.py` | the choice of a short formula | Pearl 1995; Tikka & Karvanen 2018 |
| `reduction.py`, `derivation.py` | the rules of do-calculus, and steps by them | Pearl 1995 |
| `proof.py` | the proof of each formula | Shpitser & Pearl 2006; Tian & Pearl 2002 |
| `refusal.py` | hedges and thickets | Shpitser & Pearl 2006; Shpitser 2023; Lee et al. 2019 |
| `counterfactual_events.py` | ID*, IDC*, nested | Shpitser & Pearl 2007; Correa et al. 2021 |
"""
