"""What is tuned: a function or a script, made into jobs that report and can be paused."""
