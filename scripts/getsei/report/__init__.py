"""One self-contained HTML page of a run. Every number on it is read from the CSV files beside it."""
