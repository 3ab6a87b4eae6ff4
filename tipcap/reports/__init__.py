"""What people see of finished runs: tables, claims, figures, the report, and the records for MLflow."""
