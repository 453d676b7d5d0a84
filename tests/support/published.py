"""Published identification queries as data: where from, graph, query, what is supplied, verdict.

Graphs and verdicts are facts read from the papers, or from the documentation and test data of
packages that name the papers; where these give no verdict, it is the one of the complete algorithm.
Names are those of the source, in ASCII. ``experiments`` lists the sets of names
that were set, "" for observations.
"""

import itertools
from typing import NamedTuple


class Case(NamedTuple):
    """One published query. ``identified`` is the published verdict."""

    source: str
    graph: str
    outcomes: str
    treatments: str
    given: str = ""
    experiments: tuple[str, ...] = ("",)
    identified: bool = True

    def query(self):
        """The arguments of ``identify``, but for the graph."""
        return {
            "outcomes": set(self.outcomes.split()),
            "treatments": set(self.treatments.split()),
            "given": set(self.given.split()),
            "experiments": [set(names.split()) for names in self.experiments],
        }


def paths(directed, bidirected):
    """Arrow text from paths of one-letter names: "XAY" is X -> A -> Y, or X <-> A <-> Y."""
    found = dict.fromkeys((a, b, "->") for path in directed for a, b in itertools.pairwise(path))
    for path in bidirected:
        found |= dict.fromkeys((*sorted(p), "<->") for p in itertools.pairwise(path))
    return "; ".join(f"{a} -> {b}" if c == "->" else f"{a} <-> {b}" for a, b, c in found)


SP06 = "Shpitser & Pearl 2006"
SP08 = "Shpitser & Pearl 2008"
TP02 = "Tian & Pearl 2002"
T02 = "Tian 2002 (thesis)"
P09 = "Pearl 2009"
BP12 = "Bareinboim & Pearl 2012"
LCB19 = "Lee, Correa & Bareinboim 2019"
R = "causaleffect (R)"
PY = "causaleffect (Python)"
DO = "dosearch"

TWO = "W1 -> X -> Y1; W2 -> Y2; W1 <-> Y1; W1 <-> W2; W1 <-> Y2; X <-> W2"

