"""The embedded world: pictures and captions made by the project, and the small models trained on them."""
