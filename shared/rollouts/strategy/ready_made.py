"""The strategies that need not be written, as they would be written under `rollouts:`."""

from collections.abc import Mapping
from typing import Any

_GATES = {"error_rate": {"max_increase": "0.5%"}, "latency": {"max_ratio": 1.2}}

#: By name. They are read and checked as those of a file are. docs/reference/reactions.md has them.
READY_MADE: Mapping[str, Mapping[str, Any]] = {
    "all-at-once": {"steps": [{"probe": None}, {"traffic": "100%"}]},
    "blue-green": {
        "steps": [{"probe": None}, {"scale": "stable"}, {"traffic": "100%"}, {"hold": "15m"}],
        "gates": _GATES,
    },
    "canary": {
        "steps": [
            {"probe": None},
            {"traffic": "10%"},
            {"hold": "15m"},
            {"traffic": "50%"},
            {"hold": "15m"},
            {"traffic": "100%"},
            {"hold": "10m"},
        ],
        "gates": _GATES,
    },
    "linear": {
        "steps": [
            {"probe": None},
            {"traffic": "20%"},
            {"hold": "10m"},
            {"traffic": "40%"},
            {"hold": "10m"},
            {"traffic": "60%"},
            {"hold": "10m"},
            {"traffic": "80%"},
            {"hold": "10m"},
            {"traffic": "100%"},
            {"hold": "10m"},
        ],
        "gates": _GATES,
    },
    "shadow": {
        "steps": [
            {"probe": None},
            {"mirror": "10%"},
            {"hold": "30m"},
            {"mirror": "0%"},
            {"traffic": "100%"},
            {"hold": "10m"},
        ],
        "gates": _GATES,
    },
    "ab-test": {
        "steps": [
            {"probe": None},
            {"traffic": "50%"},
            {"hold": "1d"},
            {"better": "latency"},
            {"traffic": "100%"},
        ],
        "gates": _GATES,
    },
}