ID = [
    Case(f"{TP02}, fig. 1", paths(["XAY", "BX", "BA", "BCY"], ["CXYBX"]), "Y", "X"),
    Case(f"{TP02}, fig. 1, all", paths(["XAY", "BX", "BA", "BCY"], ["CXYBX"]), "A B C Y", "X"),
    Case(f"{TP02}, fig. 2", paths(["XABY", "XY", "AY"], ["XB", "AY"]), "Y", "X"),
    Case(
        f"{T02}, p. 90",
        "W1 -> W2 -> X -> Y; W3 -> W4 -> X; W1 <-> X; W1 <-> Y; W1 <-> W3; W3 <-> W2; W3 <-> W5; "
        "W5 <-> W4",
        "Y",
        "X",
    ),
    Case("Verma & Pearl 1990", "V1 -> V2 -> V3 -> V4; V2 <-> V4", "V4", "V3"),
    Case(
        f"{T02}, p. 70",
        "V1 -> V2 -> V3 -> V4 -> V5; V1 <-> V3; V2 <-> V4; V3 <-> V5",
        "V5",
        "V1",
    ),
    Case(
        f"{T02}, p. 59",
        "V1 -> V2 -> V3 -> V4 -> V5; V1 <-> V5; V1 <-> V3; V2 <-> V4",
        "V5",
        "V1",
    ),
    Case(f"{SP06}, fig. 2(a)", "X -> Y; X <-> Y", "Y", "X", identified=False),
    Case(f"{SP06}, fig. 2(b)", paths(["XZY"], ["XZ"]), "Y", "X", identified=False),
    Case(f"{SP06}, fig. 2(c)", paths(["XZY", "XY"], ["XZ"]), "Y", "X", identified=False),
    Case(f"{SP06}, fig. 2(d)", paths(["XY", "ZY"], ["XZY"]), "Y", "X", identified=False),
    Case(f"{SP06}, fig. 2(e)", paths(["ZXY"], ["XZY"]), "Y", "X", identified=False),
    Case(f"{SP06}, fig. 2(f)", paths(["XZY"], ["ZYX"]), "Y", "X", identified=False),
    Case(f"{SP06}, fig. 2(g)", paths(["XWY", "QY"], ["XQW"]), "Y", "X", identified=False),
    Case(f"{SP06}, fig. 2(h)", paths(["ZXWY"], ["ZXYZW"]), "Y", "X", identified=False),
    Case(f"{SP08}, fig. 2(a)", "X -> Y", "Y", "X"),
    Case(f"{SP08}, fig. 2(b)", paths(["XY", "XZY"], ["YZ"]), "Y", "X"),
    Case(f"{SP08}, fig. 2(d)", paths(["XY", "ZX", "ZY"], ["XZ"]), "Y", "X"),
    Case(f"{SP08}, fig. 2(e)", paths(["XZY"], ["XY"]), "Y", "X"),
    Case(f"{SP08}, fig. 3(a)", TWO, "Y1 Y2", "X"),
    Case(f"{SP08}, fig. 5(a)", "X -> Y1; W1 -> X; W1 <-> Y1", "Y1", "X W1"),
    Case(f"{PY}, fig. 3.13", f"{TWO}; W1 -> W2", "Y1 Y2", "X", identified=False),
    Case(
        f"{P09}, p. 80",
        "Z1 -> Z2; Z1 -> Z3; Z2 -> X; Z3 -> X; Z4 -> X; Z4 -> Z5; Z3 -> Y; X -> Y",
        "Y",
        "X",
    ),
    Case(f"{P09}, p. 81 (front door)", paths(["XMY"], ["XY"]), "Y", "X"),
    Case(f"{P09}, p. 178 (back door)", paths(["ZX", "ZY", "XY"], []), "Y", "X"),
    Case(f"{P09}, p. 153 (instrument)", paths(["ZXY"], ["XY"]), "Y", "X", identified=False),
    Case(
        f"{P09}, p. 92",
        "Z2 -> X -> Z1 -> Y; Z2 -> Z1; Z2 -> Z3 -> Y; Z2 <-> X; Z2 <-> Y; X <-> Z3; X <-> Y",
        "Y",
        "X",
    ),
    Case(
        f"{P09}, p. 119",
        "X1 -> Z; X1 -> Y; X1 -> X2; Z -> X2; X2 -> Y; X1 <-> Z; Z <-> Y",
        "Y",
        "X1 X2",
    ),
    Case(
        f"{P09}, p. 125",
        "Z1 -> X1 -> X2 -> Y; Z2 -> Y; Z1 <-> Z2; Z1 <-> X2; Z2 <-> X2",
        "Y",
        "X1 X2",
    ),
    Case(
        f"{P09}, p. 153 (linear)",
        paths(["XZ", "XW", "WY", "ZY"], ["XZ", "WY"]),
        "Y",
        "X",
        identified=False,
    ),
    Case("Pearl & Mackenzie 2018, p. 240 (napkin)", paths(["WRXY"], ["WX", "WY"]), "Y", "X"),
    Case("Greenland, Pearl & Robins 1999 (M graph)", paths(["XY"], ["XZ", "YZ"]), "Y", "X"),
    Case(f"{R}, G of causal.effect", paths(["XY", "ZX", "ZY"], ["XZ"]), "Y", "X"),
    Case(
        f"{R}, pruning",
        "x -> z4 -> y; z1 -> x; z2 -> z1; z3 -> z2; z3 -> x; z5 -> z1; z5 -> z4; x <-> z2; "
        "z3 <-> z2; z2 <-> y; z4 <-> y; z5 <-> z4",
        "y",
        "x",
    ),
    Case(f"{R}, simplification", "x -> y; w -> x; w -> z; z -> y", "y", "x"),
    Case(f"{R}, insertion", "Y -> Z -> X; Y -> W; Z -> W; W -> X; Y -> X", "X", "W"),
    Case(f"{R} vignette, fig. 1", paths(["WX", "WZ", "XZ", "ZY"], ["XY"]), "Y", "X"),
    Case(
        f"{R} vignette, fig. 5",
        "Z1 -> X -> Z2 -> Y; Z1 <-> X; Z1 <-> Z2; Z1 <-> Y; X <-> Y",
        "Y",
        "X",
        identified=False,
    ),
    Case(f"{R} vignette, fig. 8", "z -> x; z -> w; x -> y; w -> y", "y", "x w"),
    Case(f"{PY}, fig. 3.16", paths(["ZX", "ZY", "XY"], []), "Y", "X"),
    Case(f"{DO}, back door", "x -> y; z -> x; z -> y", "y", "x"),
    Case(f"{DO}, front door", "x -> z -> y; x <-> y", "y", "x"),
    Case(f"{DO}, bow", "x -> y; x <-> y", "y", "x", identified=False),
    Case("Sprinkler", "C -> S -> W; C -> R -> W", "W", "S"),
]

IDC = [
    Case(f"{SP08}, fig. 6(a)", paths(["XZY"], ["XZ"]), "Y", "X", "Z"),
    Case(f"{R} vignette, fig. 1", paths(["WX", "WZ", "XZ", "ZY"], ["XY"]), "Z", "X", "W"),
    Case(f"{PY}, fig. 3.15(a)", paths(["ZY", "XZ", "WX", "WZ"], ["XY"]), "Y", "X", "Z"),
    Case(f"{PY}, conditional bow", paths(["ZXY"], ["XY"]), "Y", "X", "Z", identified=False),
    Case("Sprinkler", "C -> S -> W; C -> R -> W", "W", "S", "R"),
]

