"""What ./dev starts: real servers on ports of their own, with all state in .dev/."""
