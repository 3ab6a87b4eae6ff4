"""Thin edges: files, network, models, Java, MLflow."""