SURROGATES = [
    *(
        Case(f"{BP12}, fig. {name}", paths(*edges), "Y", "X", "", ("", "Z"), verdict)
        for name, edges, verdict in [
            ("1(a)", (["ZXY"], ["ZX", "ZY"]), True),
            ("1(b)", (["ZXY"], ["XY", "ZY"]), False),
            ("1(c)", (["ZY", "XY"], ["XZ", "ZY"]), False),
            ("3(a)", (["WZXY", "WY"], ["XZYW"]), True),
            ("3(b)", (["WZXY", "WY"], ["WXZY"]), True),
            ("3(c)", (["ZXWY"], ["WZXYZ"]), True),
            ("3(d)", (["ZXAY", "BX", "BY"], ["XBZXYZA"]), True),
            ("3(e)", (["WZXY", "WY"], ["ZXWYZ"]), False),
            ("3(f)", (["ZWY", "ZXY"], ["WXZY"]), False),
            ("3(g)", (["ZXWY", "ZY"], ["WZXYZ"]), False),
            ("3(h)", (["XWZY"], ["ZXYW"]), False),
        ]
    ),
]

_ONE = "X1 -> W -> Y; X2 -> Y; W <-> X1; X1 <-> X2; X2 <-> Y"
_TWO = "X1 -> Y1; X2 -> Y2; X1 <-> Y1; Y1 <-> X2; X2 <-> Y2; Y2 <-> X1; X1 <-> X2; Y1 <-> Y2"
_THREE = (
    "T5 -> T3 -> T2 -> T1 -> R1; T4 -> T6 -> R2; R1 <-> R2; R2 <-> R3; R3 <-> T4; T4 <-> T1; "
    "R2 <-> T3; T3 <-> T5; T5 <-> T2; T2 <-> T6"
)
_FOUR = paths(["EAH", "FBH", "CJ", "GDK"], ["KIHECBA", "IJ", "JFD", "CGK"])

EXPERIMENTS = [
    *(
        Case(f"{LCB19}, fig. {name}", text, "Y", "X1 X2", "", ("X1", "X2"), verdict)
        for name, text, verdict in [
            ("1(a)", _ONE, True),
            ("1(b)", f"{_ONE}; W <-> X2", True),
            ("1(c)", f"{_ONE}; W <-> Y", False),
            ("1(d)", f"{_ONE}; X1 <-> Y", False),
        ]
    ),
    *(
        Case(f"{LCB19}, fig. {name}", text, f"Y{which}", f"X{which}", "", ("X1 X2",), verdict)
        for name, text, which, verdict in [
            ("2(a)", _TWO, 1, True),
            ("2(a)", _TWO, 2, True),
            ("2(b)", f"{_TWO}; Y1 -> Y2", 1, True),
            ("2(b)", f"{_TWO}; Y1 -> Y2", 2, False),
            ("2(c)", f"{_TWO}; X1 -> Y2", 1, True),
            ("2(c)", f"{_TWO}; X1 -> Y2", 2, False),
        ]
    ),
    *(
        Case(f"{LCB19}, fig. {name}", text, outcomes, treatments, "", given, False)
        for name, text, outcomes, treatments, given in [
            ("3(a)", "X1 -> R; X2 -> R; X1 <-> R; R <-> X2", "R", "X1 X2", ("X1", "X2")),
            (
                "3(b)",
                "X1 -> R1; X2 -> R2; X1 <-> R2; R2 <-> R1; R1 <-> X2",
                "R1 R2",
                "X1 X2",
                ("X1", "X2"),
            ),
            (
                "3(c)",
                "W -> X1 -> R; W -> X2 -> R; R <-> W; W <-> X2; X1 <-> W",
                "R",
                "X1 X2",
                ("X1", "X2"),
            ),
            (
                "3(d)",
                _THREE,
                "R1 R2 R3",
                "T1 T6",
                ("",),
            ),
            ("4(a)", _FOUR, "H I J K", "B", ("G", "E")),
            ("4(a)", _FOUR, "H I J K", "E G F", ("F", "A")),
            ("4(a)", _FOUR, "H I J K", "A D", ("F G D", "E A")),
            ("4(a)", _FOUR, "H I J K", "A F G", ("F D", "A")),
        ]
    ),
    *(
        Case(f"{LCB19}, crossed", paths(["AC", "BD"], ["ADCB"]), "C D", "A B", "", given, verdict)
        for given, verdict in [
            (("A B",), True),
            (("", "A", "B", "A B"), True),
            (("",), False),
            (("A", "B"), False),
            (("", "A", "B"), False),
        ]
    ),
]

CASES = [*ID, *IDC, *SURROGATES, *EXPERIMENTS]
