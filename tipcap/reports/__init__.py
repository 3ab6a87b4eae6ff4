"""What people see of finished runs: tables, claims, figures, the report, and MLflow: its records and its pages.

A report reads the world's plan and the results themselves and is made anew by name; a step (`tipcap.steps`) is
told all it reads, and its result lies under a key.
"""
