"""What people use from Python, and the commands from the shell: captioners, training from arrays, tables."""
