"""What a study tells: its best trials, front and importance; summary, tables and report."""
