"""Named memories compared fairly on the same tasks, and the gate that tasks must pass."""
