"""What each step does: read its parents' files, call the core, publish one artefact."""
