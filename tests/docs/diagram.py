"""Draw the phases of a rollout.

`python -m tests.docs.diagram` puts the drawing into docs/explanation/rollouts.md.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from shared.rollouts.state.phases import STEPS, TRANSITIONS, Phase

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "rollouts.md"
BLOCK = re.compile(r"(?<=```mermaid\n)stateDiagram-v2\n.*?(?=```)", re.DOTALL)

#: The phases of steps are drawn as one state: any may follow any, as the strategy has them.
_STEPS = "steps"
_NOTE = "each phase is that of a kind of step; which is next, the strategy says"


def draw() -> str:
    """Return the table of transitions as a Mermaid diagram."""
    lines = [f'state "{phase}" as {_id(phase)}' for phase in Phase if "-" in phase]
    lines += [f"state {_STEPS} {{", *(f"    {_id(phase)}" for phase in STEPS), "}"]
    lines += [f"note right of {_STEPS}: {_NOTE}", f"[*] --> {_id(Phase.QUEUED)}"]
    lines += dict.fromkeys(_arrows())
    lines += [f"{_id(phase)} --> [*]" for phase in Phase if phase.is_terminal]
    return "\n    ".join(["stateDiagram-v2", *lines]) + "\n"


def _arrows() -> Iterator[str]:
    for phase in Phase:
        for target, label in TRANSITIONS[phase].items():
            if not (phase in STEPS and target in STEPS):
                yield f"{_place(phase)} --> {_place(target)}: {label.replace('`', '')}"


def _place(phase: Phase) -> str:
    return _STEPS if phase in STEPS else _id(phase)


def _id(phase: Phase) -> str:
    return phase.replace("-", "_")  # Mermaid takes no dash in an id


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda _: draw(), text), encoding="utf-8")
