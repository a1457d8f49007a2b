"""Running forward steps: how long they take, and, where the world is real, taking that long."""
